"""Uno de los cuatro procesos del experimento: espera la salida y cuenta cuántas de sus peticiones pasan.

python worker.py URL_DE_REDIS USUARIO PETICIONES LÍMITE SEGUNDOS
"""

import asyncio
import json
import sys

from limiters import OneStep, SlidingWindow, TwoSteps
from redis.asyncio import Redis


async def main(url: str, user: str, times: int, limit: int, seconds: float) -> None:
    async with Redis.from_url(url, max_connections=2 * times) as redis:
        # Con las conexiones ya abiertas: lo que se mide es la carrera, no quién tarda más en conectar.
        await asyncio.gather(*(redis.ping() for _ in range(times)))
        memory, two, one = (
            SlidingWindow(limit, seconds),
            TwoSteps(redis, limit, seconds),
            OneStep(redis, limit, seconds),
        )
        print("listo", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        allowed = {
            "memory": sum(memory.ask(user).allowed for _ in range(times)),
            "two_steps": sum(await asyncio.gather(*(two.ask(user) for _ in range(times)))),
            "one_step": sum(await asyncio.gather(*(one.ask(user) for _ in range(times)))),
        }
    print(json.dumps(allowed))


if __name__ == "__main__":
    url, user, times, limit, seconds = sys.argv[1:]
    asyncio.run(main(url, user, int(times), int(limit), float(seconds)))
