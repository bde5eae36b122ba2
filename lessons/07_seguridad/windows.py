"""Las mismas peticiones contra una ventana fija y una deslizante, y lo que decide cada una."""

import asyncio
import itertools
import time

from limiters import FixedWindow, SlidingWindow
from pydantic import BaseModel

LIMIT = 5
SECONDS = 4.0
BEFORE, AFTER = 0.25, 0.05  # segundos antes y después del cambio de ventana


class Knock(BaseModel):
    """Una petición: cuándo (segundos del reloj monótono) y qué dijo cada límite."""

    at: float
    fixed: bool
    sliding: bool
    retry_after: float


class Windows(BaseModel):
    limit: int = LIMIT
    seconds: float = SECONDS
    now: float
    knocks: list[Knock]


class Doorkeepers:
    """Los dos límites, con el mismo usuario; `newcomer` empieza con otro."""

    def __init__(self) -> None:
        self.fixed, self.sliding = FixedWindow(LIMIT, SECONDS), SlidingWindow(LIMIT, SECONDS)
        self.serial = itertools.count(1)
        self.newcomer()

    def newcomer(self) -> None:
        self.user = f"visita {next(self.serial)}"

    def knock(self, times: int) -> list[Knock]:
        return [self._once() for _ in range(times)]

    def _once(self) -> Knock:
        at, fixed, sliding = time.monotonic(), self.fixed.ask(self.user), self.sliding.ask(self.user)
        return Knock(at=at, fixed=fixed, sliding=sliding.allowed, retry_after=sliding.retry_after)

    async def around_the_edge(self) -> list[Knock]:
        """LIMIT justo antes de que la ventana fija cambie y LIMIT justo después."""
        self.newcomer()
        now = time.monotonic()
        edge = (now // SECONDS + 1) * SECONDS
        if edge - now < BEFORE:
            edge += SECONDS
        await asyncio.sleep(edge - BEFORE - time.monotonic())
        first = self.knock(LIMIT)
        await asyncio.sleep(edge + AFTER - time.monotonic())
        return first + self.knock(LIMIT)


def snapshot(knocks: list[Knock]) -> Windows:
    return Windows(now=time.monotonic(), knocks=knocks)
