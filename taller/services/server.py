"""Lo que Valkey y PostgreSQL tienen en común: un servidor propio que se puede tirar, parar y levantar."""

import asyncio
import signal
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from taller.services.errors import ServiceError
from taller.services.process import Process

READY_SECONDS = 30.0
POLL_SECONDS = 0.003


class Server(ABC):
    """Un servidor real. Si viene de fuera (`REDIS_URL`, `DATABASE_URL`), los mandos lanzan ServiceError."""

    name: ClassVar[str]
    variable: ClassVar[str]
    polite_signal: ClassVar[int] = signal.SIGTERM

    def __init__(self, url: str, process: Process | None = None, log: Path | None = None) -> None:
        self.url = url
        self._process = process
        self._log = log

    @abstractmethod
    async def answers(self) -> bool:
        """Si el servidor responde ya a una petición."""

    @abstractmethod
    async def _launch(self, process: Process) -> None: ...

    async def start(self) -> None:
        """Arranca el servidor, en la misma URL, y vuelve cuando responde. Si ya corre, no hace nada."""
        process = self._own()
        if process.running:
            return
        await self._launch(process)
        await self._until_it_answers(process)

    async def _until_it_answers(self, process: Process) -> None:
        try:
            async with asyncio.timeout(READY_SECONDS):
                while not await self.answers():
                    if await process.exits_within(POLL_SECONDS):
                        raise self._failure()
        except TimeoutError:
            await process.kill()
            raise self._failure() from None

    async def died(self) -> None:
        """Vuelve cuando su proceso ha muerto, se haya pedido o no."""
        await self._own().exited(None)

    async def stop(self) -> None:
        """Lo cierra con orden, aunque esté en pausa, y vuelve cuando ha terminado; a los 10 s, lo mata."""
        process = self._own()
        process.resume()
        process.signal(self.polite_signal)
        try:
            await process.exited()
        except TimeoutError:
            await process.kill()

    async def restart(self) -> None:
        """Lo cierra con orden y lo arranca otra vez en la misma URL."""
        await self.stop()
        await self.start()

    async def kill(self) -> None:
        """Lo mata con SIGKILL, como un corte de luz del proceso; vuelve cuando ha muerto."""
        await self._own().kill()

    def pause(self) -> None:
        """Lo congela (SIGSTOP): acepta conexiones nuevas, pero no responde a nada."""
        self._own().pause()

    def resume(self) -> None:
        """Lo descongela (SIGCONT)."""
        self._own().resume()

    @property
    def log(self) -> str:
        """Lo que ha escrito; vacío si viene de fuera."""
        return self._log.read_text(errors="replace") if self._log and self._log.exists() else ""

    @property
    def ours(self) -> bool:
        """Si lo hemos arrancado nosotros y podemos volver a hacerlo."""
        return self._process is not None

    async def require_answer(self) -> None:
        """ServiceError si un servidor de fuera no responde."""
        if not await self.answers():
            raise ServiceError(
                f"{self.name} no responde en {self._public_address()}. "
                f"Arráncalo, o usa el del curso con: unset {self.variable}"
            )

    def _own(self) -> Process:
        if self._process is None:
            raise ServiceError(
                f"{self.name} viene de {self.variable}, y un servidor ajeno no se para ni se mata. "
                f"Usa el del curso con: unset {self.variable}"
            )
        return self._process

    def _failure(self) -> ServiceError:
        reason = last_words(self._log)
        return ServiceError(f"{self.name} no arrancó ({reason}). Corrígelo y repite con: python3 curso.py servicios")

    def _public_address(self) -> str:
        # Sin usuario ni contraseña: este texto acaba en pantallas e informes.
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def last_words(log: Path | None) -> str:
    """La última línea de un registro que cuenta un fallo o, si no la hay, la última."""
    lines = log.read_text(errors="replace").splitlines() if log and log.exists() else []
    telling = [line for line in lines if any(word in line for word in ("FATAL", "rror", "ailed"))] or lines
    return telling[-1].strip() if telling else "no dejó nada en su registro"
