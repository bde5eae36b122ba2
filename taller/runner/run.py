"""Una ejecución vista desde quien la pidió: cuándo está lista, qué escribe y cómo acaba."""

import asyncio
import contextlib
import json
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from taller.errors import TallerError
from taller.runner.limits import LOG_LIMIT

# Lo normal es un milisegundo; en una máquina ocupada, un bucle sin fin tarda en ceder el turno.
STACK_TIMEOUT = 1.0
STACK_POLL_SECONDS = 0.005
REASON_LIMIT = 1000
STACK_FRAME = re.compile(r'File "[^"]+", line \d+ in .*\n')


class LaunchError(TallerError):
    """La app no llegó a atender conexiones; el mensaje lo explica a quien la escribió."""


@dataclass(frozen=True)
class Address:
    """Dónde escucha una app: un socket Unix (`path`) o un puerto de esta máquina."""

    path: str = ""
    host: str = "127.0.0.1"
    port: int = 0

    @property
    def http(self) -> str:
        return "http://app" if self.path else f"http://{self.host}:{self.port}"


@dataclass(frozen=True)
class Exit:
    """Cómo terminó un proceso: con un código, o por una señal."""

    code: int = 0
    signal: int = 0

    def __str__(self) -> str:
        if self.signal:
            return f"terminó por la señal {signal.Signals(self.signal).name}"
        return f"terminó con el código {self.code}"


@dataclass
class Run:
    """Una ejecución en marcha. Cerrarla mata el proceso y a sus descendientes, siempre."""

    address: Address | None
    send: Callable[[dict[str, Any]], None]
    hang_up: Callable[[], None]
    on_event: Callable[[dict[str, Any]], None] = lambda event: None
    log: str = ""
    exit: Exit | None = None
    pid: int | None = None
    _log_bytes: int = field(init=False, default=0)
    _files: int | None = field(init=False, default=None)
    _cpu: float | None = field(init=False, default=None)
    _state: asyncio.Future[None] = field(init=False)
    _ended: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _synced: dict[int, asyncio.Event] = field(init=False, default_factory=dict)
    _tasks: list[asyncio.Task[None]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._state = asyncio.get_running_loop().create_future()

    async def ready(self, timeout: float) -> Self:
        """Espera a que atienda conexiones.

        Raises:
            LaunchError: el archivo no se pudo cargar, el proceso terminó antes o pasaron `timeout` segundos.
        """
        try:
            async with asyncio.timeout(timeout):
                await asyncio.shield(self._state)
        except TimeoutError:
            raise LaunchError(await self._explain_hang(timeout)) from None
        return self

    async def ended(self, timeout: float | None) -> Exit | None:
        """Espera a que termine; None si sigue vivo tras `timeout` segundos (con None, espera lo que haga falta)."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._ended.wait()
        return self.exit

    def signal(self, number: int) -> None:
        self.send({"do": "signal", "number": number})

    async def sync(self, timeout: float = 1.0) -> str:
        """La salida completa hasta este momento."""
        if self.exit is not None:
            return self.log
        serial = len(self._synced)
        self._synced[serial] = asyncio.Event()
        self.send({"do": "sync", "id": serial})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._synced[serial].wait()
        return self.log

    async def open_files(self) -> int | None:
        """Cuántos descriptores tiene abiertos el proceso ahora mismo; None donde no se puede ver (sin /proc)."""
        await self.sync()
        return self._files

    async def cpu_seconds(self) -> float | None:
        """Los segundos que lleva el proceso calculando; None donde no se puede ver (sin /proc)."""
        await self.sync()
        return self._cpu

    async def stack(self) -> str:
        """Dónde está parado el código ahora mismo: la pila que imprime `faulthandler`."""
        before = len(await self.sync())
        if not hasattr(signal, "SIGUSR1"):
            return ""
        self.signal(signal.SIGUSR1)
        deadline, dump = asyncio.get_running_loop().time() + STACK_TIMEOUT, ""
        while asyncio.get_running_loop().time() < deadline and self.exit is None:
            # Llega a trozos: está completa cuando hay un marco entero y ya no crece.
            previous, dump = dump, (await self.sync())[before:]
            if dump == previous and STACK_FRAME.search(dump):
                break
            await asyncio.sleep(STACK_POLL_SECONDS)
        return dump

    async def close(self) -> None:
        """Mata lo que quede y espera a que el supervisor haya limpiado."""
        self.hang_up()
        await self.ended(5.0)

    async def forgotten(self, timeout: float = 5.0) -> None:
        """Espera a que no quede nada por leer: una tarea a medias que nadie recuerda la recoge quien no debe."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout)

    def handle(self, event: dict[str, Any]) -> None:
        """Apunta un aviso del supervisor."""
        match event:
            case {"event": "note", "text": text}:
                self.note(text)
            case {"event": "born", "pid": pid}:
                self.pid = pid
            case {"event": "log", "text": text}:
                self._append_log(text)
            case {"event": "synced", "id": serial, **counted}:
                self._files, self._cpu = counted.get("files"), counted.get("cpu")
                self._synced[serial].set()
            case {"event": "exit", "code": code, "signal": number}:
                self.finish(Exit(code, number))

    def note(self, text: str) -> None:
        """Apunta lo que dice el propio proceso: puede ser cualquier cosa, si es código de un estudiante."""
        try:
            note = json.loads(text)
        except (ValueError, RecursionError):
            return
        match note:
            case {"event": "ready"}:
                self._settle(None)
            case {"event": "failed", "reason": str(reason)}:
                self._settle(LaunchError(reason[:REASON_LIMIT]))
        if isinstance(note, dict):
            self.on_event(note)

    def _append_log(self, text: str) -> None:
        if self._log_bytes >= LOG_LIMIT:
            return
        self.log += text
        self._log_bytes += len(text.encode())
        if self._log_bytes >= LOG_LIMIT:
            self.log += f"\n[salida cortada a los {LOG_LIMIT // 1024} KiB]\n"

    def keep(self, task: asyncio.Task[None]) -> None:
        """Guarda la referencia de una tarea que vive lo que la ejecución."""
        self._tasks.append(task)

    def finish(self, end: Exit) -> None:
        if self._ended.is_set():
            return
        self.exit = end
        # Sin dirección no es una app, sino un obrero o un servidor.
        app, other = f"Tu app {end} antes de atender ninguna conexión.", f"El proceso {end} antes de estar listo."
        self._settle(LaunchError(app if self.address else other))
        self._ended.set()
        for event in self._synced.values():
            event.set()
        self.on_event({"event": "exit", "code": end.code, "signal": end.signal})

    def _settle(self, error: LaunchError | None) -> None:
        if self._state.done():
            return
        if error is None:
            self._state.set_result(None)
        else:
            self._state.set_exception(error)
            # Si nadie llega a preguntar, asyncio no debe avisar de una excepción sin recoger.
            self._state.exception()

    async def _explain_hang(self, timeout: float) -> str:
        stack = await self.stack()
        lines = [line.strip() for line in stack.splitlines() if line.strip().startswith("File")]
        where = f" Estaba en: {lines[0]}." if lines else ""
        if self.address is None:
            return f"El proceso no llegó a estar listo en {timeout:g} s: algo lo retiene mientras se carga.{where}"
        return f"Tu app no atendió conexiones en {timeout:g} s: algo la retiene mientras se carga.{where}"
