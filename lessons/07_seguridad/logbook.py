"""Lo que queda en el registro del servidor, puerta por puerta: es lo que leería quien tenga acceso a él."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from pydantic import BaseModel
from starlette.types import ASGIApp, Receive, Scope, Send

SOURCES = ("uvicorn.error", "puerta")
KEPT = 200
current_door: ContextVar[str] = ContextVar("current_door", default="")


class Line(BaseModel):
    door: str
    text: str


class KnownDoor:
    """Apunta por qué puerta entra cada WebSocket, para saber de quién es cada línea del registro."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            # uvicorn atiende cada conexión en su tarea: lo que se apunta aquí lo ve también al registrar el final.
            current_door.set(scope["path"].split("/")[1])
        await self.app(scope, receive, send)


class Logbook(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: deque[tuple[int, Line]] = deque(maxlen=KEPT)
        self.last = 0
        self.news = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        door = current_door.get()
        if door not in ("naive", "right"):
            return
        text = record.getMessage().strip()
        if record.exc_info and record.exc_info[0]:
            text += f" … {record.exc_info[0].__name__}: {record.exc_info[1]}"
        self.last += 1
        self.lines.append((self.last, Line(door=door, text=f"{record.levelname}: {text}")))
        self.news.set()
        self.news = asyncio.Event()

    async def follow(self, after: int | None = None) -> AsyncIterator[tuple[int, Line]]:
        """Las líneas con su número, desde la que sigue a `after`; sin él, desde ahora."""
        seen = self.last if after is None else after
        while True:
            for number, line in [(number, line) for number, line in self.lines if number > seen]:
                seen = number
                yield number, line
            if seen == self.last:
                await self.news.wait()


@contextmanager
def keeping(logbook: Logbook) -> Iterator[None]:
    """Oye a uvicorn y a la puerta, aunque arranquen con el registro en «warning»."""
    loggers = [logging.getLogger(name) for name in SOURCES]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(logbook)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(logbook)
            logger.setLevel(level)
