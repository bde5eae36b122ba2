"""Un cable: los bytes de una conexión pasan de un lado a otro, y el diario anota lo que se oye.

Solo cambia una cosa, y la página lo dice: retira de la petición la oferta de compresión, salvo que la ruta
lleve `deflate=1`. Con ella, la carga de las tramas no se podría leer.
"""

import asyncio
import re
from contextlib import suppress

from frames import Frame
from journal import Direction, Journal, WireEvent
from wire import END_OF_HEAD, Head, HeadTooLarge, Tap

CHUNK = 64 * 1024
HEAD_DEADLINE = 10.0
BROKEN = (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, HeadTooLarge)
OFFER = re.compile(rb"\r\nSec-WebSocket-Extensions:[^\r\n]*", re.IGNORECASE)


class Cable:
    """Una conexión: el lado del cliente, el lado del servidor y un oído en cada sentido."""

    def __init__(self, number: int, journal: Journal, *ends: asyncio.StreamWriter) -> None:
        self.number = number
        self.was_cut = False
        self._journal = journal
        self._taps: dict[Direction, Tap] = {"up": Tap(), "down": Tap()}
        self._ends = ends

    def hear(self, direction: Direction, data: bytes) -> None:
        for seen in self._taps[direction].feed(data):
            self._note(direction, seen)
            if isinstance(seen, Head) and seen.switches:
                for early in self._taps["up"].switch():
                    self._note("up", early)

    def _note(self, direction: Direction, seen: Head | Frame) -> None:
        if isinstance(seen, Head):
            self._journal.publish(WireEvent.of_head(self.number, direction, seen))
        else:
            self._journal.publish(WireEvent.of_frame(self.number, direction, seen))

    def cut(self) -> None:
        """Como arrancar el cable: TCP se acaba sin trama de cierre."""
        self.was_cut = True
        for end in self._ends:
            end.transport.abort()

    def close(self) -> None:
        for end in self._ends:
            end.close()

    async def carry_up(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(END_OF_HEAD), HEAD_DEADLINE)
            self.hear("up", head)
            server.write(without_offer(head))
            await self._copy("up", reader, server)
            server.write_eof()
        except BROKEN:
            server.transport.abort()

    async def carry_down(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        with suppress(*BROKEN):
            await self._copy("down", reader, client)

    async def _copy(self, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            self.hear(direction, data)
            writer.write(data)
            await writer.drain()


def without_offer(head: bytes) -> bytes:
    wanted = b"deflate=1" in head.split(b"\r\n", 1)[0]
    return head if wanted else OFFER.sub(b"", head)
