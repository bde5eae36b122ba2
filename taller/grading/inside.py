"""Valkey y PostgreSQL dentro de la jaula: lo que el código del estudiante les mande hacer, ahí se queda.

Desde fuera se los puede matar, pausar y reiniciar como a los demás; solo cambia quién los arranca.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

from taller.patience import patience
from taller.runner import Run
from taller.runner.confined import ConfinedProcess
from taller.runner.sandbox import DATA
from taller.services import Postgres, ServiceError, Valkey
from taller.services.places import LOOPBACK
from taller.services.postgres_cluster import ROLE, find_binaries
from taller.services.postgres_server import ALWAYS, TEMPORARY
from taller.services.process import Process
from taller.services.valkey_server import find_binary

START_SECONDS = 10.0
# La red de la jaula es solo suya: no hay con quién chocar.
VALKEY_PORT, POSTGRES_PORT = 6379, 5432
# La primera vez, los datos son una copia de los que se prepararon fuera; tras una caída, los que hubiera.
FROM_TEMPLATE = f"""
[ -d {DATA}/pg ] || cp -R "$0" {DATA}/pg
chmod 700 {DATA}/pg && rm -f {DATA}/pg/postmaster.pid && exec "$@"
"""


class InsideProcess(Process):
    """Los mandos de un servidor de la jaula. Lo vigila un supervisor del ejecutor, no el de los servicios."""

    def __init__(self, backend: ConfinedProcess) -> None:
        super().__init__(cast(Any, None))
        self._backend = backend
        self._run: Run | None = None
        self._following: asyncio.Task[None] | None = None

    async def start(self, argv: list[str], log: Path = Path(), user: int | None = None, text: str = "") -> None:
        """Arranca `argv` en la jaula; lo que escriba lo guarda su ejecución."""
        run = await self._backend.command(argv)
        await run.ready(patience(START_SECONDS))
        self._run = run
        self._note({"pid": run.pid})
        self._following = asyncio.create_task(self._follow(run))

    async def _follow(self, run: Run) -> None:
        end = await run.ended(None)
        assert end
        self._note({"code": end.code or -end.signal})

    async def close(self) -> None:
        if self._run is not None and self._following is not None:
            await self._run.close()
            await self._following


class InsideValkey(Valkey):
    async def _launch(self, process: Process) -> None:
        binary = find_binary()
        if binary is None:
            raise ServiceError("No encuentro ningún servidor Valkey. Prepara el curso con: python3 curso.py")
        listen = ["--bind", LOOPBACK, "--port", str(VALKEY_PORT)]
        await process.start([str(binary), *listen, "--save", "", "--appendonly", "no", "--dir", DATA], Path())


class InsidePostgres(Postgres):
    template = Path()

    async def _launch(self, process: Process) -> None:
        listen = ["-h", LOOPBACK, "-p", str(POSTGRES_PORT), "-k", ""]
        server = [str(find_binaries() / "postgres"), "-D", f"{DATA}/pg", *listen, *TEMPORARY, *ALWAYS]
        await process.start(["/bin/sh", "-c", FROM_TEMPLATE, str(self.template), *server], Path())


@contextlib.asynccontextmanager
async def inside_valkey(backend: ConfinedProcess) -> AsyncIterator[Valkey]:
    """El Valkey de la jaula, para el bloque `async with`."""
    process = InsideProcess(backend)
    server = InsideValkey(f"redis://{LOOPBACK}:{VALKEY_PORT}", process=process)
    try:
        await server.start()
        yield server
    finally:
        await process.close()


@contextlib.asynccontextmanager
async def inside_postgres(backend: ConfinedProcess, template: Path) -> AsyncIterator[Postgres]:
    """El PostgreSQL de la jaula, con los datos de `template`, para el bloque `async with`."""
    process = InsideProcess(backend)
    server = InsidePostgres(f"postgresql://{ROLE}@{LOOPBACK}:{POSTGRES_PORT}/{ROLE}", process=process)
    server.template = template
    try:
        await server.start()
        yield server
    finally:
        await process.close()
