"""Viajeros que miran el panel: las mismas lecturas, por la caché ingenua y por la correcta, y cómo les va."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol

from cache import Railway, Train
from pydantic import BaseModel

GIVES_UP = 2.0
MAX_WAITING = 400


class Reader(Protocol):
    source: Railway

    async def get(self, train_id: str) -> Train | None: ...

    async def change(self, train_id: str, delay: int) -> Train | None: ...


class Sample(BaseModel):
    """Lo ocurrido con una caché desde la muestra anterior; las esperas, en milisegundos."""

    reads: int
    errors: int
    source_calls: int
    median: float | None
    p95: float | None


@dataclass
class Meter:
    """Cuenta lo que pasa con una caché entre muestra y muestra."""

    reader: Reader
    train_ids: list[str]
    waits: list[float] = field(default_factory=list)
    errors: int = 0
    waiting: int = 0
    calls_before: int = 0

    async def read(self, train_id: str) -> None:
        if self.waiting >= MAX_WAITING:
            self.errors += 1
            return
        self.waiting += 1
        started = time.perf_counter()
        try:
            async with asyncio.timeout(GIVES_UP):
                await self.reader.get(train_id)
        except Exception:  # un viajero no distingue errores: o ve el panel, o no lo ve
            self.errors += 1
        else:
            self.waits.append((time.perf_counter() - started) * 1000)
        finally:
            self.waiting -= 1

    def sample(self) -> Sample:
        waits = sorted(self.waits)
        calls = sum(self.reader.source.calls[train_id] for train_id in self.train_ids)
        taken = Sample(
            reads=len(waits) + self.errors,
            errors=self.errors,
            source_calls=calls - self.calls_before,
            median=waits[len(waits) // 2] if waits else None,
            p95=waits[int(len(waits) * 0.95)] if waits else None,
        )
        self.waits, self.errors, self.calls_before = [], 0, calls
        return taken


class Traffic:
    """Lecturas por segundo, repartidas como en la vida: unos pocos trenes se miran mucho."""

    def __init__(self, readers: list[Reader], train_ids: list[str]) -> None:
        self.meters = [Meter(reader, train_ids) for reader in readers]
        self.train_ids = train_ids
        self.weights = [1 / rank for rank in range(1, len(train_ids) + 1)]
        self.rate = 0
        self._started = asyncio.Event()

    def set_rate(self, per_second: int) -> None:
        self.rate = per_second
        if per_second:
            self._started.set()
        else:
            self._started.clear()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as readings:
            while True:
                await self._started.wait()
                (train_id,) = random.choices(self.train_ids, self.weights)
                for meter in self.meters:
                    readings.create_task(meter.read(train_id))
                await asyncio.sleep(1 / max(self.rate, 1))


class Sampler:
    """Una muestra de cada medidor cada cierto tiempo, la misma para todos los que la miran."""

    def __init__(self, meters: list[Meter], seconds: float) -> None:
        self.meters, self.seconds = meters, seconds
        self._latest: list[Sample] = []
        self._taken = asyncio.Event()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self.seconds)
            self._latest = [meter.sample() for meter in self.meters]
            self._taken.set()
            self._taken = asyncio.Event()

    async def follow(self) -> AsyncIterator[list[Sample]]:
        while True:
            await self._taken.wait()
            yield self._latest
