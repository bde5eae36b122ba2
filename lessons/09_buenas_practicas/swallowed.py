"""¿Cuántas tareas no se enteran de su cancel()? Leen de Redis sin parar, con el plazo de fábrica y sin él.

python swallowed.py
"""

import asyncio
import random
import sys
from typing import Any

from redis.asyncio import Redis

from taller.services import valkey

ENOUGH_SECONDS = 0.05


# region tragadas
async def swallowed(redis: Redis, times: int) -> int:
    """De `times` tareas canceladas en un instante cualquiera, cuántas siguen como si nada."""
    count = 0
    for _ in range(times):
        stop = asyncio.Event()
        task = asyncio.create_task(read_until(stop, redis))
        await asyncio.sleep(random.uniform(0, 0.002))
        task.cancel()
        _, alive = await asyncio.wait({task}, timeout=ENOUGH_SECONDS)
        stop.set()
        await asyncio.gather(*alive)
        count += len(alive)
    return count


async def read_until(stop: asyncio.Event, redis: Redis) -> None:
    while not stop.is_set():
        await redis.get("algo")
        await asyncio.sleep(0)


# endregion


async def main(times: int) -> None:
    async with valkey() as server:
        cases: dict[str, dict[str, Any]] = {"de fábrica": {}, "socket_timeout=None": {"socket_timeout": None}}
        for name, options in cases.items():
            async with server.client(**options) as redis:
                print(f"{name}: {await swallowed(redis, times)} de {times}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 500))
