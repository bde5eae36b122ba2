"""PostgreSQL: bases al momento, caídas de verdad, datos que vuelven y nada que quede."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from services_traces import Traces, abandoned_memory, let_nobody_through, nothing_abandoned_since, owner, until

from taller.services import Postgres, ServiceError, postgres, postgres_cluster
from taller.services.places import require_passage

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def own_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Postgres]:
    async with postgres() as running:
        yield running


async def run(url: str, *statements: str) -> object:
    """El primer valor de la última consulta."""
    connection = await asyncpg.connect(url, timeout=3)
    try:
        for statement in statements[:-1]:
            await connection.execute(statement)
        return await connection.fetchval(statements[-1], timeout=3)
    finally:
        connection.terminate()


async def test_it_is_postgres_18_on_a_unix_socket_only(server: Postgres) -> None:
    assert str(await run(server.url, "SHOW server_version")).startswith("18.")
    assert await run(server.url, "SHOW listen_addresses") == ""
    assert await run(server.url, "SELECT current_database()") == "taller"


async def test_it_leaves_no_process_file_or_shared_memory() -> None:
    before = abandoned_memory()
    async with postgres() as server:
        traces = Traces.of(server)
        assert len(traces.processes) > 4
        await server.create_database()
    assert traces.vanished()
    await nothing_abandoned_since(before)


async def test_a_new_database_is_a_copy_of_its_template(server: Postgres) -> None:
    template = await server.create_database()
    await run(template, "CREATE TABLE t (n int)", "INSERT INTO t VALUES (7)", "SELECT 1")
    first, second = await asyncio.gather(server.create_database(template), server.create_database(template))
    await run(first, "UPDATE t SET n = 8", "SELECT 1")
    assert (await run(first, "SELECT n FROM t"), await run(second, "SELECT n FROM t")) == (8, 7)


async def test_a_template_in_use_is_told(server: Postgres) -> None:
    template = await server.create_database()
    connection = await asyncpg.connect(template)
    with pytest.raises(ServiceError, match=r"await conexion\.close\(\)$"):
        await server.create_database(template)
    await connection.close()


async def test_dropping_cuts_the_open_connections(server: Postgres) -> None:
    url = await server.create_database()
    connection = await asyncpg.connect(url)
    await server.drop_database(url)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await connection.fetchval("SELECT 1")
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await run(url, "SELECT 1")


async def test_only_what_was_created_here_is_dropped(server: Postgres) -> None:
    with pytest.raises(ServiceError, match=r"La base taller no la creó .*dropdb taller$"):
        await server.drop_database(server.url)
    assert await server.answers()


async def test_the_role_cannot_run_programs_nor_become_superuser(server: Postgres) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await run(server.url, "CREATE TEMP TABLE x (y text)", "COPY x FROM PROGRAM 'id'")
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        await run(server.url.replace("//taller@", "//postgres@"), "SELECT 1")


async def test_what_was_committed_survives_a_kill(server: Postgres) -> None:
    before = abandoned_memory()
    url = await server.create_database()
    await run(url, "CREATE TABLE t (n int)", "INSERT INTO t VALUES (7)", "SELECT 1")
    await server.kill()
    await nothing_abandoned_since(before)
    with pytest.raises(OSError, match=r"."):
        await run(url, "SELECT 1")
    await server.start()
    assert await run(url, "SELECT n FROM t") == 7


async def test_paused_even_an_open_connection_waits(server: Postgres) -> None:
    connection = await asyncpg.connect(server.url)
    server.pause()
    query = asyncio.create_task(connection.fetchval("SELECT 1"))
    assert not (await asyncio.wait([query], timeout=0.3))[0]
    server.resume()
    assert await asyncio.wait_for(query, 3) == 1
    await connection.close()


async def test_a_restart_does_not_wait_for_clients(server: Postgres) -> None:
    connection = await asyncpg.connect(server.url)
    async with asyncio.timeout(5):
        await server.restart()
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await connection.fetchval("SELECT 1")
    assert await server.answers()


async def test_two_at_once_do_not_see_each_other(server: Postgres) -> None:
    url = await server.create_database()
    async with postgres() as other:
        with pytest.raises(asyncpg.InvalidCatalogNameError):
            await run(url.replace(server.url.partition("?")[2], other.url.partition("?")[2]), "SELECT 1")


async def test_leaving_while_paused_or_dead_leaves_nothing() -> None:
    before = abandoned_memory()
    async with postgres() as server:
        traces = Traces.of(server)
        server.pause()
    assert traces.vanished()
    async with postgres() as server:
        traces = Traces.of(server)
        await server.kill()
    assert traces.vanished()
    await nothing_abandoned_since(before)


async def test_cancelling_anywhere_in_the_start_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = abandoned_memory()
    scratch: list[Path] = []
    original = postgres_cluster.ensure_cluster

    async def spied(process: object, binaries: Path, data: Path, *rest: object) -> None:
        scratch.append(data.parent)
        await original(process, binaries, data, *rest)

    monkeypatch.setattr("taller.services.postgres_server.ensure_cluster", spied)
    for moment in (0.1, 0.25, 0.5, 1):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(moment), postgres():
                await asyncio.Event().wait()
    assert scratch
    await until(lambda: not any(path.exists() for path in scratch))
    await nothing_abandoned_since(before)


@pytest.mark.parametrize("options", [(), ("pausa",)])
async def test_it_dies_with_an_owner_killed_with_sigkill(options: tuple[str, ...]) -> None:
    before = abandoned_memory()
    with owner("postgres", "", *options) as (process, traces):
        process.kill()
        await until(traces.vanished)
    await nothing_abandoned_since(before)


async def test_a_kept_cluster_survives_every_kind_of_ending(tmp_path: Path) -> None:
    directory = reachable(tmp_path)
    async with postgres(directory) as server:
        await run(server.url, "CREATE TABLE t (n int)", "INSERT INTO t VALUES (7)", "SELECT 1")
        with pytest.raises(ServiceError, match=r"^Otro servidor ya usa"):
            async with postgres(directory):
                pass
    with owner("postgres", directory) as (process, _):
        process.kill()
    async with asyncio.timeout(10), postgres(directory) as server:
        assert await run(server.url, "SELECT n FROM t") == 7
        await server.kill()
    # Tras reiniciar la máquina, el número del fichero puede ser ya de cualquier otro programa.
    pid_file = directory / "datos" / "postmaster.pid"
    for stale in (f"{os.getpid()}\n{directory}/datos\n0\n5432\n\n\n0 0\n", ""):
        pid_file.write_text(stale)
        os.chown(pid_file, (directory / "datos").stat().st_uid, -1)
        async with postgres(directory) as server:
            assert await run(server.url, "SELECT n FROM t") == 7
    assert not pid_file.exists()


async def test_a_half_made_cluster_is_made_again(tmp_path: Path) -> None:
    directory = reachable(tmp_path)
    (directory / "nuevo").mkdir(parents=True)
    (directory / "nuevo" / "PG_VERSION").write_text("18")
    async with postgres(directory) as server:
        assert await server.answers()
    assert sorted(path.name for path in directory.iterdir()) == ["datos", "taller.lock"]


async def test_a_cluster_of_another_version_is_told(tmp_path: Path) -> None:
    data = reachable(tmp_path) / "datos"
    data.mkdir()
    (data / "PG_VERSION").write_text("9.6\n")
    data.chmod(0o700)
    with pytest.raises(ServiceError, match=r"^PostgreSQL no arrancó \(.+\).*python3 curso\.py servicios$"):
        async with postgres(data.parent):
            pass


async def test_on_a_port_and_on_a_taken_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServiceError, match=r"^PostgreSQL no arrancó \(.+\).*python3 curso\.py servicios$"):
            async with postgres(port=port):
                pass
    async with postgres(port=port) as server:
        assert server.url == f"postgresql://taller@127.0.0.1:{port}/taller"
        assert await run(await server.create_database(), "SELECT 1") == 1


async def test_database_url_is_used_cleaned_and_not_controlled(
    server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", server.url.replace("postgresql:", "postgresql+asyncpg:"))
    async with postgres() as external:
        assert external.url == server.url
        url = await external.create_database()
        assert await run(url, "SELECT 1") == 1
        with pytest.raises(ServiceError, match=r"unset DATABASE_URL$"):
            await external.kill()
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await run(url, "SELECT 1")
    assert await server.answers()


async def test_an_absent_external_server_is_told_without_its_password() -> None:
    with pytest.raises(
        ServiceError, match=r"no responde en postgresql://127\.0\.0\.1:1/x\..*unset DATABASE_URL$"
    ) as error:
        async with postgres(url="postgresql://ana:secreto@127.0.0.1:1/x"):
            pass
    assert "secreto" not in str(error.value)


async def test_without_the_wheel_it_uses_the_one_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    bundled = postgres_cluster.find_binaries()
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(bundled))
    assert postgres_cluster.find_binaries() == bundled
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ServiceError, match=r"python3 curso\.py$"):
        async with postgres():
            pass


def test_a_directory_nobody_can_reach_is_told(tmp_path: Path) -> None:
    private = tmp_path / "privada"
    private.mkdir(mode=0o700)
    with pytest.raises(ServiceError, match=rf"chmod o\+x {private}$"):
        require_passage(private / "datos")


def reachable(path: Path) -> Path:
    """Una carpeta de pruebas por la que también pasa «nobody», que corre PostgreSQL si somos root."""
    let_nobody_through(path)
    directory = path / "datos"
    directory.mkdir()
    return directory
