"""El ritmo del mercado: cada cuánto cambia el precio, para toda la clase a la vez."""

import asyncio
import random

from prices import market
from pydantic import BaseModel, Field


class Pace(BaseModel):
    """Segundos entre un cambio y el siguiente, de media; con 0, el mercado está parado."""

    seconds: float = Field(ge=0, le=60)


class Clock:
    def __init__(self) -> None:
        self.pace = Pace(seconds=2)
        self._changed = asyncio.Event()

    def set(self, pace: Pace) -> None:
        self.pace = pace
        self._changed.set()

    async def run(self) -> None:
        while True:
            self._changed.clear()
            try:
                async with asyncio.timeout(self._next_wait()):
                    await self._changed.wait()
            except TimeoutError:
                market.move()

    def _next_wait(self) -> float | None:
        """Con azar: si fuera exacto, un sondeo del mismo periodo llegaría siempre igual de tarde."""
        return self.pace.seconds * random.uniform(0.5, 1.5) or None
