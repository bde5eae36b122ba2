"""Pide ejecuciones de apps: la única puerta por la que el taller arranca código de estudiantes."""

import os
import shutil
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from taller.runner.fresh import FreshProcess
from taller.runner.run import Address, Run
from taller.short_paths import socket_folder

# Lo que importan las apps del curso: importarlo aquí una vez es lo que hace rápido cada arranque.
APP_MODULES = (
    "taller.runner.serve",
    "taller.runner.work",
    "taller.runner.once",
    "fastapi",
    "fastapi.responses",
    "fastapi.staticfiles",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
    "websockets.sync.server",
    "redis.asyncio",
    "aiosmtplib",
    "taskiq_redis",
    "httpx",
    "httpcore",
    "sse_starlette",
    "uvloop",
)
# Lo que solo compensa si van a nacer bastantes.
FIRST_TRIP = "taller.runner.first_trip"
# Lo que solo importan algunas.
SOME_APP_MODULES = (
    "alembic.command",
    "asyncpg",
    "jwt",
    "prometheus_client",
    "pwdlib.hashers.argon2",
    "sqlalchemy.ext.asyncio",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "structlog",
)

# La ejecución no hereda el entorno de quien comprueba: solo lo que hace falta para que Python funcione.
INHERITED_ENV = ("PATH", "HOME", "LANG", "LC_ALL", "SYSTEMROOT", "VIRTUAL_ENV")

UVICORN = {"log_level": "info", "timeout_graceful_shutdown": None, "ws_per_message_deflate": False}


class Backend(Protocol):
    """Cómo se arranca una ejecución: por `fork` (`WarmProcess`) o en un proceso nuevo (`FreshProcess`)."""

    def wait_warm(self) -> None: ...

    async def run(
        self,
        request: dict[str, Any],
        listener: socket.socket | None = None,
        address: Address | None = None,
        on_event: Callable[[dict[str, Any]], None] = ...,
        reserved: socket.socket | None = ...,
    ) -> Run: ...

    def reserve(self, listener: socket.socket | None = None) -> socket.socket | None: ...

    def close(self) -> None: ...


def can_fork() -> bool:
    return hasattr(os, "fork") and hasattr(socket, "send_fds") and "TALLER_SIN_FORK" not in os.environ


def start_runner(*, thorough: bool = False) -> "Runner":
    """Un ejecutor listo para pedirle apps; el proceso caliente arranca mientras tanto.

    Con `thorough` tarda más en calentarse: importa también lo que solo usan algunas.
    """
    if not can_fork():
        return Runner(FreshProcess())
    from taller.runner.forked import WarmProcess

    return Runner(WarmProcess.spawn((*APP_MODULES, *SOME_APP_MODULES, FIRST_TRIP) if thorough else APP_MODULES))


@dataclass
class Runner:
    """Arranca apps por su archivo. Hay que cerrarlo."""

    backend: Backend
    _sockets: Path | None = field(init=False, default=None)
    _serial: int = field(init=False, default=0)
    _reserved: tuple[socket.socket, Address] | None = field(init=False, default=None)

    def reserve(self) -> None:
        """Adelanta lo que se pueda de la próxima `launch` sin puerto: su proceso queda hecho, a la espera."""
        if self._reserved is None and can_fork():
            listener, address = self._listen(None)
            with listener:
                connection = self.backend.reserve(listener)
            self._reserved = (connection, address) if connection else None

    async def launch(
        self,
        folder: Path,
        target: str,
        *,
        env: Mapping[str, str] | None = None,
        port: int | None = None,
        uvicorn: Mapping[str, Any] | None = None,
    ) -> Run:
        """Arranca `target` (`módulo:app`) desde `folder`; con `port`, en ese puerto de 127.0.0.1 (0: uno libre).

        Raises:
            OSError: el puerto está ocupado.
        """
        request = _request("serve", folder, target, env, uvicorn={**UVICORN, **(uvicorn or {})})
        if self._reserved is not None and port is None:
            (connection, address), self._reserved = self._reserved, None
            return await self.backend.run(request, None, address, reserved=connection)
        listener, address = self._listen(port)
        with listener:
            return await self.backend.run(request, listener, address)

    async def work(self, folder: Path, target: str, *, env: Mapping[str, str] | None = None) -> Run:
        """Arranca un obrero que hace las tareas de `target` (`módulo:broker`); está listo cuando las espera."""
        return await self.backend.run(_request("work", folder, target, env))

    async def once(self, folder: Path, module: str, *, env: Mapping[str, str] | None = None) -> Run:
        """Ejecuta `module` desde `folder`, como `python -m`, hasta que acabe él."""
        return await self.backend.run(_request("once", folder, module, env))

    def _listen(self, port: int | None) -> tuple[socket.socket, Address]:
        if port is not None or not can_fork():
            listener = socket.create_server(("127.0.0.1", port or 0))
            return listener, Address(port=listener.getsockname()[1])
        if self._sockets is None:
            self._sockets = socket_folder()
        self._serial += 1
        path = self._sockets / f"{self._serial}.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(512)
        return listener, Address(path=str(path))

    def close(self) -> None:
        if self._reserved is not None:
            self._reserved[0].close()
        self.backend.close()
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)


def _request(entry: str, folder: Path, target: str, env: Mapping[str, str] | None, **extra: Any) -> dict[str, Any]:
    inherited = {name: os.environ[name] for name in INHERITED_ENV if name in os.environ}
    return {
        "entry": f"taller.runner.{entry}",
        "payload": {"folder": str(folder), "target": target, **extra},
        "env": {**inherited, "PYTHONUNBUFFERED": "1", **(env or {})},
    }
