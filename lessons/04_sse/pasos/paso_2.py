"""Paso 2: nombre, identificador y espera.

Di: «Un valor suelto sale sin nombre. `ServerSentEvent` pone los campos que faltan: `event`, para que la página
escuche solo lo que le interesa; `id`, para saber por dónde iba; `retry`, cuánto esperar antes de volver.»
Enseña: en el cable, los campos. Para el servidor y arráncalo: la página vuelve sola, al segundo, y manda
`Last-Event-ID`… que nadie lee: la cuenta empieza otra vez en 1, porque cada conexión tiene la suya.
Minutos: 4
Arranca: uvicorn paso_2:app --reload --timeout-graceful-shutdown 1
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel

PERIOD = 0.5
RETRY_MS = 1000

app = FastAPI()


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page.html"))


class Tick(BaseModel):
    """Un precio; `n` lo numera y `at` es cuándo salió, en milisegundos."""

    n: int
    at: int
    price: float


# region flujo
@app.get("/events", response_class=EventSourceResponse)
async def events() -> AsyncIterator[ServerSentEvent]:
    yield ServerSentEvent(retry=RETRY_MS)
    price = 100.0
    for number in count(1):
        price = round(max(1.0, price + random.uniform(-1, 1)), 2)
        tick = Tick(n=number, at=time.time_ns() // 1_000_000, price=price)
        yield ServerSentEvent(data=tick, event="tick", id=str(number))
        await asyncio.sleep(PERIOD)


# endregion
