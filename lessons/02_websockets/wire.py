"""Un sentido de una conexión HTTP/1.1 que quizá pasa a WebSocket: cabeceras y, tras el 101, tramas."""

import re
from dataclasses import dataclass, field

from frames import Frame, FrameParser

END_OF_HEAD = b"\r\n\r\n"
MAX_HEAD = 64 * 1024
UNTIL_CLOSED = 2**63


class HeadTooLarge(Exception):
    """Una cabecera que no termina: quien mira el cable deja de mirar."""


@dataclass(frozen=True, slots=True)
class Head:
    raw: bytes

    @property
    def first_line(self) -> str:
        return self.raw.split(b"\r\n", 1)[0].decode("latin-1")

    @property
    def target(self) -> str:
        """La ruta pedida, si es una petición."""
        return self.first_line.split(" ")[1]

    @property
    def switches(self) -> bool:
        return self.first_line.startswith("HTTP/1.1 101")

    @property
    def asks_upgrade(self) -> bool:
        return self.header("upgrade").lower() == "websocket" and not self.first_line.startswith("HTTP/")

    def header(self, name: str) -> str:
        match = re.search(rb"\r\n" + name.encode() + rb":[ \t]*([^\r\n]*)", self.raw, re.IGNORECASE)
        return match[1].decode("latin-1").strip() if match else ""

    @property
    def body_length(self) -> int:
        if self.header("transfer-encoding"):
            return UNTIL_CLOSED
        length = self.header("content-length")
        return int(length) if length.isdecimal() else 0


@dataclass(slots=True)
class Tap:
    """Lee lo que pasa sin modificarlo. Se alimenta con `feed`; `switch` avisa de que ya son tramas."""

    _buffer: bytearray = field(default_factory=bytearray)
    _body: int = 0
    _waiting: bool = False
    _frames: FrameParser | None = None

    def feed(self, data: bytes) -> list[Head | Frame]:
        if self._frames:
            return [*self._frames.feed(data)]
        self._buffer += data
        seen: list[Head | Frame] = []
        while not self._waiting and (head := self._next_head()):
            seen.append(head)
            self._waiting = head.asks_upgrade
            if head.switches:
                return [*seen, *self.switch()]
        return seen

    def switch(self) -> list[Frame]:
        """Desde aquí, tramas. Devuelve las que ya estuvieran esperando."""
        self._frames = FrameParser()
        pending, self._buffer = bytes(self._buffer), bytearray()
        return self._frames.feed(pending)

    def _next_head(self) -> Head | None:
        skipped = min(self._body, len(self._buffer))
        del self._buffer[:skipped]
        self._body -= skipped
        end = self._buffer.find(END_OF_HEAD)
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise HeadTooLarge
            return None
        head = Head(bytes(self._buffer[: end + len(END_OF_HEAD)]))
        del self._buffer[: len(head.raw)]
        self._body = head.body_length
        return head
