"""Lo que cambia para un control cuando la app está encerrada: dónde viven los servidores y los archivos comunes.

Sustituye a las fixtures del mismo nombre de `taller.checking.fixtures`; los controles no lo notan.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from taller.checking.source import Source
from taller.grading.inside import inside_postgres, inside_valkey
from taller.grading.shared import SharedPath
from taller.runner import Runner
from taller.runner.confined import ConfinedProcess
from taller.runner.sandbox import SHARED
from taller.services import Postgres, Valkey
from taller.services.places import LOOPBACK

# Dónde está la plantilla de la base de datos: lo dice quien califica.
TEMPLATE = "TALLER_PLANTILLA_POSTGRES"


@pytest.fixture(scope="session")
def cell(runner: Runner) -> ConfinedProcess:
    assert isinstance(runner.backend, ConfinedProcess)
    return runner.backend


@pytest.fixture(scope="module")
async def valkey_server(anyio_backend: str, cell: ConfinedProcess) -> AsyncIterator[Valkey]:
    async with inside_valkey(cell) as server:
        yield server


@pytest.fixture(scope="module")
async def postgres_server(anyio_backend: str, cell: ConfinedProcess) -> AsyncIterator[Postgres]:
    async with inside_postgres(cell, Path(os.environ[TEMPLATE])) as server:
        yield server


@pytest.fixture(scope="module")
async def source_server(anyio_backend: str) -> AsyncIterator[Source]:
    """En un puerto: por la jaula no se ven los sockets Unix de fuera."""
    source = Source()
    async with await asyncio.start_server(source.serve, LOOPBACK, 0) as server:
        source.env = {"SOURCE_URL": f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"}
        yield source
        source.reset()


@pytest.fixture(scope="module")
def shared_folder(cell: ConfinedProcess) -> SharedPath:
    SharedPath.top, SharedPath.descriptor = SHARED, cell.shared
    return SharedPath(SHARED)
