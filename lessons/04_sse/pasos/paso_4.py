"""Paso 4: decir que no a tiempo, y soltarlo todo.

Di: «Con un flujo, el código de estado sale antes que el primer dato. Si quiero decir 503, tiene que ser en una
dependencia, antes del primer `yield`. Y cada flujo que entra se apunta y, acabe como acabe, se borra: finally.»
Enseña: pon `MAX_STREAMS = 1` y abre dos pestañas: la segunda recibe un 503 y EventSource se cierra sin volver.
Minutos: 4
Arranca: uvicorn paso_4:app --reload --timeout-graceful-shutdown 1
"""

import asyncio
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
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel


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
async def tick_events(position: int | None) -> AsyncIterator[ServerSentEvent]:
    """Los precios desde `position`; None es «no sé por dónde ibas»."""
    yield ServerSentEvent(retry=RETRY_MS)
    if position is None:
        yield ServerSentEvent(data={"missed": None}, event="lost")
        position = 0
    async for number, tick in feed.follow(position):
        if position and number > position + 1:
            yield ServerSentEvent(data={"missed": number - position - 1}, event="lost")
        yield ServerSentEvent(data=tick, event="tick", id=f"{epoch}-{number}")
        position = number


# endregion


# region abrir
async def free_place() -> None:
    if len(streams) >= MAX_STREAMS:
        raise HTTPException(503, "demasiados flujos abiertos; vuelve más tarde", {"Retry-After": "5"})


@app.get("/events", response_class=EventSourceResponse, dependencies=[Depends(free_place)])
async def events(last_event_id: Annotated[str | None, Header()] = None) -> AsyncIterator[ServerSentEvent]:
    start = feed.last if last_event_id is None else position_of(last_event_id)
    place = object()
    streams.add(place)
    try:
        async for event in tick_events(start):
            yield event
    finally:
        streams.discard(place)
        logger.info("flujo cerrado")


# endregion
