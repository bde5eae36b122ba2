"""4.2 Reanudar

El metro, el túnel, el portátil que se cierra: los flujos se cortan. El navegador vuelve solo y dice por
dónde iba; que no se pierda nada depende de ti. Este servidor publica titulares y deja seguir desde
cualquiera de los últimos.

**`POST /headlines`** `{"text": "…"}` contesta 201 con `{"id": "…"}`, el identificador de ese titular.

**`GET /events`** es el flujo SSE:

- Empieza con `retry: RETRY_MS`, lo que el navegador debe esperar antes de volver. En cuanto sale, ya cuenta
  todo lo que se publique desde entonces.
- Cada titular es un evento `headline` con `id` y con `{"text": "…"}` en `data`. El `id` es el mismo que
  contestó `POST`, y el mismo para todos los clientes.
- Con la cabecera `Last-Event-ID`, sigue justo detrás de ese titular: primero lo que falta, después lo
  nuevo; todo una vez y en orden, también lo que se publique mientras se repite lo viejo. Sin la cabecera,
  solo lo nuevo.

Se guardan los últimos `HISTORY` titulares. Cuando ya no se puede seguir desde donde pide el cliente, antes
de nada se le dice, con un evento `lost`, y después sigue desde el más antiguo que queda:

    falta alguno que ya se ha olvidado                     event: lost   data: {"missed": 3}      cuántos son
    un id que este proceso no ha dado: inventado, o de     event: lost   data: {"missed": null}   no se sabe
    antes de reiniciar el servidor

El cliente no interpreta los `id`: elige la forma que quieras. Pero los de un proceso no deben valer en
otro, aunque los dos hayan publicado lo mismo.

Variables de entorno: `HISTORY` (100) y `RETRY_MS` (2000).

Ejemplo, con HISTORY=2 y tras publicar «a», «b», «c» y «d» (los `id` son de este ejemplo):

    GET /events
    Last-Event-ID: k3x9-1

    retry: 2000

    event: lost
    data: {"missed": 1}

    event: headline
    id: k3x9-3
    data: {"text": "c"}

    event: headline
    id: k3x9-4
    data: {"text": "d"}

"""

import asyncio
import os
import secrets
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import FastAPI, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel

HISTORY = int(os.environ.get("HISTORY", "100"))
RETRY_MS = int(os.environ.get("RETRY_MS", "2000"))

app = FastAPI(title="Titulares que no se pierden")


class Draft(BaseModel):
    text: str


class Published(BaseModel):
    id: str


@dataclass(frozen=True)
class Headline:
    """Un titular publicado; `number` cuenta desde 1 y sin saltos."""

    number: int
    text: str


class Archive:
    """Los últimos titulares, y una señal para quien espera el siguiente."""

    def __init__(self) -> None:
        self.epoch = secrets.token_hex(4)
        self.kept: deque[Headline] = deque(maxlen=HISTORY)
        self.last = 0
        self.changed = asyncio.Event()

    def publish(self, text: str) -> Headline:
        self.last += 1
        headline = Headline(self.last, text)
        self.kept.append(headline)
        self.changed.set()
        self.changed = asyncio.Event()
        return headline

    def id_of(self, number: int) -> str:
        """El `id` que lleva en el cable el titular `number`."""
        # region TODO 1: Que sea único para cada titular y para cada proceso: self.epoch se sortea al
        #   arrancar.
        #: return "0"
        return f"{self.epoch}-{number}"
        # endregion

    def number_of(self, event_id: str) -> int | None:
        """Al revés: el número del titular con ese `id`, o None si este proceso no lo ha dado."""
        # region TODO 2: Deshaz lo que hace id_of. Lo que llega puede ser cualquier cosa: no te fíes.
        #: return self.last
        try:
            epoch, number = event_id.split("-")
            given = epoch == self.epoch and 1 <= int(number) <= self.last
        except ValueError:
            return None
        return int(number) if given else None
        # endregion

    @property
    def forgotten(self) -> int:
        """El número del último titular que ya no se guarda; 0 si se guardan todos."""
        return self.last - len(self.kept)

    def after(self, number: int) -> list[Headline]:
        """Los titulares guardados posteriores a `number`, por orden."""
        # region TODO 3: Elige de self.kept los que tocan.
        #: return []
        return [headline for headline in self.kept if headline.number > number]
        # endregion


archive = Archive()


@app.post("/headlines", status_code=201)
async def publish(draft: Draft) -> Published:
    return Published(id=archive.id_of(archive.publish(draft.text).number))


def lost(missed: int | None) -> ServerSentEvent:
    return ServerSentEvent(event="lost", data={"missed": missed})


def to_event(headline: Headline) -> ServerSentEvent:
    return ServerSentEvent(event="headline", id=archive.id_of(headline.number), data={"text": headline.text})


@app.get("/events", response_class=EventSourceResponse)
async def events(last_event_id: Annotated[str | None, Header()] = None) -> AsyncIterator[ServerSentEvent]:
    # region TODO 4: Decide desde qué número sigue este cliente (`position`); di cuánto espera antes de
    #   volver; avisa con lost() si le faltan titulares; y entrega, sin fin, los que vayan detrás de
    #   `position`.
    #: yield ServerSentEvent(data={"last_event_id": last_event_id})
    position = archive.last if last_event_id is None else archive.number_of(last_event_id)
    yield ServerSentEvent(retry=RETRY_MS)
    while True:
        # La señal se toma antes de mirar: lo que se publique mientras se entrega no se pierde.
        changed = archive.changed
        if position is None or position < archive.forgotten:
            yield lost(None if position is None else archive.forgotten - position)
            position = archive.forgotten
        for headline in archive.after(position):
            yield to_event(headline)
            position = headline.number
        await changed.wait()
    # endregion
