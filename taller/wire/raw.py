"""Bytes a mano: para lo que ningún cliente correcto enviaría, y para leer la respuesta tal cual."""

import asyncio
import base64
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from taller.patience import patience
from taller.runner import Address
from taller.wire.mismatch import Mismatch
from taller.wire.target import DEADLINE, Target
from taller.wire.transcript import shorten, transcript

MAX_HEAD = 64 * 1024


@dataclass(frozen=True)
class Handshake:
    """La respuesta a un apretón de manos: código, cabeceras (en minúsculas) y la clave que se envió."""

    status: int
    headers: dict[str, str]
    key: str


class RawSocket:
    """Una conexión TCP o Unix sin protocolo; con `buffer`, el tamaño del búfer de recepción en bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: Target, name: str) -> None:
        self.reader, self.writer, self.target, self.name = reader, writer, target, name

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, target: Target, *, name: str = "cliente", buffer: int | None = None
    ) -> AsyncIterator["RawSocket"]:
        try:
            sock = await connected_socket(target.address, buffer)
            reader, writer = await asyncio.open_connection(sock=sock, limit=MAX_HEAD)
        except OSError as error:
            raise Mismatch("que la app acepte la conexión", await target.explain("la rechazó")) from error
        try:
            yield cls(reader, writer, target, name)
        finally:
            writer.transport.abort()

    async def send(self, data: bytes) -> None:
        transcript.add(self.name, self.target.name, "raw", _printable(data))
        self.writer.write(data)
        await self.writer.drain()

    async def read_head(self, within: float = DEADLINE) -> bytes:
        """Todo hasta la línea en blanco que acaba unas cabeceras HTTP, ella incluida."""
        try:
            head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), patience(within))
        except TimeoutError as error:
            raise Mismatch("una respuesta HTTP", await self.target.explain(f"nada en {within:g} s")) from error
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError) as error:
            raise Mismatch("una respuesta HTTP", await self.target.explain("la conexión se cortó")) from error
        transcript.add(self.target.name, self.name, "raw", _printable(head))
        return head

    def stop_reading(self) -> None:
        """Deja de leer: los búferes del núcleo se llenan y el servidor se queda con el resto."""
        transcript.note(f"{self.name} deja de leer")
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]  # el transporte es de lectura y escritura


async def handshake(
    target: Target,
    path: str,
    *,
    version: str | None = "13",
    subprotocols: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
    name: str = "cliente",
    within: float = DEADLINE,
) -> Handshake:
    """Pide un WebSocket con las cabeceras que se digan y devuelve la respuesta, sea cual sea."""
    key = base64.b64encode(os.urandom(16)).decode()
    fields = {"Host": "app", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": key}
    if version is not None:
        fields["Sec-WebSocket-Version"] = version
    if subprotocols:
        fields["Sec-WebSocket-Protocol"] = ", ".join(subprotocols)
    lines = [
        f"GET {path} HTTP/1.1",
        *(f"{name}: {value}" for name, value in {**fields, **(headers or {})}.items()),
    ]
    async with RawSocket.open(target, name=name) as raw:
        await raw.send("\r\n".join([*lines, "", ""]).encode())
        head = (await raw.read_head(within)).decode("latin-1")
    status_line, *rest = head.strip().split("\r\n")
    pairs = (line.partition(":") for line in rest)
    return Handshake(int(status_line.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}, key)


async def connected_socket(address: Address, buffer: int | None) -> socket.socket:
    """Un socket ya conectado; con `buffer`, ese tamaño de búfer de recepción, en bytes.

    Raises:
        OSError: nadie escucha ahí, o no acepta a tiempo.
    """
    sock = socket.socket(socket.AF_UNIX if address.path else socket.AF_INET)
    sock.setblocking(False)
    if buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    where = address.path or (address.host, address.port)
    try:
        await asyncio.wait_for(asyncio.get_running_loop().sock_connect(sock, where), patience(DEADLINE))
    except BaseException:
        sock.close()
        raise
    return sock


def _printable(data: bytes) -> str:
    text = data.decode("latin-1").rstrip("\r\n").replace("\r\n", " ⏎ ")
    return shorten("".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in text))
