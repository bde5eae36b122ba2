"""Paso 5: saber apagarse.

Di: «Pulso Ctrl+C con una pestaña abierta y el paso 4 no termina: uvicorn espera a que acabe la respuesta, y un
flujo no acaba nunca. La respuesta de sse-starlette vigila el apagado y corta. De paso, desaloja a quien lleva
treinta segundos sin leer. La función que entrega los precios no cambia.»
Enseña: Ctrl+C en el paso 4 y en el 5, con un flujo abierto. Uno se queda; el otro acaba en menos de un segundo.
Minutos: 4
Arranca: uvicorn paso_5:app
"""

import asyncio
import json
import logging
import random
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Generic, TypeVar

from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.responses import FileResponse
from pydantic import BaseModel
from sse_starlette import EventSourceResponse, ServerSentEvent


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with ticking():
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page.html"))


KEPT = 60
MAX_STREAMS = 50
PERIOD = 0.5
RETRY_MS = 1000

Item = TypeVar("Item")


# region fuente
class Feed(Generic[Item]):
    """Los últimos sucesos, numerados desde 1, y una señal para quien espera el siguiente."""

    def __init__(self) -> None:
        self._kept: deque[tuple[int, Item]] = deque(maxlen=KEPT)
        self._changed = asyncio.Event()
        self.last = 0

    def publish(self, item: Item) -> None:
        self.last += 1
        self._kept.append((self.last, item))
        self._changed.set()
        self._changed = asyncio.Event()

    def after(self, position: int) -> list[tuple[int, Item]]:
        return [kept for kept in self._kept if kept[0] > position]

    async def follow(self, position: int) -> AsyncIterator[tuple[int, Item]]:
        """Lo posterior a `position` que siga guardado y, después, lo que llegue. Un salto es una pérdida."""
        while True:
            changed = self._changed  # antes de mirar: lo que llegue mientras se entrega no se pierde
            for number, item in self.after(position):
                yield number, item
                position = number
            await changed.wait()


# endregion


class Tick(BaseModel):
    """Un precio; `n` lo numera y `at` es cuándo salió, en milisegundos."""

    n: int
    at: int
    price: float


feed = Feed[Tick]()
epoch = secrets.token_hex(2)
streams: set[object] = set()
logger = logging.getLogger("uvicorn.error")


# region pulso
@asynccontextmanager
async def ticking() -> AsyncIterator[None]:
    """Una sola fuente para todos, en marcha mientras viva el servidor."""
    task = asyncio.create_task(tick_forever())
    try:
        yield
    finally:
        task.cancel()


async def tick_forever() -> None:
    price = 100.0
    while True:
        price = round(max(1.0, price + random.uniform(-1, 1)), 2)
        feed.publish(Tick(n=feed.last + 1, at=time.time_ns() // 1_000_000, price=price))
        await asyncio.sleep(PERIOD)


# endregion


def position_of(event_id: str) -> int | None:
    """El número que dice un `id` de este proceso; None si es de otro, o de nadie."""
    mine, _, number = event_id.partition("-")
    known = mine == epoch and number in {str(n) for n in range(feed.last + 1)}
    return int(number) if known else None


# region flujo
def lost(missed: int | None) -> ServerSentEvent:
    return ServerSentEvent(json.dumps({"missed": missed}), event="lost")


async def tick_events(position: int | None) -> AsyncIterator[ServerSentEvent]:
    """Los precios desde `position`; None es «no sé por dónde ibas»."""
    yield ServerSentEvent(retry=RETRY_MS)
    if position is None:
        yield lost(None)
        position = 0
    async for number, tick in feed.follow(position):
        if position and number > position + 1:
            yield lost(number - position - 1)
        yield ServerSentEvent(tick.model_dump_json(), event="tick", id=f"{epoch}-{number}")
        position = number


# endregion


# region abrir
async def free_place() -> None:
    if len(streams) >= MAX_STREAMS:
        raise HTTPException(503, "demasiados flujos abiertos; vuelve más tarde", {"Retry-After": "5"})


@app.get("/events", dependencies=[Depends(free_place)])
async def events(last_event_id: Annotated[str | None, Header()] = None) -> EventSourceResponse:
    start = feed.last if last_event_id is None else position_of(last_event_id)
    return EventSourceResponse(counted(tick_events(start)), send_timeout=30)


async def counted(stream: AsyncIterator[ServerSentEvent]) -> AsyncIterator[ServerSentEvent]:
    """El mismo flujo, apuntado mientras dura; acabe como acabe, se borra."""
    place = object()
    streams.add(place)
    try:
        async for event in stream:
            yield event
    finally:
        streams.discard(place)
        logger.info("flujo cerrado")


# endregion
