"""Un PostgreSQL de verdad, privado, con bases nuevas en milésimas de segundo."""

import os
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from taller.services.errors import ServiceError
from taller.services.places import (
    LOOPBACK,
    data_directory,
    free_port,
    require_passage,
    scratch_directory,
    unprivileged_user,
)
from taller.services.postgres_cluster import ROLE, ensure_cluster, find_binaries, release_shared_memory
from taller.services.process import Process, supervised
from taller.services.server import Server

ANSWER_SECONDS = 3.0
# Sin el riesgo de un corte de luz, `fsync` sobra; `synchronous_commit` se queda: lo confirmado debe
# sobrevivir a `kill()`, como en la vida real.
TEMPORARY = ["-c", "fsync=off", "-c", "full_page_writes=off"]
# La memoria dinámica va en la carpeta de datos: en /dev/shm quedaría tras un SIGKILL.
ALWAYS = ["-c", "dynamic_shared_memory_type=mmap", "-c", "shared_buffers=32MB", "-c", "max_connections=100"]


@dataclass(frozen=True)
class Layout:
    """Dónde están las piezas de un PostgreSQL propio y con qué usuario corre (None: el nuestro)."""

    binaries: Path
    scratch: Path
    data: Path
    user: int | None
    port: int | None
    temporary: bool

    def arguments(self) -> list[str]:
        """La orden que arranca el servidor: en `port` de 127.0.0.1 o, sin él, en un socket Unix."""
        where = ["-h", LOOPBACK, "-p", str(self.port)] if self.port else ["-h", ""]
        sockets = ["-k", str(self.scratch)] if os.name != "nt" else []
        storage = TEMPORARY if self.temporary else []
        return [str(self.binaries / "postgres"), "-D", str(self.data), *where, *sockets, *storage, *ALWAYS]

    def url(self) -> str:
        """La URL de la base `taller`, que entienden asyncpg y SQLAlchemy."""
        if self.port:
            return f"postgresql://{ROLE}@{LOOPBACK}:{self.port}/{ROLE}"
        return self.socket_url()

    def socket_url(self) -> str:
        """La misma base por el socket Unix; en Windows no hay, y es la del puerto."""
        if os.name == "nt":
            return f"postgresql://{ROLE}@{LOOPBACK}:{self.port}/{ROLE}"
        port = f"&port={self.port}" if self.port else ""
        return f"postgresql://{ROLE}@/{ROLE}?host={self.scratch}{port}"


class Postgres(Server):
    """El servidor en marcha; `url` es la de la base `taller`, de la que el rol `taller` es dueño."""

    name = "PostgreSQL"
    variable = "DATABASE_URL"
    # El cierre «rápido»: el «educado» de SIGTERM esperaría a que se fueran todos los clientes.
    polite_signal = signal.SIGINT

    def __init__(self, url: str, layout: Layout | None = None, process: Process | None = None) -> None:
        super().__init__(url, process, layout.scratch / "log" if layout else None)
        self._layout = layout
        # En un puerto podría contestar otro servidor; en nuestro socket Unix, solo el nuestro.
        self._probe_url = layout.socket_url() if layout else url
        self._created: set[str] = set()

    async def answers(self) -> bool:
        """Si acepta una conexión en 3 s."""
        try:
            connection = await asyncpg.connect(self._probe_url, timeout=ANSWER_SECONDS)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        await connection.close(timeout=ANSWER_SECONDS)
        return True

    async def create_database(self, template: str | None = None) -> str:
        """Crea una base vacía, o copia de `template` (la URL de otra creada aquí), y devuelve su URL.

        ServiceError si la plantilla tiene conexiones abiertas.
        """
        name = f"{ROLE}_{secrets.token_hex(6)}"
        source = f' TEMPLATE "{_database(template)}"' if template else ""
        try:
            await self._execute(f'CREATE DATABASE "{name}"{source}')
        except asyncpg.ObjectInUseError:
            raise ServiceError(
                f"La base {_database(template or '')} tiene conexiones abiertas y no sirve de plantilla. "
                "Antes de copiarla: await conexion.close()"
            ) from None
        self._created.add(name)
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    async def drop_database(self, url: str) -> None:
        """Borra una base creada aquí y corta sus conexiones; si ya no existe, no hace nada."""
        name = _database(url)
        if name not in self._created:
            raise ServiceError(f"La base {name} no la creó este servicio y no se borra. Si es tuya: dropdb {name}")
        await self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self._created.discard(name)

    async def drop_created(self) -> None:
        """Borra todas las bases que se crearon aquí."""
        for name in tuple(self._created):
            await self.drop_database(f"/{name}")

    async def kill(self) -> None:
        """Lo mata con SIGKILL, con todos sus procesos; lo confirmado reaparece al arrancar."""
        await super().kill()
        if self._layout:
            release_shared_memory(self._layout.data)

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url, timeout=ANSWER_SECONDS)
        try:
            await connection.execute(statement)
        finally:
            await connection.close(timeout=ANSWER_SECONDS)

    async def _launch(self, process: Process) -> None:
        layout = self._layout
        assert layout
        assert self._log
        await ensure_cluster(process, layout.binaries, layout.data, self._log, layout.user)
        await process.start(layout.arguments(), self._log, layout.user)


def _database(url: str) -> str:
    return urlsplit(url).path.lstrip("/")


def _plan(directory: Path | None, port: int | None) -> Layout:
    user, binaries = unprivileged_user(), find_binaries()
    port = port or (free_port() if os.name == "nt" else None)
    if user is not None:
        require_passage(binaries)
    if directory:
        directory = data_directory(directory, user)
    scratch = scratch_directory(user, in_memory=directory is None)
    return Layout(binaries, scratch, (directory or scratch) / "datos", user, port, directory is None)


@asynccontextmanager
async def _own(directory: Path | None, port: int | None) -> AsyncIterator[Postgres]:
    layout = _plan(directory, port)
    lock = layout.data.with_name("taller.lock") if directory else None
    # SIGQUIT es el cierre inmediato: sin guardar nada, pero devolviendo la memoria compartida.
    async with supervised(layout.scratch, lock, farewell=getattr(signal, "SIGQUIT", 0)) as process:
        server = Postgres(layout.url(), layout, process)
        try:
            await server.start()
            yield server
        finally:
            if directory:
                await server.stop()


@asynccontextmanager
async def postgres(
    directory: Path | None = None, *, url: str | None = None, port: int | None = None
) -> AsyncIterator[Postgres]:
    """Un PostgreSQL para el bloque `async with`; al salir no queda nada de él.

    Con `directory` sus datos se conservan ahí, y una caída se repara al arrancar; sin ella son temporales.
    Con `port` escucha en 127.0.0.1; sin él, en un socket Unix (en Windows, en un puerto libre).
    `url`, o DATABASE_URL, manda usar otro servidor; de él se borran al salir las bases que se crearon.
    Lanza ServiceError si no hay servidor, no arranca o no responde.
    """
    external = url or os.environ.get("DATABASE_URL")
    if not external:
        async with _own(directory, port) as server:
            yield server
        return
    # SQLAlchemy nombra al conductor en la URL; asyncpg, no.
    server = Postgres(external.replace("postgresql+asyncpg://", "postgresql://", 1))
    await server.require_answer()
    try:
        yield server
    finally:
        await server.drop_created()
