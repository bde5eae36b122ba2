"""Un cliente SSE que enseña lo que EventSource esconde: comentarios, `retry` y el tipo de contenido."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from taller.patience import patience
from taller.wire.compare import difference, show
from taller.wire.http import HttpClient
from taller.wire.mismatch import Mismatch
from taller.wire.target import DEADLINE, Target
from taller.wire.transcript import shorten, transcript

MAX_EVENT = 1024 * 1024


class StreamEnded(Exception):
    """El servidor ha acabado el flujo."""


@dataclass(frozen=True)
class SseEvent:
    """Un bloque del flujo, acabado en línea en blanco; un comentario lleva sólo `comment`."""

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


class SseClient:
    """Un flujo abierto. Lee bloques con plazo; `response` tiene el código y las cabeceras."""

    def __init__(self, response: httpx.Response, target: Target, name: str) -> None:
        self.response, self.target, self.name = response, target, name
        self._lines = response.aiter_lines()

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        target: Target,
        path: str,
        *,
        name: str = "cliente",
        last_event_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        within: float = DEADLINE,
    ) -> AsyncIterator["SseClient"]:
        """Abre el flujo con las cabeceras que envía un navegador. No exige que la respuesta sea correcta."""
        sent = {"Accept": "text/event-stream", "Cache-Control": "no-cache", **(headers or {})}
        if last_event_id is not None:
            sent["Last-Event-ID"] = last_event_id
        async with HttpClient(target, name).stream("GET", path, headers=sent, within=within) as response:
            kind = response.headers.get("content-type", "sin Content-Type")
            transcript.add(target.name, name, "http", f"{response.status_code} {kind}")
            yield cls(response, target, name)

    async def block(self, within: float = DEADLINE, *, expecting: str = "un evento SSE") -> SseEvent:
        """El siguiente bloque, comentarios incluidos.

        Raises:
            Mismatch: no llega en `within` segundos o el flujo acaba antes.
        """
        try:
            async with asyncio.timeout(patience(within)):
                event = await self._read_block()
        except TimeoutError as error:
            raise Mismatch(expecting, await self.target.explain(f"nada completo en {within:g} s")) from error
        except (httpx.HTTPError, StreamEnded) as error:
            raise Mismatch(expecting, await self.target.explain("el flujo se acabó")) from error
        transcript.add(self.target.name, self.name, "sse", _shown(event))
        return event

    async def event(self, within: float = DEADLINE, *, expecting: str = "un evento SSE") -> SseEvent:
        """El siguiente bloque con datos: salta comentarios y bloques que sólo traen `retry`."""
        async with asyncio.timeout(patience(within) + 1.0):
            while True:
                block = await self.block(within, expecting=expecting)
                if block.comment is None and block.data:
                    return block

    async def expect(self, expected: Any, within: float = DEADLINE, *, event: str = "message") -> SseEvent:
        """El siguiente evento, que debe llamarse `event` y llevar el JSON `expected`."""
        wanted = f"el evento «{event}» con {show(expected)}"
        received = await self.event(within, expecting=wanted)
        found = difference(event, received.event, "event") or difference(expected, received.json(), "data")
        if found:
            raise Mismatch(wanted, f"{_shown(received)} (se esperaba {found})")
        return received

    async def ended(self, within: float = DEADLINE) -> None:
        """Espera a que el servidor acabe el flujo; lo que llegue antes se lee y se apunta."""
        with contextlib.suppress(StreamEnded, httpx.HTTPError):
            try:
                async with asyncio.timeout(patience(within)):
                    while True:
                        transcript.add(self.target.name, self.name, "sse", _shown(await self._read_block()))
            except TimeoutError as error:
                raise Mismatch("que el flujo acabe", f"sigue abierto tras {within:g} s") from error
        transcript.add(self.target.name, self.name, "close", "fin del flujo")

    async def _read_block(self) -> SseEvent:
        lines: list[str] = []
        size = 0
        async for line in self._lines:
            size += len(line)
            if size > MAX_EVENT:
                raise Mismatch("un evento razonable", f"más de {MAX_EVENT // 1024} KiB sin una línea en blanco")
            if line:
                lines.append(line)
            elif lines:
                return parse_block(lines)
        raise StreamEnded


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


def _shown(event: SseEvent) -> str:
    if event.comment is not None:
        return f": {event.comment}"
    parts = [
        f"event: {event.event}",
        f"id: {event.id}" if event.id is not None else "",
        f"data: {event.data}",
    ]
    return " · ".join(filter(None, parts))
