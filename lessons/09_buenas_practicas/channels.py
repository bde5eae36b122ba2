"""Un aviso por el mejor canal que funcione: a quién preguntar, cuánto esperar y qué decir después."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel

CHANNEL_SECONDS = 1.5

ChannelName = Literal["websocket", "sse", "email_queued"]


class Notification(BaseModel):
    id: str
    text: str


class Attempt(BaseModel):
    """Un canal probado: si lo consiguió, cuánto tardó (s) y, si no, por qué."""

    channel: ChannelName
    ok: bool
    seconds: float
    why: str


# region preguntar
@dataclass(eq=False)
class Listener:
    """Una conexión de alguien: lo que hay que enviarle y las respuestas que se esperan de ella."""

    outbox: asyncio.Queue[Notification] = field(default_factory=asyncio.Queue)
    asked: dict[str, asyncio.Future[bool]] = field(default_factory=dict)

    def ask(self, note: Notification) -> asyncio.Future[bool]:
        answer = self.asked[note.id] = asyncio.get_running_loop().create_future()
        self.outbox.put_nowait(note)
        return answer

    def answer(self, note_id: str, accepted: bool) -> None:
        """Lo que contesta; si ya nadie lo esperaba, nada."""
        answer = self.asked.pop(note_id, None)
        if answer is not None and not answer.done():
            answer.set_result(accepted)


# endregion


class Channel:
    """Quién escucha por un canal."""

    def __init__(self) -> None:
        self.listeners: set[Listener] = set()

    # region escuchar
    @contextmanager
    def listening(self) -> Iterator[Listener]:
        """Apunta una conexión mientras dura; al irse, lo que no ha contestado es un no."""
        listener = Listener()
        self.listeners.add(listener)
        try:
            yield listener
        finally:
            self.listeners.discard(listener)
            for note_id in list(listener.asked):
                listener.answer(note_id, False)

    # endregion

    # region ofrecer
    async def offer(self, note: Notification) -> bool:
        """True en cuanto alguien confirma; False en cuanto se sabe que nadie lo hará."""
        listeners = list(self.listeners)
        try:
            for answer in asyncio.as_completed([listener.ask(note) for listener in listeners]):
                if await answer:
                    return True
            return False
        finally:
            for listener in listeners:
                listener.asked.pop(note.id, None)

    # endregion


Offer = Callable[[Notification], Awaitable[bool]]


# region degradar
async def deliver(channels: dict[ChannelName, Offer], note: Notification) -> list[Attempt]:
    """Lo intentado, por orden: el último es el que lo consiguió, o ninguno."""
    attempts: list[Attempt] = []
    for name, offer in channels.items():
        started, why = time.monotonic(), "dice que no"
        try:
            async with asyncio.timeout(CHANNEL_SECONDS):
                ok = await offer(note)
        except TimeoutError:
            ok, why = False, "se calla"
        except Exception as problem:  # una avería, la que sea, no impide probar los demás
            ok, why = False, type(problem).__name__
        seconds = round(time.monotonic() - started, 2)
        attempts.append(Attempt(channel=name, ok=ok, seconds=seconds, why="" if ok else why))
        if ok:
            break
    return attempts


# endregion
