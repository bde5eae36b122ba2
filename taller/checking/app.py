"""La app del estudiante tal como la ve un control: un servidor al que hablar, matar o congelar."""

import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from taller.checking.logs import last_error
from taller.checking.process import Process, Worker
from taller.patience import patience
from taller.runner import LaunchError, Run, Runner
from taller.wire import (
    Handshake,
    HttpClient,
    RawSocket,
    SseClient,
    Target,
    WebSocketClient,
    handshake,
)

START_TIMEOUT = 4.0
ONCE_TIMEOUT = 10.0
# Los procesos abiertos en esta sesión: cuando un control falla, lo que han escrito va a su transcripción.
_open: list[Process] = []


class App(Process):
    """Un proceso de la app. Los métodos que hablan con ella apuntan todo en la transcripción."""

    def __init__(self, run: Run, folder: Path, name: str, env: Mapping[str, str]) -> None:
        super().__init__(run, folder, name, env)
        assert run.address is not None
        self.target = Target(run.address, name, self.diagnose)

    async def request(self, method: str, path: str, *, client: str = "cliente", **options: Any) -> httpx.Response:
        """Una petición HTTP completa; opciones de `HttpClient.request` y de httpx (`json=`, `headers=`)."""
        return await HttpClient(self.target, client).request(method, path, **options)

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.request("GET", path, **options)

    async def post(self, path: str, **options: Any) -> httpx.Response:
        return await self.request("POST", path, **options)

    async def poll(self, path: str, ready: Callable[[httpx.Response], bool], **options: Any) -> httpx.Response:
        """Repite un GET hasta que `ready` diga que sí; opciones de `HttpClient.poll` (`expecting=`, `within=`)."""
        return await HttpClient(self.target).poll(path, ready, **options)

    async def burst(self, method: str, path: str, count: int, **options: Any) -> list[httpx.Response]:
        """`count` peticiones iguales a la vez; opciones de `HttpClient.burst`."""
        return await HttpClient(self.target).burst(method, path, count, **options)

    def websocket(self, path: str, **options: Any) -> AbstractAsyncContextManager[WebSocketClient]:
        """Un WebSocket abierto; opciones de `WebSocketClient.open` (`name=`, `origin=`, `subprotocols=`)."""
        return WebSocketClient.open(self.target, path, **options)

    def sse(self, path: str, **options: Any) -> AbstractAsyncContextManager[SseClient]:
        return SseClient.open(self.target, path, **options)

    def raw(self, **options: Any) -> AbstractAsyncContextManager[RawSocket]:
        return RawSocket.open(self.target, **options)

    async def handshake(self, path: str, **options: Any) -> Handshake:
        """La respuesta, sea cual sea, a un apretón de manos con las cabeceras que se digan."""
        return await handshake(self.target, path, **options)


async def slips() -> list[str]:
    """Los errores de programación con que han tropezado los procesos abiertos, dichos para quien los escribió."""
    found = []
    for process in _open:
        with contextlib.suppress(TimeoutError):
            found.append(await process.slip())
    return [slip for slip in found if slip]


async def note_logs() -> None:
    for process in _open:
        with contextlib.suppress(TimeoutError):
            await process.note_log()


@dataclass
class Launch:
    """Arranca procesos de la app de un ejercicio: `async with launch(env={…}) as app`."""

    runner: Runner
    folder: Path
    module: str
    env: Mapping[str, str]

    def __post_init__(self) -> None:
        self._apps, self._workers = itertools.count(1), itertools.count(1)

    @contextlib.asynccontextmanager
    async def __call__(self, *, env: Mapping[str, str] | None = None, name: str | None = None) -> AsyncIterator[App]:
        """Un proceso nuevo, con `env` añadido al entorno del ejercicio; al salir, se mata.

        Raises:
            LaunchError: la app no llega a atender conexiones.
        """
        serial = next(self._apps)
        app = await self.start(name or (f"app {serial}" if serial > 1 else "app"), env or {})
        try:
            yield app
        finally:
            await self.stop(app)

    @contextlib.asynccontextmanager
    async def worker(self, *, env: Mapping[str, str] | None = None, name: str | None = None) -> AsyncIterator[Worker]:
        """Un obrero que hace las tareas de `broker`, la cola de taskiq del ejercicio; al salir, se mata.

        Raises:
            LaunchError: el obrero no llega a esperar tareas.
        """
        self._require_file()
        serial = next(self._workers)
        env = {**self.env, **(env or {})}
        run = await self.runner.work(self.folder, f"{self.module}:broker", env=env)
        worker = Worker(run, self.folder, name or (f"obrero {serial}" if serial > 1 else "obrero"), env)
        await self._until_ready(worker)
        try:
            yield worker
        finally:
            await self.stop(worker)

    async def once(self, module: str) -> None:
        """Ejecuta un módulo del estudiante, como `python -m`, y espera a que acabe.

        Raises:
            LaunchError: acaba con un error, o no acaba a tiempo.
        """
        self._require_file()
        run = await self.runner.once(self.folder, module, env=self.env)
        try:
            ended = await run.ended(patience(ONCE_TIMEOUT))
            if ended is None or ended.code or ended.signal:
                why = last_error(run.log, self.folder) or str(ended or f"no acaba en {ONCE_TIMEOUT:g} s")
                raise LaunchError(f"python -m {module} falla: {why}")
        finally:
            await run.close()
            await run.forgotten()

    async def start(self, name: str, env: Mapping[str, str]) -> App:
        self._require_file()
        env = {**self.env, **env}
        run = await self.runner.launch(self.folder, f"{self.module}:app", env=env)
        app = App(run, self.folder, name, env)
        await self._until_ready(app)
        return app

    async def _until_ready(self, process: Process) -> None:
        _open.append(process)
        try:
            await process.run.ready(patience(START_TIMEOUT))
        except BaseException as error:
            # También si lo que vence es el plazo del control: quien arrancaba no puede quedarse en marcha.
            if isinstance(error, LaunchError):
                await note_logs()
            await self.stop(process)
            raise

    async def stop(self, process: Process) -> None:
        _open.remove(process)
        await process.run.close()

    def _require_file(self) -> None:
        path = self.folder / f"{self.module}.py"
        if not path.is_file():
            exercise_id = f"{int(self.folder.name[:2])}.{self.module[1:].partition('_')[0]}"
            raise LaunchError(f"No existe {path.name}. Recupéralo con: python3 curso.py reiniciar {exercise_id}")


@dataclass
class SharedApp:
    """La app que comparten los controles de un ejercicio; si un control la mata, el siguiente estrena otra.

    Con `name` y `env`, un segundo proceso que también se comparte, con `env` añadido al entorno del ejercicio.
    """

    launch: Launch
    name: str = "app"
    env: Mapping[str, str] = field(default_factory=dict)
    app: App | None = None

    async def get(self) -> App:
        if self.app is not None and self.app.run.exit is not None:
            await self.close()
        if self.app is None:
            self.app = await self.launch.start(self.name, self.env)
        return self.app

    async def close(self) -> None:
        if self.app is not None:
            app, self.app = self.app, None
            await self.launch.stop(app)
