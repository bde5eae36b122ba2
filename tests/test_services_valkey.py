"""Valkey: se arranca, se tira, se congela y se levanta de verdad, y no deja rastro."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from services_traces import Traces, owner, until

from taller.services import ServiceError, Valkey, valkey, valkey_server
from taller.services.places import free_port

pytestmark = pytest.mark.anyio
AT_ONCE = {"retry": Retry(NoBackoff(), 0), "socket_timeout": 0.3, "decode_responses": True}


@pytest.fixture(autouse=True)
def own_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)


@pytest.fixture
async def server() -> AsyncIterator[Valkey]:
    async with valkey() as running:
        yield running


async def value(server: Valkey, key: str) -> str | None:
    async with server.client(**AT_ONCE) as client:
        return await client.get(key)


async def store(server: Valkey, key: str, text: str) -> None:
    async with server.client() as client:
        await client.set(key, text)


async def test_listens_on_a_unix_socket_only_and_leaves_nothing() -> None:
    async with valkey() as server:
        traces = Traces.of(server)
        assert server.url.startswith("unix:///")
        assert len(traces.processes) == 2
        async with server.client() as client:
            assert (await client.config_get("port"))["port"] == "0"
            assert int((await client.info("server"))["valkey_version"].split(".")[0]) >= 9
    assert traces.vanished()


async def test_killed_it_forgets_and_comes_back_at_the_same_url(server: Valkey) -> None:
    await store(server, "k", "v")
    await server.kill()
    with pytest.raises(RedisConnectionError):
        await value(server, "k")
    await server.start()
    assert await value(server, "k") is None


async def test_an_open_client_survives_a_restart(server: Valkey) -> None:
    async with server.client() as client:
        before = (await client.info("server"))["run_id"]
        await server.restart()
        assert (await client.info("server"))["run_id"] != before


async def test_paused_it_answers_nothing_until_resumed(server: Valkey) -> None:
    await store(server, "k", "v")
    server.pause()
    with pytest.raises((RedisTimeoutError, RedisConnectionError), match="Timeout"):
        await value(server, "k")
    server.resume()
    assert await value(server, "k") == "v"


async def test_stop_works_on_a_paused_server(server: Valkey) -> None:
    server.pause()
    await server.stop()
    await server.start()
    assert await value(server, "k") is None


async def test_controls_are_harmless_when_there_is_nothing_to_do(server: Valkey) -> None:
    await server.start()
    await server.kill()
    await server.kill()
    await server.stop()
    server.pause()
    server.resume()
    await server.start()
    assert await server.answers()


async def test_a_crash_from_outside_is_noticed(server: Valkey) -> None:
    Traces.of(server).processes[1].send_signal(signal.SIGKILL)
    await until(lambda: not server._process.running)
    await server.start()
    assert await server.answers()


@pytest.mark.parametrize("hard", [True, False])
async def test_a_directory_keeps_what_was_acknowledged(tmp_path: Path, hard: bool) -> None:
    async with valkey(tmp_path / "datos") as server:
        await store(server, "k", "v")
        await (server.kill() if hard else server.stop())
        await server.start()
        assert await value(server, "k") == "v"
    async with valkey(tmp_path / "datos") as server:
        assert await value(server, "k") == "v"


async def test_two_at_once_do_not_see_each_other(server: Valkey) -> None:
    async with valkey() as other:
        await store(server, "k", "v")
        assert await value(other, "k") is None


async def test_a_directory_has_one_server(tmp_path: Path) -> None:
    async with valkey(tmp_path):
        with pytest.raises(ServiceError, match=r"^Otro servidor ya usa .*fuser "):
            async with valkey(tmp_path):
                pass


async def test_leaving_while_paused_leaves_nothing() -> None:
    async with valkey() as server:
        traces = Traces.of(server)
        server.pause()
    assert traces.vanished()


async def test_cancelling_twice_leaves_nothing() -> None:
    started: asyncio.Future[Traces] = asyncio.get_running_loop().create_future()

    async def hold() -> None:
        async with valkey() as server:
            started.set_result(Traces.of(server))
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    traces = await started
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    await until(traces.vanished)


async def test_cancelling_during_the_start_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for moment in range(0, 100, 7):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(moment / 1000), valkey():
                await asyncio.Event().wait()
    await until(lambda: not any(tmp_path.iterdir()))


@pytest.mark.parametrize("options", [(), ("pausa",), ("fork",)])
async def test_it_dies_with_an_owner_killed_with_sigkill(options: tuple[str, ...]) -> None:
    with owner("valkey", "", *options) as (process, traces):
        process.kill()
        await until(traces.vanished)


async def test_a_directory_is_free_again_as_soon_as_its_owner_dies(tmp_path: Path) -> None:
    with owner("valkey", tmp_path) as (process, _):
        process.kill()
        async with valkey(tmp_path) as server:
            assert await server.answers()


async def test_redis_url_is_used_and_not_controlled(server: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", server.url)
    async with valkey() as external:
        await store(external, "k", "v")
        assert await value(server, "k") == "v"
        for control in (external.kill, external.stop, external.start, external.restart):
            with pytest.raises(ServiceError, match=r"unset REDIS_URL$"):
                await control()
        for switch in (external.pause, external.resume):
            with pytest.raises(ServiceError, match=r"unset REDIS_URL$"):
                switch()
    assert await server.answers()


async def test_an_absent_external_server_is_told_without_its_password() -> None:
    with pytest.raises(ServiceError, match=r"no responde en redis://127\.0\.0\.1:1/0\..*unset REDIS_URL$") as error:
        async with valkey(url="redis://ana:secreto@127.0.0.1:1/0"):
            pass
    assert "secreto" not in str(error.value)


async def test_a_wrong_password_is_told(server: Valkey) -> None:
    async with server.client() as client:
        await client.config_set("requirepass", "otra")
    with pytest.raises(ServiceError, match=r"contraseña.*unset REDIS_URL$"):
        async with valkey(url=server.url):
            pass


async def test_without_the_wheel_it_uses_the_one_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundled = valkey_server.find_binary()
    assert bundled
    (tmp_path / "redis-server").symlink_to(bundled)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    async with valkey() as server:
        assert await server.answers()
        assert Traces.of(server).processes[1].cmdline()[0].startswith(str(tmp_path / "redis-server"))


async def test_without_any_server_it_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServiceError, match=r"python3 curso\.py$"):
        async with valkey():
            pass


async def test_a_taken_port_is_told() -> None:
    told = pytest.raises(ServiceError, match=r"^Valkey no arrancó .*python3 curso\.py servicios$")
    with socket.create_server(("127.0.0.1", 0)) as taken, told:
        async with valkey(port=taken.getsockname()[1]):
            pass


async def test_another_valkey_on_the_port_is_not_mistaken_for_ours() -> None:
    async with valkey(port=free_port()) as other:
        port = int(other.url.rpartition(":")[2])
        with pytest.raises(ServiceError, match=r"^Valkey no arrancó"):
            async with valkey(port=port):
                pass
        assert await other.answers()


async def test_a_program_that_cannot_run_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "valkey-server"
    broken.touch()
    monkeypatch.setattr(valkey_server, "find_binary", lambda: broken)
    with pytest.raises(ServiceError, match=r"Permission denied.*python3 curso\.py$"):
        async with valkey():
            pass


async def test_a_directory_that_cannot_be_one_is_told(tmp_path: Path) -> None:
    (tmp_path / "fichero").touch()
    with pytest.raises(ServiceError, match=r"ls -ld .*fichero$"):
        async with valkey(tmp_path / "fichero"):
            pass


async def test_the_imitation_for_windows_warns_and_is_not_assumed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fakeredis", None)
    with (
        pytest.warns(UserWarning, match="lecturas de grupo"),
        pytest.raises(ServiceError, match=r"py curso\.py$"),
    ):
        async with valkey_server.imitation(None):
            pass
