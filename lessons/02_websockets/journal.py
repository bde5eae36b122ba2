"""El diario del cable: los últimos sucesos, numerados, para quien quiera mirarlos en vivo por SSE."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Literal

from frames import Frame
from pydantic import BaseModel
from wire import Head

Direction = Literal["up", "down"]
KEPT = 500
HEAD_PREVIEW = 4096


class WireEvent(BaseModel):
    """`up` va del cliente al servidor; `down`, del servidor al cliente. Los bytes viajan en hexadecimal."""

    seq: int = 0
    time: float = 0
    connection: int
    kind: Literal["head", "frame", "end"]
    direction: Direction | None = None
    header: str = ""
    header_size: int = 0
    text: str | None = None
    name: str = ""
    opcode: int | None = None
    fin: bool = True
    compressed: bool = False
    mask: str | None = None
    length: int = 0
    payload: str = ""
    close_code: int | None = None

    @classmethod
    def of_head(cls, connection: int, direction: Direction, head: Head) -> "WireEvent":
        return cls(
            connection=connection,
            kind="head",
            direction=direction,
            name=head.first_line,
            header_size=len(head.raw),
            text=head.raw[:HEAD_PREVIEW].decode("latin-1"),
        )

    @classmethod
    def of_frame(cls, connection: int, direction: Direction, frame: Frame) -> "WireEvent":
        return cls(
            connection=connection,
            kind="frame",
            direction=direction,
            header=frame.header.hex(),
            header_size=len(frame.header),
            text=frame.text,
            name=frame.name,
            opcode=frame.opcode,
            fin=frame.fin,
            compressed=frame.compressed,
            mask=frame.mask.hex() if frame.mask else None,
            length=frame.length,
            payload=frame.preview.hex(),
            close_code=frame.close_code,
        )


class Journal:
    def __init__(self) -> None:
        self._events: deque[WireEvent] = deque(maxlen=KEPT)
        self._changed = asyncio.Event()
        self._started = time.monotonic()
        self.last = 0

    def publish(self, event: WireEvent) -> None:
        self.last += 1
        event.seq, event.time = self.last, time.monotonic() - self._started
        self._events.append(event)
        self._changed.set()
        self._changed = asyncio.Event()

    async def follow(self, after: int) -> AsyncIterator[WireEvent]:
        """Todo lo posterior a `after` que siga guardado, y después lo que vaya llegando."""
        if after > self.last:  # de antes de reiniciar el servidor
            after = 0
        while True:
            # La señal se toma antes de mirar: lo que llegue mientras se entrega no se pierde.
            changed = self._changed
            for event in [event for event in self._events if event.seq > after]:
                yield event
                after = event.seq
            await changed.wait()
