"""Lo que se mide de una vez: la memoria, el reloj que salta y el límite repartido en cuatro procesos."""

import asyncio
import json
import sys
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from limiters import SlidingWindow
from naive import NaiveLimiter
from pydantic import BaseModel

HERE = Path(__file__).parent
USERS = 100_000
LIMIT, SECONDS = 10, 60.0
HOUR = 3600
WORKERS, EACH = 4, 20
MEGABYTE = 1_000_000


class FakeClock:
    """Un reloj que se mueve a mano; empieza en una hora cualquiera."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


class Memory(BaseModel):
    """Megabytes con los usuarios dentro, y después de que haya pasado su ventana y preguntado uno más."""

    full: float
    later: float


class Jump(BaseModel):
    """`locked_seconds`: lo que tarda en poder pasar quien agotó su límite; `extra`: lo que pasa de más."""

    locked_seconds: float
    extra: int


class Shared(BaseModel):
    """Cuántas peticiones pasan de las que hacen cuatro procesos a la vez."""

    asked: int
    limit: int
    memory: int
    two_steps: int
    one_step: int


def measure_memory(make: Callable[[FakeClock], NaiveLimiter | SlidingWindow]) -> Memory:
    """Bloquea un segundo o dos: se llama desde otro hilo."""
    clock = FakeClock()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        limiter = make(clock)
        for number in range(USERS):
            limiter.ask(f"user-{number}")
        full, _ = tracemalloc.get_traced_memory()
        clock.now += SECONDS + 1
        limiter.ask("uno más")
        later, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return Memory(full=(full - before) / MEGABYTE, later=max(later - before, 0) / MEGABYTE)


def naive_memory() -> Memory:
    return measure_memory(lambda clock: NaiveLimiter(LIMIT, SECONDS, clock))


def right_memory() -> Memory:
    return measure_memory(lambda clock: SlidingWindow(LIMIT, SECONDS, clock))


def jump(back: bool) -> Jump:
    """Alguien agota su límite y en ese momento la hora de la máquina se corrige una hora."""
    clock = FakeClock()
    limiter = NaiveLimiter(LIMIT, SECONDS, clock)
    for _ in range(LIMIT):
        limiter.ask("ana")
    clock.now += -HOUR if back else HOUR
    if not back:
        return Jump(locked_seconds=0, extra=sum(limiter.ask("ana") for _ in range(LIMIT)))
    corrected = clock.now
    while not limiter.ask("ana"):
        clock.now += 1
    return Jump(locked_seconds=clock.now - corrected, extra=0)


@asynccontextmanager
async def worker(url: str, user: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Un proceso de verdad, ya conectado y esperando la salida; al salir no queda nada de él."""
    pipe = asyncio.subprocess.PIPE
    arguments = [str(HERE / "worker.py"), url, user, str(EACH), str(LIMIT), str(SECONDS)]
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdin=pipe, stdout=pipe)
    try:
        assert process.stdout
        await process.stdout.readline()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def four_processes(url: str, user: str) -> Shared:
    """Ochenta peticiones de un usuario, veinte por proceso, todas a la vez, con cada manera de contar."""
    async with (
        worker(url, user) as first,
        worker(url, user) as second,
        worker(url, user) as third,
        worker(url, user) as fourth,
    ):
        workers = [first, second, third, fourth]
        answers = await asyncio.gather(*(process.communicate(b"ya\n") for process in workers))
    allowed = [json.loads(output) for output, _ in answers]
    totals = {kind: sum(counts[kind] for counts in allowed) for kind in ("memory", "two_steps", "one_step")}
    return Shared(asked=WORKERS * EACH, limit=LIMIT, **totals)
