"""Un cable por cada vía: un puerto de 127.0.0.1 que deja pasar los bytes, los cuenta y se puede cortar.

La página se conecta por él, así que lo que cuenta es lo que de verdad cruza: cabeceras, tramas y relleno. Los puertos
son fijos si están libres (desde `WIRES_PORT`, 47110): así, al reiniciar el servidor, `EventSource` encuentra el suyo.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count

from pydantic import BaseModel
from streams import Feed

CHUNK = 16 * 1024
SHOWN = 2000
FIRST_PORT = int(os.environ.get("WIRES_PORT", "47110"))
LANES = ("poll", "sse", "ws", "naive", "crowd")

Address = tuple[str, int | None]


class Piece(BaseModel):
    """Lo que ha bajado de una vez por una conexión, como texto."""

    lane: str
    connection: int
    text: str


@dataclass
class Meter:
    """Bytes desde que se puso a cero; `opened`, las conexiones TCP que ha habido."""

    up: int = 0
    down: int = 0
    opened: int = 0
    open: int = 0


class Wire:
    def __init__(self, lane: str, pieces: Feed[Piece]) -> None:
        self.lane, self.port = lane, 0
        self.upstream: Address | None = None
        self.meter = Meter()
        self._pieces = pieces
        self._ends: set[asyncio.StreamWriter] = set()
        self._numbers = count(1)

    @asynccontextmanager
    async def listening(self, preferred: int) -> AsyncIterator[None]:
        try:
            server = await asyncio.start_server(self._serve, "127.0.0.1", preferred)
        except OSError:
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            self.cut()

    def cut(self) -> int:
        """Arranca el cable: todas sus conexiones TCP acaban sin despedirse. Devuelve cuántas eran."""
        for end in self._ends:
            end.transport.abort()
        return len(self._ends) // 2

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            answers, server = await connect(self.upstream)
        except OSError:
            client.close()
            return
        ends = {client, server}
        self._ends |= ends
        self.meter.opened += 1
        self.meter.open += 1
        up = asyncio.create_task(self._carry_up(reader, server))
        try:
            await self._carry_down(answers, client, next(self._numbers))
        finally:
            up.cancel()
            self._ends -= ends
            self.meter.open -= 1
            for end in ends:
                end.close()

    async def _carry_up(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                self.meter.up += len(data)
                server.write(data)
                await server.drain()
        # El cliente se ha ido: que la aplicación lo sepa.
        server.close()

    async def _carry_down(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter, number: int) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                self.meter.down += len(data)
                text = data[:SHOWN].decode("utf-8", "replace")
                self._pieces.publish(Piece(lane=self.lane, connection=number, text=text))
                client.write(data)
                await client.drain()


class Wires:
    """Los cables de la mini-app, por nombre, y lo que se ha oído en ellos."""

    def __init__(self) -> None:
        self.pieces = Feed[Piece]()
        self.by_lane = {lane: Wire(lane, self.pieces) for lane in LANES}

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for port, wire in enumerate(self.by_lane.values(), FIRST_PORT):
                await stack.enter_async_context(wire.listening(port))
            yield

    def lead_to(self, address: Address) -> None:
        """Adónde llevan todos: la dirección de la propia aplicación."""
        for wire in self.by_lane.values():
            wire.upstream = address

    def reset(self) -> None:
        for wire in self.by_lane.values():
            wire.meter = Meter(open=wire.meter.open)


async def connect(address: Address | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A la aplicación, escuche en un puerto o en un socket Unix (uvicorn lo anuncia con puerto `None`)."""
    if address is None:
        raise ConnectionError("aún no se conoce la dirección de la aplicación")
    host, port = address
    if port is None:
        return await asyncio.open_unix_connection(host)
    return await asyncio.open_connection(host, port)
