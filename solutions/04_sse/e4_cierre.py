"""4.4 Cierre y errores

Abrir un flujo es fácil. Lo difícil es decir que no a tiempo, soltarlo todo cuando alguien se va, no
engordar por culpa de quien no lee, y apagarse sin que nadie lo note. Este servidor enseña la última lectura
de un sensor.

**`PUT /reading`** con `{"value": "…"}` guarda la lectura nueva y contesta 204 al momento, mire quien mire.

**`GET /events`** es el flujo SSE de las lecturas: al conectarte, la última, si hay alguna; y después cada
una que llegue, aunque repita el valor, como evento `reading` con `{"value": "…"}`.

- Solo entra quien trae la cookie `access_key` con el valor de `ACCESS_KEY`. (EventSource no puede poner
  cabeceras, pero las cookies las envía él.) A los demás se les contesta 401 de verdad, antes de empezar
  ningún flujo.
- A quien no da abasto no se le guarda una cola: cuando vuelve a leer, recibe la lectura más reciente y se
  salta las de en medio. Nadie espera por él.
- Cuando un flujo termina, sea porque el cliente se va o porque el servidor se apaga, se escribe en la
  salida la línea `stream closed`, una por flujo.
- Con SIGTERM, los flujos abiertos acaban y el proceso termina en 3 segundos como mucho, sin que nadie tenga
  que matarlo.

**`GET /streams`** contesta `{"open": 2}`, cuántos flujos hay abiertos ahora.

Puedes entrar y salir mil veces: al acabar, ni flujos abiertos, ni descriptores, ni nada que crezca.

Variable de entorno: `ACCESS_KEY` (`abretesesamo`).

Ejemplo:

    GET /events                                      401 {"detail": "…"}

    GET /events
    Cookie: access_key=abretesesamo

    event: reading
    data: {"value": "21,5 °C"}

"""

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Cookie, Depends, FastAPI, HTTPException
from pydantic import BaseModel
from sse_starlette import EventSourceResponse, ServerSentEvent

ACCESS_KEY = os.environ.get("ACCESS_KEY", "abretesesamo")

app = FastAPI(title="La última lectura")


class Reading(BaseModel):
    value: str


class Streams(BaseModel):
    open: int = 0


class Sensor:
    """La última lectura, su número de versión y una señal para quien espera la siguiente."""

    def __init__(self) -> None:
        self.reading: Reading | None = None
        self.version = 0
        self.changed = asyncio.Event()

    def update(self, reading: Reading) -> None:
        self.reading = reading
        self.version += 1
        self.changed.set()
        self.changed = asyncio.Event()


sensor = Sensor()
streams = Streams()


@app.put("/reading", status_code=204)
async def update(reading: Reading) -> None:
    sensor.update(reading)


@app.get("/streams")
async def open_streams() -> Streams:
    return streams


def require_key(access_key: Annotated[str, Cookie()] = "") -> None:
    """Deja pasar solo a quien trae la clave; a los demás, 401."""
    # region TODO 1: Compara la cookie con ACCESS_KEY y lanza la HTTPException. Una comparación con ==
    #   tarda más cuanto más se acierta, y eso se puede medir desde fuera: usa secrets.compare_digest,
    #   que compara bytes.
    #: return
    if not secrets.compare_digest(access_key.encode(), ACCESS_KEY.encode()):
        raise HTTPException(401, "Falta la clave de acceso, o no es esa")
    # endregion


async def latest_readings() -> AsyncIterator[Reading]:
    """La lectura de ahora y las que lleguen; si quien las pide tarda, solo la más reciente."""
    # region TODO 2: Recuerda qué versión entregaste; mientras no haya otra, espera la señal `changed`.
    #: yield Reading(value="")
    delivered = 0
    while True:
        changed = sensor.changed
        if sensor.reading is not None and sensor.version != delivered:
            delivered = sensor.version
            yield sensor.reading
        else:
            await changed.wait()
    # endregion


async def watch() -> AsyncIterator[ServerSentEvent]:
    """El flujo de un cliente, contado en `streams` mientras dura."""
    # region TODO 3: Cuenta este flujo, entrega cada lectura y, acabe como acabe, descuéntalo y escribe la
    #   línea. Lo que imprimas dentro de un servidor, con flush=True.
    #: async for reading in latest_readings():
    #:     yield ServerSentEvent(data=reading.value)
    streams.open += 1
    try:
        async for reading in latest_readings():
            yield ServerSentEvent(event="reading", data=json.dumps(reading.model_dump(), ensure_ascii=False))
    finally:
        streams.open -= 1
        print("stream closed", flush=True)
    # endregion


# region TODO 4: Contesta con un flujo que acabe solo cuando el servidor se apaga, y exige la clave antes.
#: @app.get("/events")
#: async def events() -> None:
#:     return None
@app.get("/events", dependencies=[Depends(require_key)])
async def events() -> EventSourceResponse:
    return EventSourceResponse(watch())


# endregion
