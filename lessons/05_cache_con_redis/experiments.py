"""Los experimentos de la página: estampida, carrera, caducidades y el cliente que para el proceso."""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable

import redis
from cache import Railway, SourceError, Train
from pydantic import BaseModel
from redis.asyncio import Redis
from redis.exceptions import RedisError
from traffic import Reader

ROUNDS = 20
EACH_ROUND = 4
BATCH = 100
SPREAD_SECONDS = 0.1
FREEZE_MS = 800
BEAT_SECONDS = 0.005

serial = itertools.count(1)


class Stampede(BaseModel):
    reads: int
    source_calls: int
    errors: int
    seconds: float


class Race(BaseModel):
    """Por cada ronda, si al acabar todos se seguía leyendo un retraso que ya no era."""

    stale: list[bool]


class Freeze(BaseModel):
    """Lo más que estuvo el bucle de eventos sin poder hacer nada, en milisegundos."""

    sync: float
    asyncio: float


def new_train(source: Railway, kind: str) -> str:
    """Un tren que nadie ha mirado todavía."""
    train_id = f"{kind}-{next(serial)}"
    source.trains[train_id] = Train(id=train_id, to="Pruebas", delay=0)
    return train_id


async def stampede(reader: Reader, reads: int) -> Stampede:
    """Muchas lecturas a la vez de un tren que no está en la caché, con las conexiones a Redis ya abiertas."""
    known, train_id = new_train(reader.source, "conocido"), new_train(reader.source, "estampida")
    await asyncio.gather(reader.get(known), return_exceptions=True)
    await asyncio.gather(*(reader.get(known) for _ in range(reads)), return_exceptions=True)
    started = time.perf_counter()
    answers = await asyncio.gather(*(reader.get(train_id) for _ in range(reads)), return_exceptions=True)
    return Stampede(
        reads=reads,
        source_calls=reader.source.calls[train_id],
        errors=sum(isinstance(answer, BaseException) for answer in answers),
        seconds=time.perf_counter() - started,
    )


# region carrera
async def race(reader: Reader) -> Race:
    halves = [await asyncio.gather(*(race_round(reader) for _ in range(ROUNDS // 2))) for _ in range(2)]
    return Race(stale=[stale for half in halves for stale in half])


async def race_round(reader: Reader) -> bool:
    """Cuatro cambios y cuatro lecturas casi a la vez; cuando todos acaban, se lee una vez más."""
    train_id = new_train(reader.source, "carrera")

    async def change(delay: int) -> None:
        await asyncio.sleep(random.uniform(0, SPREAD_SECONDS))
        await reader.change(train_id, delay)

    async def look() -> None:
        await asyncio.sleep(random.uniform(0, SPREAD_SECONDS))
        await reader.get(train_id)

    numbers = range(1, EACH_ROUND + 1)
    await asyncio.gather(*map(change, numbers), *(look() for _ in numbers), return_exceptions=True)
    try:
        return await reader.get(train_id) != reader.source.trains[train_id]
    except (RedisError, OSError, SourceError):
        return False


# endregion


async def expiries(reader: Reader, client: Redis, prefix: str, count: int) -> list[int]:
    """Los milisegundos que les quedan a `count` trenes leídos de golpe."""
    train_ids = [new_train(reader.source, "caduca") for _ in range(count)]
    for batch in (train_ids[start : start + BATCH] for start in range(0, count, BATCH)):
        await asyncio.gather(*(reader.get(train_id) for train_id in batch))
    async with client.pipeline(transaction=False) as all_at_once:
        for train_id in train_ids:
            all_at_once.pttl(f"{prefix}:{train_id}")
        lives: list[int] = await all_at_once.execute()
    return lives


# region congelar
async def freeze(url: str) -> Freeze:
    """Una lectura con cada cliente mientras Redis está en pausa, y lo que tarda en latir el bucle."""
    with redis.Redis.from_url(url) as blocking:
        blocking.client_pause(FREEZE_MS)

        async def read_blocking() -> None:
            blocking.get("train:1")

        sync = await longest_silence(read_blocking)
    async with Redis.from_url(url) as waiting:
        await waiting.client_pause(FREEZE_MS)

        async def read_waiting() -> None:
            await waiting.get("train:1")

        return Freeze(sync=sync, asyncio=await longest_silence(read_waiting))


# endregion


async def longest_silence(reading: Callable[[], Awaitable[None]]) -> float:
    """Milisegundos entre los dos latidos más separados de los que da el bucle durante la lectura."""
    beats = [time.perf_counter()]

    async def beat() -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            beats.append(time.perf_counter())

    heart = asyncio.create_task(beat())
    await asyncio.sleep(BEAT_SECONDS)
    await reading()
    await asyncio.sleep(3 * BEAT_SECONDS)
    heart.cancel()
    return max(after - before for before, after in itertools.pairwise(beats)) * 1000
