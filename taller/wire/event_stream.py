"""El formato `text/event-stream`: de bytes, lleguen como lleguen partidos, a bloques."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from taller.wire.mismatch import Mismatch
from taller.wire.transcript import shorten

MAX_BLOCK = 1024 * 1024
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class SseEvent:
    """Un bloque del flujo, acabado en línea en blanco; un comentario lleva solo `comment`."""

    data: str = ""
    event: str = "message"
    id: str | None = None
    retry: int | None = None
    comment: str | None = None

    def json(self) -> Any:
        try:
            return json.loads(self.data)
        except ValueError as error:
            raise Mismatch("datos en JSON", shorten(self.data, 120)) from error

    def __str__(self) -> str:
        if self.comment is not None:
            return f": {self.comment}"
        parts = [
            f"event: {self.event}" if self.data else "",
            f"id: {self.id}" if self.id is not None else "",
            f"retry: {self.retry}" if self.retry is not None else "",
            f"data: {self.data}" if self.data else "",
        ]
        return " · ".join(filter(None, parts))


class EventStream:
    """Analizador incremental. Una línea acaba en LF, CR o CRLF, y en ningún otro carácter."""

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[str] = []
        self._size = 0
        self._started = False

    def feed(self, data: bytes) -> Iterator[SseEvent]:
        """Los bloques que se completan con `data`.

        Raises:
            Mismatch: un bloque pasa de `MAX_BLOCK` bytes sin terminar.
        """
        self._rest += data
        if not self._started and len(self._rest) >= len(BOM):
            self._rest, self._started = self._rest.removeprefix(BOM), True
        for line in self._complete_lines():
            self._size += len(line)
            if line:
                self._lines.append(line.decode("utf-8", "replace"))
            elif self._lines:
                yield parse_block(self._lines)
                self._lines, self._size = [], 0
        if self._size + len(self._rest) > MAX_BLOCK:
            raise Mismatch("un evento razonable", f"más de {MAX_BLOCK // 1024} KiB sin una línea en blanco")

    @property
    def unfinished(self) -> str:
        """Lo que ha llegado de un bloque al que le falta la línea en blanco."""
        return "\n".join([*self._lines, self._rest.decode("utf-8", "replace")]).strip("\n")

    def _complete_lines(self) -> list[bytes]:
        # Un CR al final puede ser la mitad de un CRLF: se decide con el byte siguiente.
        held = b"\r" if self._rest.endswith(b"\r") else b""
        text = self._rest.removesuffix(held).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = text.split(b"\n")
        self._rest = rest + held
        return lines


def parse_block(lines: list[str]) -> SseEvent:
    """Un bloque según la especificación de HTML: campos conocidos, el resto se ignora."""
    data: list[str] = []
    comments: list[str] = []
    fields: dict[str, Any] = {}
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not name:
            comments.append(value)
        elif name == "data":
            data.append(value)
        elif name in ("event", "id"):
            fields[name] = value
        elif name == "retry" and value.isdecimal():
            fields["retry"] = int(value)
    comment = "\n".join(comments) if comments and not data and not fields else None
    return SseEvent(data="\n".join(data), comment=comment, **fields)
