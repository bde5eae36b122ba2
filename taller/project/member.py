"""Lo que forma la instalación: programas nuestros, y quien arranca otra vez a lo que muere."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from taller.services import ServiceError
from taller.services.places import scratch_directory
from taller.services.process import Process, supervised
from taller.services.server import last_words

CALM_SECONDS = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0


class Member(Protocol):
    """Un servidor o un programa: se arranca, y se sabe cuándo muere."""

    @property
    def name(self) -> str: ...

    async def start(self) -> None: ...

    async def died(self) -> None: ...


@dataclass
class Program:
    """Un programa de Plaza. Lo que dice va a `log`; muere con nosotros, también si nos matan con SIGKILL."""

    name: str
    module: Sequence[str]
    log: Path
    process: Process

    async def start(self) -> None:
        await self.process.start([sys.executable, "-m", *self.module], self.log)

    async def died(self) -> None:
        await self.process.exited(None)

    def dismiss(self) -> None:
        """Le pide que termine."""
        self.process.signal(signal.SIGTERM)

    @property
    def last_words(self) -> str:
        return last_words(self.log)


@asynccontextmanager
async def program(
    name: str,
    module: Sequence[str],
    logs: Path,
    env: Mapping[str, str],
    *,
    scratch: Path | None = None,
    inherited: Sequence[int] = (),
) -> AsyncIterator[Program]:
    """Un programa aún sin arrancar; al salir no queda nada de él, ni la carpeta `scratch`."""
    log = logs / f"{name}.log"
    log.unlink(missing_ok=True)
    scratch = scratch or scratch_directory()
    async with supervised(scratch, None, signal.SIGTERM, env=env, inherited=inherited) as process:
        yield Program(name, module, log, process)


async def keep_alive(member: Member, report: Callable[[str], None], on_death: Callable[[], None]) -> None:
    """Arranca `member` cada vez que muere, sin fin; si muere enseguida, cada vez espera más."""
    pause = 0.0
    while True:
        since = time.monotonic()
        await member.died()
        calm = time.monotonic() - since > CALM_SECONDS
        pause = 0.0 if calm else min(LONGEST_PAUSE, pause * 2 or FIRST_PAUSE)
        report(f"{member.name} ha terminado; arranca otra vez.")
        on_death()
        await asyncio.sleep(pause)
        try:
            await member.start()
        except (ServiceError, TimeoutError) as error:
            report(str(error) or f"{member.name} tarda en arrancar.")


async def dismiss(programs: Sequence[Program], seconds: float) -> None:
    """Pide a todos que terminen, y espera por ellos `seconds` como mucho."""
    for each in programs:
        each.dismiss()
    if programs:
        waiting = [asyncio.ensure_future(each.died()) for each in programs]
        _, late = await asyncio.wait(waiting, timeout=seconds)
        for task in late:
            task.cancel()
