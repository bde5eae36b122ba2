"""La caché de la estación: la fuente lenta, y cómo leer y escribir por delante de ella. Es lo de `pasos/paso_5.py`."""

import asyncio
import random
import secrets
from collections import Counter
from contextlib import suppress

from pydantic import BaseModel, TypeAdapter
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import LockError, RedisError


# region fuente
class Train(BaseModel):
    id: str
    to: str
    delay: int


class SourceError(Exception):
    """La central no contesta."""


class Railway:
    """La central de la red: lo sabe todo, pero tarda. Cuenta cuántas veces le preguntan."""

    def __init__(self, trains: dict[str, Train], seconds: float = 0.2) -> None:
        self.trains, self.seconds, self.failing = trains, seconds, False
        self.calls: Counter[str] = Counter()

    async def read(self, train_id: str) -> Train | None:
        self.calls[train_id] += 1
        if self.failing:
            raise SourceError
        answer = self.trains.get(train_id)  # la contestación es la de ahora, por mucho que tarde en llegar
        await asyncio.sleep(self.seconds * random.uniform(0.5, 1.5))
        return answer

    async def change(self, train_id: str, delay: int) -> Train | None:
        known = self.trains.get(train_id)
        if known is not None:
            self.trains[train_id] = known.model_copy(update={"delay": delay})
        return await self.read(train_id)


# endregion


# region conectar
PATIENCE = 0.25


def connect(url: str) -> Redis:
    """Un cliente que se rinde pronto, y cuyas conexiones se esperan en vez de agotarse."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=100,
        timeout=PATIENCE,
        socket_connect_timeout=PATIENCE,
        socket_timeout=PATIENCE,
        retry=Retry(NoBackoff(), 0),
    )
    return Redis.from_pool(pool)


# endregion

TTL = 6.0
MISSING_TTL = 1.0
LOADING_SECONDS = 5.0
Known = TypeAdapter[Train | None](Train | None)


class NotCached(Exception):
    """La caché no sabe nada de esa clave, o no está para decirlo."""


# region rellenar-con-guarda
# Guarda si nadie ha escrito desde que se empezó a leer. KEYS: lo guardado y la generación.
FILL = """
if (redis.call('GET', KEYS[2]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
# endregion


class Cache:
    def __init__(self, redis: Redis, source: Railway) -> None:
        self.redis, self.source = redis, source
        self.flights: dict[str, asyncio.Task[Train | None]] = {}

    # region vuelo-unico
    async def get(self, train_id: str) -> Train | None:
        """Quienes piden lo mismo a la vez en este proceso comparten un solo intento."""
        flight = self.flights.get(train_id)
        if flight is None:
            flight = self.flights[train_id] = asyncio.create_task(self.find(train_id))
            flight.add_done_callback(lambda _: self.flights.pop(train_id))
        # Que uno se canse de esperar no cancela el intento de los demás.
        return await asyncio.shield(flight)

    # endregion

    # region permiso
    async def find(self, train_id: str) -> Train | None:
        """De la caché; si no está, de la central, y en todo el sistema solo la pregunta uno."""
        with suppress(NotCached):
            return await self.recall(train_id)
        permit = self.redis.lock(
            f"loading:{train_id}", timeout=LOADING_SECONDS, blocking_timeout=LOADING_SECONDS, sleep=0.02
        )
        try:
            async with permit:
                with suppress(NotCached):  # quizá acaba de guardarlo otro
                    return await self.recall(train_id)
                return await self.fill(train_id)
        except (LockError, RedisError, OSError):  # sin Redis no hay permiso que pedir
            return await self.source.read(train_id)

    # endregion

    # region recordar
    async def recall(self, train_id: str) -> Train | None:
        try:
            raw = await self.redis.get(f"train:{train_id}")
            if raw is None:
                raise NotCached
            return Known.validate_json(raw)
        except (RedisError, OSError, ValueError):
            raise NotCached from None

    # endregion

    # region rellenar
    async def fill(self, train_id: str) -> Train | None:
        key, generation = f"train:{train_id}", f"generation:{train_id}"
        seen = await self.redis.get(generation) or b""
        train = await self.source.read(train_id)
        ttl = MISSING_TTL if train is None else TTL * random.uniform(1.0, 1.5)
        with suppress(RedisError, OSError):
            await self.redis.eval(FILL, 2, key, generation, seen, Known.dump_json(train), round(ttl * 1000))
        return train

    # endregion

    # region cambiar
    async def change(self, train_id: str, delay: int) -> Train | None:
        """Primero la central; después se borra lo guardado y se avisa a quien esté leyendo de que ya es viejo."""
        train = await self.source.change(train_id, delay)
        with suppress(RedisError, OSError):
            async with self.redis.pipeline(transaction=True) as both:
                both.set(f"generation:{train_id}", secrets.token_hex(8), ex=60)
                both.delete(f"train:{train_id}")
                await both.execute()
        return train

    # endregion
