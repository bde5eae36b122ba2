"""Límites de frecuencia: un cubo de fichas por clave, en Redis, exacto aunque haya varios procesos."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from redis.asyncio import Redis
from redis.exceptions import RedisError

# Con el reloj de Redis, que es el mismo para todos; y con caducidad, para no guardar a quien se fue.
TAKE = """
local now = redis.call('TIME')
now = now[1] + now[2] / 1000000
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local answers = {}
for index, key in ipairs(KEYS) do
    local saved = redis.call('HMGET', key, 'tokens', 'at')
    local tokens = math.min(burst, (tonumber(saved[1]) or burst) + (now - (tonumber(saved[2]) or now)) * rate)
    local wanted = tonumber(ARGV[2 + index])
    local granted = math.min(wanted, math.floor(tokens))
    tokens = tokens - granted
    redis.call('HSET', key, 'tokens', tokens, 'at', now)
    redis.call('PEXPIRE', key, math.ceil(burst / rate * 1000) + 1000)
    answers[index * 2 - 1] = granted
    answers[index * 2] = tostring(math.max(0, (1 - tokens) / rate))
end
return answers
"""


@dataclass(frozen=True)
class Grant:
    """Cuántas se conceden y cuántos segundos faltan para la siguiente ficha, por exceso y en milésimas."""

    granted: int
    wait: float

    @property
    def retry_after(self) -> float:
        return math.ceil(self.wait * 1000) / 1000


@dataclass
class Limiter:
    """`burst` de golpe y `rate` por segundo; `available` dice si merece la pena preguntar a Redis."""

    redis: Redis
    rate: float
    burst: float
    available: Callable[[], bool] = lambda: True
    _local: dict[str, tuple[float, float]] = field(init=False, default_factory=dict)

    async def take(self, wanted: dict[str, int]) -> dict[str, Grant]:
        """Pide fichas para varias claves en un solo viaje."""
        # TODO 41: Pide las fichas con el guion TAKE; si Redis no está, cuenta aquí con _take_locally.
        return {key: Grant(count, 0.0) for key, count in wanted.items()}

    async def take_one(self, key: str) -> float:
        """0 si se concede; si no, cuántos segundos hay que esperar."""
        grant = (await self.take({key: 1}))[key]
        return 0.0 if grant.granted else grant.retry_after

    def _take_locally(self, key: str, count: int) -> Grant:
        """Sin Redis cada proceso cuenta lo suyo: peor que un límite común, mejor que ninguno y que no atender."""
        now = time.monotonic()
        if len(self._local) > 10_000:
            self._local.clear()
        tokens, at = self._local.get(key, (self.burst, now))
        tokens = min(self.burst, tokens + (now - at) * self.rate)
        granted = min(count, int(tokens))
        self._local[key] = (tokens - granted, now)
        return Grant(granted, max(0.0, (1 - (tokens - granted)) / self.rate))
