"""Un relé TCP en 127.0.0.1 que deja pasar los bytes hasta la propia aplicación y los anota en el diario.

Un navegador no enseña las tramas a la página; un cable intermedio, sí.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

from cable import CHUNK, Cable
from journal import Journal, WireEvent

Address = tuple[str, int | None]


class Relay:
    def __init__(self, journal: Journal) -> None:
        self.upstream: Address | None = None
        self.port = 0
        self._journal = journal
        self._cables: dict[int, Cable] = {}
        self._numbers = count(1)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Relay"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=CHUNK)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for cable in self._cables.values():
                cable.cut()

    def cut(self, number: int) -> bool:
        cable = self._cables.get(number)
        if cable:
            cable.cut()
        return cable is not None

    async def _serve(self, client_reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            server_reader, server = await connect(self.upstream)
        except OSError:
            client.close()
            return
        cable = Cable(next(self._numbers), self._journal, client, server)
        self._cables[cable.number] = cable
        up = asyncio.create_task(cable.carry_up(client_reader, server))
        try:
            await cable.carry_down(server_reader, client)
        finally:
            self._retire(cable, up)

    def _retire(self, cable: Cable, up: asyncio.Task[None]) -> None:
        up.cancel()
        cable.close()
        del self._cables[cable.number]
        how = "cable cortado" if cable.was_cut else "fin de la conexión TCP"
        self._journal.publish(WireEvent(connection=cable.number, kind="end", name=how))


async def connect(address: Address | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A la aplicación, escuche en un puerto o en un socket Unix (uvicorn lo anuncia con puerto `None`)."""
    if address is None:
        raise ConnectionError("aún no se conoce la dirección de la aplicación")
    host, port = address
    if port is None:
        return await asyncio.open_unix_connection(host)
    return await asyncio.open_connection(host, port)
