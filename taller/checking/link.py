"""Un cable entre la app y uno de sus servidores, que se puede sujetar en un punto exacto.

    async with link_to(redis_server.url) as link, launch(env={"REDIS_URL": link.url}) as app:
        held = link.hold_reply_to("PUBLISH")   # pasa el PUBLISH, pero su respuesta espera
        …                                      # la app publica
        await held.arrived()
        held.release()

Se sujeta una sola conexión, la primera por la que pasa lo que se dice; las demás siguen. Si la app muere mientras
tanto, lo sujeto no llega a su destino: así se la mata entre dos de sus pasos. Vale para Redis, PostgreSQL y SMTP.
"""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit, urlunsplit

from taller.patience import patience
from taller.short_paths import socket_folder
from taller.wire import Mismatch, transcript
from taller.wire.target import DEADLINE

CHUNK = 64 * 1024
REMEMBERED = 64 * 1024
POSTGRES_SOCKET = ".s.PGSQL.5432"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Direction = Literal["request", "reply"]


@dataclass
class Hold:
    """Lo que se espera ver pasar: `arrived` espera a que llegue; `release` lo deja seguir."""

    text: bytes
    seen_in: Direction
    stops: Direction
    after: bytes = b""
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_here(self) -> bool:
        """Si ya ha pasado y aún no se ha soltado."""
        return self._arrived.is_set() and not self._released.is_set()

    async def arrived(self, within: float = DEADLINE) -> None:
        """
        Raises:
            Mismatch: no pasa en `within` segundos.
        """
        try:
            async with asyncio.timeout(patience(within)):
                await self._arrived.wait()
        except TimeoutError:
            name = self.text.decode(errors="replace")
            whose = "que tu app envíe" if self.seen_in == "request" else "que a tu app le contesten"
            raise Mismatch(f"{whose} «{name}»", f"nada en {within:g} s") from None

    async def arrived_unless(self, task: asyncio.Task[Any]) -> None:
        """Espera a que pase o, si no llega a pasar, a que `task`, la petición que debía provocarlo, acabe."""
        arriving = asyncio.create_task(self._arrived.wait())
        await asyncio.wait({arriving, task}, return_when=asyncio.FIRST_COMPLETED, timeout=patience(DEADLINE))
        arriving.cancel()
        await asyncio.gather(arriving, return_exceptions=True)

    def release(self) -> None:
        self._released.set()

    def catches(self, direction: Direction, data: bytes, said: bytes) -> bool:
        """Si es lo que se espera: `said` es lo que la app ha enviado por esa conexión, con esto incluido."""
        if self._arrived.is_set() or direction != self.seen_in or self.after not in said:
            return False
        # Los nombres de las órdenes no distinguen mayúsculas: cada biblioteca los escribe a su manera.
        return self.text.lower() in data.lower()

    def catch(self) -> None:
        self._arrived.set()

    async def wait(self) -> None:
        await self._released.wait()


Chunk = tuple[bytes, tuple[Hold, ...]]  # lo que llega, y lo que hay que soltar para que siga


@dataclass
class State:
    """De una conexión: lo último que ha enviado la app, y lo que está sujeto en cada sentido."""

    said: bytes = b""
    gates: dict[Direction, list[Hold]] = field(default_factory=lambda: {"request": [], "reply": []})


