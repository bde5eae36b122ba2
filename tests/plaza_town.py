"""Plaza entera para las pruebas: PostgreSQL, Valkey, un buzón, procesos web y un obrero, y los mandos para romperlos.

with town() as plaza:
    plaza.base                   # «http://127.0.0.1:puerto», del primer proceso web
    plaza.webs[0].kill()         # SIGKILL, como si se fuera la luz
    plaza.webs[0].start()        # y vuelve, en el mismo puerto
    plaza.restart(plaza.valkey)  # los servicios son asíncronos: los mandos los hacen en su hilo
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Thread
from typing import IO, Any, TypeVar

import httpx

from taller.services import Mailbox, Postgres, Valkey, postgres, smtp, valkey

PROJECT = Path(__file__).resolve().parents[1] / "solutions" / "10_proyecto"
START_SECONDS = 45.0
STOP_SECONDS = 10.0
T = TypeVar("T")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass
class Process:
    """Un proceso de Plaza; lo que dice va a `log`. `ready`: si ya atiende."""

    arguments: Sequence[str]
    folder: Path
    env: dict[str, str]
    log: Path
    ready: Callable[[], bool] = lambda: True
    running: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Arranca y espera a que esté listo."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Arranca sin esperar."""
        assert self.running is None or self.running.poll() is not None, "ya está en marcha"
        with self.log.open("ab") as log:
            self.running = self._spawn(log)

    def _spawn(self, log: IO[bytes]) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", *self.arguments]
        return subprocess.Popen(command, cwd=self.folder, env=self.env, stdout=log, stderr=log, start_new_session=True)

    def wait_ready(self) -> None:
        limit = time.monotonic() + START_SECONDS
        while not self.ready():
            if not self.alive or time.monotonic() > limit:
                raise AssertionError(f"{self.arguments[0]} no está listo. Dijo:\n{self.said}")
            time.sleep(0.05)

    @property
    def alive(self) -> bool:
        return self.running is not None and self.running.poll() is None

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]

    def terminate(self) -> float:
        """SIGTERM; devuelve cuántos segundos ha tardado en irse."""
        assert self.running
        started = time.monotonic()
        self.running.terminate()
        self.running.wait(STOP_SECONDS)
        return time.monotonic() - started

    def kill(self) -> None:
        """SIGKILL a él y a sus hijos: sin despedidas."""
        if self.running is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.running.pid, signal.SIGKILL)
        self.running.wait(STOP_SECONDS)


@dataclass
class Town:
    """La instalación en marcha."""

    postgres: Postgres
    valkey: Valkey
    mailbox: Mailbox
    env: dict[str, str]
    _loop: asyncio.AbstractEventLoop
    webs: list[Process] = field(default_factory=list)
    bases: list[str] = field(default_factory=list)
    worker: Process = field(init=False)

    @property
    def base(self) -> str:
        return self.bases[0]

    def do(self, work: Coroutine[Any, Any, T], deadline: float = 30.0) -> T:
        """Hace algo asíncrono en el hilo de los servicios, que es su bucle."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(deadline)

    def restart(self, server: Postgres | Valkey) -> None:
        self.do(server.restart())

    def kill(self, server: Postgres | Valkey) -> None:
        self.do(server.kill())

    def start(self, server: Postgres | Valkey) -> None:
        self.do(server.start())

    def pause(self, server: Postgres | Valkey) -> None:
        self._loop.call_soon_threadsafe(server.pause)

    def resume(self, server: Postgres | Valkey) -> None:
        self._loop.call_soon_threadsafe(server.resume)


@contextmanager
def town(
    folder: Path, *, webs: int = 1, project: Path = PROJECT, app: str = "plaza.main:app", **settings: str | int
) -> Iterator[Town]:
    """Plaza con `webs` procesos web y un obrero; lo que dicen queda en `folder`.

    `settings` son sus variables de entorno: `PLAZA_ACCESS_SECONDS=5`. Al salir no queda nada en marcha.
    """
    with ExitStack() as stack:
        servers, loop = stack.enter_context(_in_a_thread(_servers))
        database, redis, box = servers
        env = {**os.environ, "DATABASE_URL": database.url, "REDIS_URL": redis.url, "SMTP_URL": box.url}
        env |= {name: str(value) for name, value in settings.items()}
        place = Town(database, redis, box, env, loop)
        subprocess.run([sys.executable, "-m", "plaza.migrations"], cwd=project, env=env, check=True, timeout=60)
        for number in range(webs):
            port = free_port()
            base = f"http://127.0.0.1:{port}"
            web = _process(f"web-{number}", uvicorn_arguments(port, app), place, folder, project)
            web.ready = partial(answers, f"{base}/health/ready")
            place.webs.append(web)
            place.bases.append(base)
        place.worker = _process("worker", TASKIQ, place, folder, project)
        everyone = [*place.webs, place.worker]
        stack.callback(_stop, everyone)
        for process in everyone:
            process.launch()
        for process in everyone:
            process.wait_ready()
        yield place


TASKIQ = ("taskiq", "worker", "plaza.tasks:broker", "--workers", "1", "--log-level", "WARNING")


def uvicorn_arguments(port: int, app: str = "plaza.main:app") -> list[str]:
    options = ["--log-level", "warning", "--ws-per-message-deflate", "false"]
    return ["uvicorn", app, "--port", str(port), *options]


def _process(name: str, arguments: Sequence[str], place: Town, folder: Path, project: Path) -> Process:
    return Process(arguments, project, place.env, folder / f"{name}.log")


def answers(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(url, timeout=2.0).status_code == 200
    return False


def _stop(processes: list[Process]) -> None:
    for process in processes:
        if process.alive:
            assert process.running
            process.running.terminate()
    limit = time.monotonic() + STOP_SECONDS
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            if process.running:
                process.running.wait(max(0.0, limit - time.monotonic()))
        process.kill()


@asynccontextmanager
async def _servers() -> AsyncIterator[tuple[Postgres, Valkey, Mailbox]]:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(postgres())
        redis = await stack.enter_async_context(valkey())
        yield database, redis, await stack.enter_async_context(smtp())


@contextmanager
def _in_a_thread(
    open_it: Callable[[], contextlib.AbstractAsyncContextManager[T]],
) -> Iterator[tuple[T, asyncio.AbstractEventLoop]]:
    """Un contexto asíncrono vivo en otro hilo: las pruebas con Playwright no pueden tener un bucle en el suyo."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def wait(work: Awaitable[Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(_awaited(work), loop).result(START_SECONDS * 2)

    manager = open_it()
    try:
        opened = wait(manager.__aenter__())
        try:
            yield opened, loop
        finally:
            wait(manager.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(STOP_SECONDS)
        loop.close()


async def _awaited(work: Awaitable[T]) -> T:
    return await work
