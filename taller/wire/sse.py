"""Un cliente SSE que enseña lo que EventSource esconde: comentarios, `retry` y el tipo de contenido."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import h11
import httpx

from taller.patience import patience
from taller.wire.compare import difference, show
from taller.wire.event_stream import EventStream, SseEvent
from taller.wire.mismatch import Mismatch
from taller.wire.raw import RawSocket
from taller.wire.target import DEADLINE, Target
from taller.wire.transcript import shorten, transcript

CHUNK = 64 * 1024
LONGEST_SHOWN = 200
BROWSER = {"Host": "app", "Accept": "text/event-stream", "Cache-Control": "no-cache"}
ENDED = "el servidor acabó el flujo"
CUT = "el flujo se cortó a medias"


class SseClient:
    """Un flujo abierto; `response` tiene el código y las cabeceras.

    Lee del cable solo cuando se le piden bloques: quien lo abre y no pide nada es un lector parado.
    """

    # Un socket de asyncio y no un cliente de httpx: así, un plazo que vence no deja el flujo a medio leer.
    def __init__(self, raw: RawSocket) -> None:
        self.target, self.name = raw.target, raw.name
        self.response = httpx.Response(0)
        self._raw = raw
        self._http = h11.Connection(h11.CLIENT)
        self._parser = EventStream()
        self._parsed: deque[SseEvent] = deque()
        self._end: str | None = None

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
        buffer: int | None = None,
        within: float = DEADLINE,
    ) -> AsyncIterator["SseClient"]:
        """Abre el flujo con las cabeceras que envía un navegador. No exige que la respuesta sea correcta.

        `buffer` es el tamaño del búfer de recepción del núcleo, en bytes, para un lector que se va a parar.
        """
        position = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
        async with RawSocket.open(target, name=name, buffer=buffer) as raw:
            client = cls(raw)
            await client._request(path, {**(headers or {}), **position}, within)
            yield client

    async def block(self, within: float = DEADLINE, *, expecting: str = "un bloque SSE") -> SseEvent:
        """El siguiente bloque, comentarios incluidos.

        Raises:
            Mismatch: no llega en `within` segundos o el flujo acaba antes.
        """
        return await self._take(lambda block: True, within, expecting)

    async def event(self, within: float = DEADLINE, *, expecting: str = "un evento SSE") -> SseEvent:
        """El siguiente bloque con datos: salta comentarios y bloques que solo traen `retry`."""
        return await self._take(lambda block: block.comment is None and bool(block.data), within, expecting)

    async def expect(self, expected: Any, within: float = DEADLINE, *, event: str = "message") -> SseEvent:
        """El siguiente evento, que debe llamarse `event` y llevar el JSON `expected`."""
        wanted = shorten(f"el evento «{event}» con {show(expected)}", LONGEST_SHOWN)
        received = await self.event(within, expecting=wanted)
        found = difference(event, received.event, "event") or difference(expected, received.json(), "data")
        if found:
            raise Mismatch(
                wanted, f"{shorten(str(received), LONGEST_SHOWN)} (se esperaba {shorten(found, LONGEST_SHOWN)})"
            )
        return received

    async def ended(self, within: float = DEADLINE, *, clean: bool = False) -> None:
        """Espera a que el servidor acabe el flujo; lo que llegue antes se lee y se apunta.

        Con `clean`, exige además que lo acabe él: que no se corte a mitad de la respuesta.
        """
        try:
            async with asyncio.timeout(patience(within)):
                while event := await self._next():
                    transcript.add(self.target.name, self.name, "sse", str(event))
        except TimeoutError as error:
            raise Mismatch("que el flujo acabe", f"sigue abierto tras {within:g} s") from error
        if clean and self._end != ENDED:
            raise Mismatch("que el servidor acabe el flujo", await self.target.explain(self._end or ""))

    async def _take(self, wanted: Callable[[SseEvent], bool], within: float, expecting: str) -> SseEvent:
        try:
            async with asyncio.timeout(patience(within)):
                while block := await self._next():
                    transcript.add(self.target.name, self.name, "sse", str(block))
                    if wanted(block):
                        return block
        except TimeoutError as error:
            raise Mismatch(expecting, await self.target.explain(self._silence(within))) from error
        raise Mismatch(expecting, await self.target.explain(self._end or ""))

    async def _request(self, path: str, headers: Mapping[str, str], within: float) -> None:
        shown = " ".join(f"{name}: {value}" for name, value in headers.items())
        transcript.add(self.name, self.target.name, "http", shorten(f"GET {path} {shown}".strip()))
        request = h11.Request(method="GET", target=path, headers=list({**BROWSER, **headers}.items()))
        for event in (request, h11.EndOfMessage()):
            self._raw.writer.write(self._http.send(event) or b"")
        try:
            async with asyncio.timeout(patience(within)):
                head = await self._http_event()
        except TimeoutError as error:
            received = await self.target.explain(f"nada en {within:g} s")
            raise Mismatch(f"una respuesta a GET {path}", received) from error
        if not isinstance(head, h11.Response):
            raise Mismatch(f"una respuesta a GET {path}", await self.target.explain("la conexión se cortó"))
        self.response = httpx.Response(head.status_code, headers=list(head.headers))
        kind = self.response.headers.get("content-type", "sin Content-Type")
        transcript.add(self.target.name, self.name, "http", f"{head.status_code} {kind}")

    async def _next(self) -> SseEvent | None:
        """El siguiente bloque, o None si el flujo ha acabado."""
        while not self._parsed:
            if self._end is not None:
                return None
            event = await self._http_event()
            if isinstance(event, h11.Data):
                self._parsed.extend(self._parser.feed(bytes(event.data)))
            else:
                self._end = ENDED if isinstance(event, h11.EndOfMessage) else CUT
                transcript.add(self.target.name, self.name, "close", self._end)
        return self._parsed.popleft()

    async def _http_event(self) -> h11.Event | None:
        """Lo siguiente de la respuesta HTTP; None si se corta a medias."""
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(await self._raw.reader.read(CHUNK))
        except (h11.RemoteProtocolError, ConnectionError):
            return None
        return event if isinstance(event, h11.Event) else None

    def _silence(self, within: float) -> str:
        if self._parser.unfinished:
            return f"un bloque sin la línea en blanco que lo termina: {shorten(self._parser.unfinished, 120)}"
        return f"nada en {within:g} s"
