"""La app del estudiante tal como la ve un control: un servidor al que hablar, matar o congelar."""

import contextlib
import itertools
import re
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from taller.checking.logs import last_error, relevant
from taller.patience import patience
from taller.runner import Exit, LaunchError, Run, Runner
from taller.wire import (
    Handshake,
    HttpClient,
    Mismatch,
    RawSocket,
    SseClient,
    Target,
    WebSocketClient,
    handshake,
    transcript,
)

START_TIMEOUT = 4.0
STACK_LINE = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')

# Las apps abiertas en este proceso: cuando un control falla, lo que han escrito va a su transcripción.
_open_apps: list["App"] = []


class App:
    """Un proceso de la app. Los métodos que hablan con ella apuntan todo en la transcripción."""

    def __init__(self, run: Run, folder: Path, name: str) -> None:
        assert run.address is not None
        self.run, self.folder, self.name = run, folder, name
        self.target = Target(run.address, name, self.diagnose)
        self._noted = 0

    # Hablar con ella

    async def request(self, method: str, path: str, *, client: str = "cliente", **options: Any) -> httpx.Response:
        """Una petición HTTP completa; opciones de `HttpClient.request` y de httpx (`json=`, `headers=`)."""
        return await HttpClient(self.target, client).request(method, path, **options)

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.request("GET", path, **options)

    async def post(self, path: str, **options: Any) -> httpx.Response:
        return await self.request("POST", path, **options)

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

    # Lo que le puede pasar a un proceso

    async def kill(self) -> None:
        """kill -9: muere en el acto, sin limpiar."""
        self._signal(signal.SIGKILL)
        await self.run.ended(patience(2.0))

    async def terminate(self, within: float = 5.0) -> Exit:
        """SIGTERM, como al desplegar; espera a que termine.

        Raises:
            Mismatch: sigue vivo tras `within` segundos.
        """
        self._signal(signal.SIGTERM)
        ended = await self.run.ended(patience(within))
        if ended is None:
            raise Mismatch(f"que la app termine en {within:g} s tras SIGTERM", f"sigue viva; {await self.diagnose()}")
        transcript.add(self.name, "control", "signal", str(ended))
        return ended

    async def pause(self) -> None:
        """Detiene el proceso; al volver ya no ejecuta nada, aunque sigan llegándole bytes."""
        self._signal(signal.SIGSTOP)
        # El supervisor contesta después de haber enviado la señal.
        await self.run.sync()

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        transcript.add("control", self.name, "signal", number.name)
        self.run.signal(number)

    async def log(self) -> str:
        """Todo lo que ha escrito la app en su salida hasta ahora."""
        return await self.run.sync()

    async def diagnose(self) -> str:
        """Por qué puede no estar contestando: terminó, lanzó una excepción o está parada en alguna línea."""
        if await self.run.ended(0.03):
            return f"tu app {self.run.exit}"
        if error := last_error((await self.log())[self._noted :], self.folder):
            return f"tu app lanzó {error}"
        for match in STACK_LINE.finditer(await self.run.stack()):
            path = Path(match["file"])
            if path.is_relative_to(self.folder):
                return f"tu app está parada en {path.name}, línea {match['line']}"
        return ""

    async def note_log(self) -> None:
        """Pasa a la transcripción lo que haya escrito desde la última vez y diga algo al estudiante."""
        text = await self.log()
        for line in relevant(text[self._noted :], self.folder):
            transcript.add(self.name, "terminal", "log", line)
        self._noted = len(text)


async def note_logs() -> None:
    for app in _open_apps:
        with contextlib.suppress(TimeoutError):
            await app.note_log()


@dataclass
class Launch:
    """Arranca procesos de la app de un ejercicio: `async with launch(env={…}) as app`."""

    runner: Runner
    folder: Path
    module: str
    env: Mapping[str, str]

    def __post_init__(self) -> None:
        self._serial = itertools.count(1)

    @contextlib.asynccontextmanager
    async def __call__(self, *, env: Mapping[str, str] | None = None, name: str | None = None) -> AsyncIterator[App]:
        """Un proceso nuevo, con `env` añadido al entorno del ejercicio; al salir, se mata.

        Raises:
            LaunchError: la app no llega a atender conexiones.
        """
        serial = next(self._serial)
        app = await self.start(name or (f"app {serial}" if serial > 1 else "app"), env or {})
        try:
            yield app
        finally:
            await self.stop(app)

    async def start(self, name: str, env: Mapping[str, str]) -> App:
        self._require_file()
        run = await self.runner.launch(self.folder, f"{self.module}:app", env={**self.env, **env})
        app = App(run, self.folder, name)
        _open_apps.append(app)
        try:
            await run.ready(patience(START_TIMEOUT))
        except LaunchError:
            await note_logs()
            await self.stop(app)
            raise
        return app

    async def stop(self, app: App) -> None:
        _open_apps.remove(app)
        await app.run.close()

    def _require_file(self) -> None:
        path = self.folder / f"{self.module}.py"
        if not path.is_file():
            exercise_id = f"{int(self.folder.name[:2])}.{self.module[1:].partition('_')[0]}"
            raise LaunchError(f"No existe {path.name}. Recupéralo con: python3 curso.py reiniciar {exercise_id}")


@dataclass
class SharedApp:
    """La app que comparten los controles de un ejercicio; si un control la mata, el siguiente estrena otra."""

    launch: Launch
    app: App | None = None

    async def get(self) -> App:
        if self.app is not None and self.app.run.exit is not None:
            await self.close()
        if self.app is None:
            self.app = await self.launch.start("app", {})
        return self.app

    async def close(self) -> None:
        if self.app is not None:
            app, self.app = self.app, None
            await self.launch.stop(app)
