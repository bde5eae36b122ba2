"""Lo que puede pedir un control: la app, más procesos suyos, azar reproducible y servidores de verdad.

Los servidores son de cada ejercicio: un control puede matarlos, pausarlos o reiniciarlos, y el siguiente los
encuentra en marcha y vacíos. Su dirección llega a la app por `app_env`, que cada archivo redefine:

    @pytest.fixture(scope="module")
    def app_env(valkey_server: Valkey) -> dict[str, str]:
        return {"REDIS_URL": valkey_server.url}
"""

import contextlib
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from taller.catalog import source_folder
from taller.checking.app import App, Launch, SharedApp
from taller.checking.keys import RUNNER
from taller.checking.source import Source, running_source
from taller.runner import Runner, start_runner
from taller.services import Mailbox, Postgres, ServiceError, Valkey, postgres, smtp, valkey
from taller.wire import transcript


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def runner(pytestconfig: pytest.Config) -> Iterator[Runner]:
    """El ejecutor heredado de quien lanzó esta sesión; si no lo hay, uno propio."""
    if RUNNER in pytestconfig.stash:
        yield pytestconfig.stash[RUNNER]
        return
    own = start_runner()
    own.backend.wait_warm()
    yield own
    own.close()


@pytest.fixture(scope="module")
def app_env() -> dict[str, str]:
    """El entorno con el que arranca la app; cada archivo de controles puede redefinirla."""
    return {}


@pytest.fixture(scope="module")
def launch(request: pytest.FixtureRequest, runner: Runner, app_env: dict[str, str]) -> Launch:
    """Arranca procesos de la app: `async with launch(env={"LIMIT": "3"}) as app`."""
    path = Path(request.path)
    folder = source_folder(request.config.option.de) / path.parent.name
    return Launch(runner, folder, path.stem.removeprefix("test_"), app_env)


@pytest.fixture(scope="module")
async def shared_app(launch: Launch) -> AsyncIterator[SharedApp]:
    shared = SharedApp(launch)
    yield shared
    await shared.close()


@pytest.fixture
async def app(shared_app: SharedApp) -> App:
    """La app del ejercicio, compartida por sus controles mientras siga viva."""
    transcript.start()
    return await shared_app.get()


@pytest.fixture(scope="module")
def second_env() -> dict[str, str]:
    """Lo que cambia en el entorno del segundo proceso; cada archivo de controles puede redefinirla."""
    return {}


@pytest.fixture(scope="module")
async def shared_second(launch: Launch, second_env: dict[str, str]) -> AsyncIterator[SharedApp]:
    """Para los controles que estrenan el segundo proceso a mitad: `await shared_second.get()`."""
    shared = SharedApp(launch, "app 2", second_env)
    yield shared
    await shared.close()


@pytest.fixture
async def second(shared_second: SharedApp, app: App) -> App:
    """Otro proceso de la misma app, que también comparten los controles del ejercicio mientras siga vivo."""
    return await shared_second.get()


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Azar reproducible: depende de la semilla y del nombre del control."""
    return random.Random(f"{request.config.option.semilla}/{request.node.name}")


@pytest.fixture(scope="module")
async def valkey_server(anyio_backend: str) -> AsyncIterator[Valkey]:
    """Un Valkey privado. Para usarlo en un control pide `redis_server`, que lo deja en marcha y vacío."""
    async with valkey() as server:
        yield server


@pytest.fixture
async def redis_server(valkey_server: Valkey) -> Valkey:
    """El Valkey del ejercicio, vacío: se puede leer con `.client()`, matar, parar, pausar o reiniciar."""
    # Con un Redis de fuera (REDIS_URL) no hay proceso nuestro que revivir.
    with contextlib.suppress(ServiceError):
        valkey_server.resume()
        await valkey_server.start()
    async with valkey_server.client() as client:
        await client.flushall()
    return valkey_server


@pytest.fixture(scope="module")
async def smtp_server(anyio_backend: str) -> AsyncIterator[Mailbox]:
    """Un servidor SMTP que acepta todo. Para usarlo en un control pide `mailbox`, que lo vacía."""
    async with smtp() as box:
        yield box


@pytest.fixture
async def mailbox(smtp_server: Mailbox) -> Mailbox:
    """El buzón del ejercicio, vacío y sin averías programadas."""
    await smtp_server.clear()
    smtp_server.reject_next(0)
    smtp_server.delay(0)
    return smtp_server


@pytest.fixture(scope="module")
async def source_server(anyio_backend: str) -> AsyncIterator[Source]:
    """Una API lenta de la que lee la app (`source_server.env`). Para usarla en un control pide `source`."""
    async with running_source() as source:
        yield source


@pytest.fixture
def source(source_server: Source) -> Source:
    """La fuente del ejercicio, vacía, rápida y sin averías: cuenta lo que le piden, tarda, falla y cambia."""
    source_server.reset()
    return source_server


# Quita las filas de todas las tablas y vuelve a empezar sus contadores; las tablas, que son de la app, se quedan.
EMPTY = """
DO $$ DECLARE names text;
BEGIN
    SELECT string_agg(format('%I.%I', schemaname, tablename), ', ') INTO names
        FROM pg_tables WHERE schemaname = 'public';
    IF names IS NOT NULL THEN EXECUTE 'TRUNCATE ' || names || ' RESTART IDENTITY CASCADE'; END IF;
END $$
"""


@pytest.fixture(scope="module")
async def postgres_server(anyio_backend: str) -> AsyncIterator[Postgres]:
    """Un PostgreSQL privado. Para usarlo en un control pide `database`, que lo deja en marcha y sin filas."""
    async with postgres() as server:
        yield server


@pytest.fixture
async def database(postgres_server: Postgres) -> Postgres:
    """El PostgreSQL del ejercicio, sin filas: se puede mirar por su `.url`, matar, parar, pausar o reiniciar."""
    with contextlib.suppress(ServiceError):
        postgres_server.resume()
        await postgres_server.start()
    connection = await asyncpg.connect(postgres_server.url)
    try:
        await connection.execute(EMPTY)
    finally:
        await connection.close()
    return postgres_server


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Una carpeta vacía en la que pueden escribir todos los procesos del ejercicio; su ruta va en `app_env`."""
    return tmp_path_factory.mktemp("compartida")
