"""Lo que hay en marcha: un Redis, el servicio que lo usa, sus visitantes y, si se pide, una flota de tres procesos."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from crowd import Crowd
from desk import Desk
from fleet import PEOPLE, Fleet, Scrapes, open_fleet
from redis.asyncio import Redis
from sse_starlette.sse import AppStatus

from taller.services import Valkey, valkey

WORKERS = 2
EXIT_SECONDS = 0.2

RedisState = Literal["up", "mute", "down"]


@dataclass
class Stage:
    server: Valkey
    desk: Desk
    crowd: Crowd
    closing: AsyncExitStack
    redis_state: RedisState = "up"
    fleet: Fleet | None = None
    fleet_turn: asyncio.Lock = field(default_factory=asyncio.Lock)

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

    async def count_with_three(self) -> Scrapes:
        """Treinta conexiones entre tres procesos, y lo que dice cada lectura. La primera vez los arranca."""
        async with self.fleet_turn:
            fleet = await self._three()
            await fleet.hold(PEOPLE)
            return await fleet.scrape()

    async def kill_one_of_three(self) -> Scrapes:
        """kill -9 a uno de los tres, y lo que dice cada lectura después."""
        async with self.fleet_turn:
            fleet = await self._three()
            await fleet.hold(PEOPLE)
            await fleet.kill_the_busiest()
            return await fleet.scrape()

    async def _three(self) -> Fleet:
        if self.fleet is None:
            self.fleet = await self.closing.enter_async_context(open_fleet())
        return self.fleet


@asynccontextmanager
async def open_stage() -> AsyncIterator[Stage]:
    async with (
        valkey() as server,
        Redis.from_url(server.url) as redis,
        AsyncExitStack() as closing,
    ):
        desk, crowd = Desk(redis), Crowd()
        parts = [crowd.talk(), leave_at_exit(crowd), *(desk.work() for _ in range(WORKERS))]
        running = [asyncio.create_task(part) for part in parts]
        try:
            yield Stage(server, desk, crowd, closing)
        finally:
            await crowd.close()
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


async def leave_at_exit(crowd: Crowd) -> None:
    """Los visitantes se van cuando el servidor se apaga: uvicorn esperaría para siempre a uno que no lee."""
    while True:
        await asyncio.sleep(EXIT_SECONDS)
        if AppStatus.should_exit:
            await crowd.close()
            return