class Link:
    """El cable, ya tendido; `url` es la dirección que se da a la app en lugar de la verdadera."""

    def __init__(self, connect: Callable[[], Awaitable[Streams]], name: str) -> None:
        self.url = ""
        self._connect, self._name = connect, name
        self._holds: list[Hold] = []
        self._running: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()

    def hold_request(self, text: str, *, after: str = "") -> Hold:
        """Sujeta lo próximo que la app envíe con `text` (lo que sea, si está vacío) y lo que envíe detrás.

        Con `after`, solo en una conexión por la que la app haya enviado hace poco ese otro texto.
        """
        return self._hold(Hold(text.encode(), "request", "request", after.encode()))

    def hold_reply(self, text: str) -> Hold:
        """Sujeta la próxima respuesta con `text`, y las que la sigan."""
        return self._hold(Hold(text.encode(), "reply", "reply"))

    def hold_reply_to(self, text: str, *, after: str = "") -> Hold:
        """Deja pasar lo próximo que la app envíe con `text`, y sujeta lo que le contesten; `after`, igual."""
        return self._hold(Hold(text.encode(), "request", "reply", after.encode()))

    def let_go(self) -> None:
        """Suelta todo lo sujeto y olvida lo que se esperaba sujetar."""
        for held in self._holds:
            held.release()
        self._holds = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Una conexión de la app, hasta que la cierre cualquiera de los dos."""
        task = asyncio.current_task()
        assert task
        self._running.add(task)
        try:
            with contextlib.suppress(OSError):
                await self._join((reader, writer), await self._connect())
        finally:
            await _close(writer)
            self._running.discard(task)

    async def close(self) -> None:
        """Corta todas las conexiones."""
        # Sin cancelarlas: Python 3.11 apunta como error que se cancele una conexión de asyncio.
        self._closing.set()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _hold(self, held: Hold) -> Hold:
        self._holds.append(held)
        return held

    async def _join(self, near: Streams, far: Streams) -> None:
        state = State()
        tasks = {
            asyncio.create_task(self._pump("request", near[0], far[1], state)),
            asyncio.create_task(self._pump("reply", far[0], near[1], state)),
            asyncio.create_task(self._until_closing()),
        }
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await _close(far[1])

    async def _until_closing(self) -> None:
        await self._closing.wait()

    async def _pump(
        self, direction: Direction, source: asyncio.StreamReader, target: asyncio.StreamWriter, state: State
    ) -> None:
        """Copia lo que llega, salvo lo sujeto. Sigue leyendo mientras tanto, para saber si la otra parte se va."""
        pending: asyncio.Queue[Chunk] = asyncio.Queue()
        forwarding = asyncio.create_task(_forward(pending, target))
        try:
            while data := await source.read(CHUNK):
                self._look(direction, data, state)
                pending.put_nowait((data, tuple(state.gates[direction])))
        finally:
            forwarding.cancel()
            await asyncio.gather(forwarding, return_exceptions=True)
            _flush(pending, target)

    def _look(self, direction: Direction, data: bytes, state: State) -> None:
        """Cierra el paso si esto es lo que se esperaba sujetar."""
        if direction == "request":
            state.said = (state.said + data)[-REMEMBERED:]
        for held in [held for held in self._holds if held.catches(direction, data, state.said)]:
            transcript.note(f"el control sujeta el cable con {self._name}: «{held.text.decode()}»")
            state.gates[held.stops].append(held)
            held.catch()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _forward(pending: asyncio.Queue[Chunk], target: asyncio.StreamWriter) -> None:
    while True:
        data, gate = await pending.get()
        for held in gate:
            await held.wait()
        target.write(data)
        await target.drain()


def _flush(pending: asyncio.Queue[Chunk], target: asyncio.StreamWriter) -> None:
    """Lo que quedaba en camino cuando una parte se fue; lo sujeto no llega."""
    while not pending.empty():
        data, gate = pending.get_nowait()
        if any(held.is_here for held in gate):
            return
        target.write(data)


@contextlib.asynccontextmanager
async def link_to(url: str) -> AsyncIterator[Link]:
    """Un cable hasta el servidor de `url`, que llega por donde llegaba: un socket Unix o un puerto de 127.0.0.1."""
    folder = socket_folder()
    path = _socket_path(url)
    link = Link(lambda: _connect(url, path), urlsplit(url).scheme)
    try:
        if path:
            near = folder / (POSTGRES_SOCKET if path.endswith(POSTGRES_SOCKET) else "link.sock")
            server = await asyncio.start_unix_server(link.serve, str(near))
            link.url = url.replace(str(Path(path).parent), str(folder)).replace(Path(path).name, near.name)
        else:
            server = await asyncio.start_server(link.serve, "127.0.0.1", 0)
            link.url = _with_port(url, server.sockets[0].getsockname()[1])
        try:
            yield link
        finally:
            link.let_go()
            server.close()
            await link.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _socket_path(url: str) -> str:
    """El socket Unix al que lleva la URL; vacío si lleva a un puerto."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return parts.path
    folder = parse_qs(parts.query).get("host", [""])[0]
    return f"{folder}/{POSTGRES_SOCKET}" if folder.startswith("/") else ""


async def _connect(url: str, path: str) -> Streams:
    if path:
        return await asyncio.open_unix_connection(path)
    parts = urlsplit(url)
    assert parts.port
    return await asyncio.open_connection(parts.hostname, parts.port)


def _with_port(url: str, port: int) -> str:
    parts = urlsplit(url)
    account, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{account}{at}127.0.0.1:{port}"))
