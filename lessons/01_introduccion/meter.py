"""Un contador en el cable: un puerto de 127.0.0.1 que deja pasar los bytes hasta la aplicación y los cuenta.

Cada panel de la página habla por su propio puerto, así que todo lo que cruza por uno es de ese panel, cabeceras
incluidas. Solo cambia una cosa: retira la oferta de compresión de los WebSocket, para que las cuatro vías
lleven los mismos bytes de carga.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from counting import END_OF_HEAD, Glimpse, Heads, Reading

CHUNK = 64 * 1024
BROKEN = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)
OFFER = re.compile(rb"\r\nSec-WebSocket-Extensions:[^\r\n]*", re.IGNORECASE)

Address = tuple[str, int | None]


@dataclass
class Meter:
    upstream: Address
    port: int = 0
    _count: Reading = field(default_factory=Reading)
    _seen_up: Glimpse = field(default_factory=Glimpse)
    _seen_down: Glimpse = field(default_factory=Glimpse)
    _ends: set[asyncio.StreamWriter] = field(default_factory=set)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Meter"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=CHUNK)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for end in self._ends:
                end.transport.abort()

    def reading(self) -> Reading:
        seen = {"last_up": str(self._seen_up), "last_down": str(self._seen_down)}
        return self._count.model_copy(update=seen)

    async def _serve(self, client_reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            server_reader, server = await connect(self.upstream)
        except OSError:
            client.close()
            return
        ends = {client, server}
        self._ends |= ends
        self._count.connections += 1
        self._count.open += 1
        up = asyncio.create_task(self._carry_up(client_reader, server))
        try:
            with suppress(*BROKEN):
                await self._carry_down(server_reader, client)
        finally:
            up.cancel()
            self._count.open -= 1
            self._ends -= ends
            for end in ends:
                end.close()

    # region contar
    async def _carry_up(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        heads = Heads()
        with suppress(*BROKEN):
            data = await reader.readuntil(END_OF_HEAD)
            while data:
                self._count.up += len(data)
                self._count.requests += heads.feed(data)
                self._seen_up, self._seen_down = Glimpse(), Glimpse()
                self._seen_up.add(data)
                server.write(OFFER.sub(b"", data))
                await server.drain()
                data = await reader.read(CHUNK)
        # El cliente ha acabado: el servidor tiene que saberlo, o seguiría esperando por él.
        server.close()

    # endregion

    async def _carry_down(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            self._count.down += len(data)
            self._seen_down.add(data)
            client.write(data)
            await client.drain()


async def connect(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A la aplicación, escuche en un puerto o en un socket Unix (uvicorn lo anuncia con puerto `None`)."""
    host, port = address
    if port is None:
        return await asyncio.open_unix_connection(host)
    return await asyncio.open_connection(host, port)
