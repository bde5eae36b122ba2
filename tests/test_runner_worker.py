"""El obrero: un proceso que hace las tareas de una cola de taskiq, y que se puede matar como una app."""

import asyncio
import signal
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis

from taller.checking import Launch
from taller.runner import Exit, LaunchError, Run, Runner
from taller.services import Valkey, valkey

pytestmark = pytest.mark.anyio

QUEUE = """
    import asyncio, os
    from fastapi import FastAPI
    from redis.asyncio import Redis
    from taskiq_redis import RedisStreamBroker

    URL = os.environ["REDIS_URL"]
    app = FastAPI()
    broker = RedisStreamBroker(URL, consumer_id="0", xread_block=100)

    @broker.task
    async def note(word: str, seconds: float = 0) -> None:
        async with Redis.from_url(URL) as redis:
            await redis.rpush("started", word)
            await asyncio.sleep(seconds)
            await redis.rpush("done", f"{word} {os.environ['COLOR']}")

    @app.post("/{word}")
    async def enqueue(word: str, seconds: float = 0):
        await note.kiq(word, seconds)
"""


@pytest.fixture
async def server() -> AsyncIterator[Valkey]:
    async with valkey() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "03_colas"
    folder.mkdir()
    (folder / "e1_cola.py").write_text(textwrap.dedent(QUEUE))
    return folder


@pytest.fixture
def launch(runner: Runner, folder: Path, server: Valkey, monkeypatch: pytest.MonkeyPatch) -> Launch:
    monkeypatch.setenv("TALLER_PACIENCIA", "5")
    return Launch(runner, folder, "e1_cola", {"REDIS_URL": server.url, "COLOR": "azul"})


async def listed(redis: Redis, name: str, count: int) -> list[str]:
    """Lo apuntado en una lista cuando llega a tener `count` elementos."""
    async with asyncio.timeout(20):
        while True:
            words = [word for word in await redis.lrange(name, 0, -1) if isinstance(word, bytes)]
            if len(words) >= count:
                return [word.decode() for word in words]
            await asyncio.sleep(0.01)


async def logged(run: Run, wanted: Callable[[str], bool]) -> str:
    async with asyncio.timeout(20):
        while not wanted(await run.sync()):
            await asyncio.sleep(0.01)
    return run.log


async def test_does_what_the_app_enqueues_with_its_own_environment(launch: Launch, server: Valkey) -> None:
    async with launch() as app, launch.worker(env={"COLOR": "verde"}) as worker, server.client() as redis:
        await app.post("/hola", status=200)
        assert await listed(redis, "done", 1) == ["hola verde"]
        assert "Executing task e1_cola:note" in await worker.log()


async def test_what_was_enqueued_before_it_starts_is_done(launch: Launch, server: Valkey) -> None:
    async with launch() as app:
        for word in ("uno", "dos"):
            await app.post(f"/{word}", status=200)
        await app.kill()
    async with launch.worker(), server.client() as redis:
        assert set(await listed(redis, "done", 2)) == {"uno azul", "dos azul"}


async def test_kill_9_leaves_a_task_half_done(launch: Launch, server: Valkey) -> None:
    async with launch() as app, launch.worker() as worker, server.client() as redis:
        await app.post("/larga?seconds=60", status=200)
        await listed(redis, "started", 1)
        await worker.kill()
        assert worker.run.exit == Exit(signal=signal.SIGKILL)
        assert await redis.llen("done") == 0
        assert (await redis.xpending("taskiq", "taskiq"))["pending"] == 1


async def test_sigterm_lets_the_running_task_finish(launch: Launch, server: Valkey) -> None:
    async with launch() as app, launch.worker() as worker, server.client() as redis:
        await app.post("/corta?seconds=0.3", status=200)
        await listed(redis, "started", 1)
        assert await worker.terminate(within=10) == Exit(0)
        assert await redis.lrange("done", 0, -1) == [b"corta azul"]


async def test_comes_back_to_the_queue_when_redis_restarts(launch: Launch, server: Valkey) -> None:
    async with launch() as app, launch.worker() as worker, server.client() as redis:
        await app.post("/antes", status=200)
        await listed(redis, "done", 1)
        await server.kill()
        await logged(worker.run, lambda text: "Traceback" in text)
        await server.start()
        # Todo se ha perdido con Redis, también el grupo de lectores: lo rehace la app al arrancar otra vez.
        await redis.xgroup_create("taskiq", "taskiq", id="0", mkstream=True)
        async with launch() as again:
            await again.post("/después", status=200)
            assert await listed(redis, "done", 1) == ["después azul"]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("broker = 1 / 0\n", "Tu archivo falla al cargarse: ZeroDivisionError"),
        ("cola = 3\n", "Tu archivo no define «broker»"),
        ("def f(:\n", "Error de sintaxis en e1_cola.py, línea 1"),
    ],
)
async def test_the_reason_of_a_failed_load_is_told(launch: Launch, folder: Path, source: str, reason: str) -> None:
    (folder / "e1_cola.py").write_text(source)
    with pytest.raises(LaunchError, match=reason):
        async with launch.worker():
            pass


async def test_a_missing_file_says_how_to_get_it_back(launch: Launch, folder: Path) -> None:
    (folder / "e1_cola.py").unlink()
    with pytest.raises(LaunchError, match=r"Recupéralo con: python3 curso\.py reiniciar 3\.1"):
        async with launch.worker():
            pass
