"""La estación: un Redis, una central lenta, dos cachés y el tráfico que las pone a prueba."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from cache import Cache, Railway, Train, connect
from naive import NaiveCache
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from traffic import Reader, Sampler, Traffic

from taller.services import Valkey, valkey

PLACES = ("Sevilla", "Barcelona", "Bilbao", "Valencia", "Málaga", "León", "A Coruña", "Cádiz", "Murcia", "Gijón")
TRAINS = 40
SOURCE_SECONDS = 0.2
SAMPLE_SECONDS = 0.5

RedisState = Literal["up", "mute", "down"]


@dataclass
class Station:
    server: Valkey
    boards: Redis
    naive: Reader
    right: Reader
    traffic: Traffic
    sampler: Sampler
    redis_state: RedisState = "up"

    @property
    def readers(self) -> dict[str, Reader]:
        return {"naive": self.naive, "right": self.right}

    def set_source(self, seconds: float | None, failing: bool | None) -> None:
        for reader in self.readers.values():
            if seconds is not None:
                reader.source.seconds = seconds
            if failing is not None:
                reader.source.failing = failing

    async def set_redis(self, state: RedisState) -> None:
        """Lo pone en marcha, lo congela (acepta conexiones y calla) o lo mata. ServiceError si es de fuera."""
        if self.redis_state == "mute":
            self.server.resume()
        if state == "down":
            await self.server.kill()
        else:
            await self.server.start()
        if state == "mute":
            self.server.pause()
        self.redis_state = state


@asynccontextmanager
async def open_station() -> AsyncIterator[Station]:
    numbers = range(1, TRAINS + 1)
    trains = {str(number): Train(id=str(number), to=PLACES[number % len(PLACES)], delay=0) for number in numbers}
    async with (
        valkey() as server,
        Redis.from_url(server.url, max_connections=500) as plain,
        Redis.from_url(server.url, decode_responses=True, retry=Retry(ExponentialBackoff(), 8)) as boards,
        connect(server.url) as careful,
    ):
        naive = NaiveCache(plain, Railway(trains, SOURCE_SECONDS))
        right = Cache(careful, Railway(trains, SOURCE_SECONDS))
        traffic = Traffic([naive, right], list(trains))
        sampler = Sampler(traffic.meters, SAMPLE_SECONDS)
        running = [asyncio.create_task(part.run()) for part in (traffic, sampler)]
        try:
            yield Station(server, boards, naive, right, traffic, sampler)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
