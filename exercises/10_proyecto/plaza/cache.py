"""Caché de lo que se lee mucho y cambia poco: una sola carga aunque la pidan cien, y sin Redis se lee de la fuente."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from plaza import metrics

TTL_SECONDS = 30.0
# Lo que dura la prohibición de guardar tras un cambio: más de lo que puede tardar una carga que ya había leído.
GUARD_MS = 5000

# Guarda solo si nadie ha invalidado mientras se leía.
FILL = """
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""


@dataclass
class Cache:
    """Valores JSON por clave."""

    redis: Redis
    _loading: dict[str, asyncio.Task[str]] = field(init=False, default_factory=dict)

    async def get(self, key: str, load: Callable[[], Awaitable[str]]) -> str:
        """El JSON de `key`; si no está, el que dé `load`, que se llama una vez aunque lo pidan muchos."""
        saved: Any = None
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            saved = await self.redis.get(f"cache:{key}")
        if saved is not None:
            metrics.cache_requests.labels("hit").inc()
            return str(saved.decode())
        metrics.cache_requests.labels("miss").inc()
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.create_task(self._load(key, load))
            task.add_done_callback(lambda _: self._loading.pop(key, None))
        return await asyncio.shield(task)

    async def _load(self, key: str, load: Callable[[], Awaitable[str]]) -> str:
        value = await load()
        ttl = round(TTL_SECONDS * random.uniform(1, 1.5) * 1000)
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await self.redis.register_script(FILL)(keys=[f"cache:{key}", f"cache:guard:{key}"], args=[value, ttl])
        return value

    async def forget(self, *keys: str) -> None:
        """Borra tras un cambio ya confirmado; quien lo leyó antes ya no podrá guardarlo."""
        # Si Redis no está, caducará sola.
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            async with self.redis.pipeline() as pipe:
                for key in keys:
                    pipe.set(f"cache:guard:{key}", 1, px=GUARD_MS)
                    pipe.delete(f"cache:{key}")
                await pipe.execute()
