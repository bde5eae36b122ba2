"""Tres límites con el mismo dato y distinta memoria: ventana fija, ventana deslizante y la de Redis."""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from redis.asyncio import Redis

MICROSECONDS = 1_000_000


class FixedWindow:
    """Cuenta por ventanas consecutivas; al empezar otra, se pone a cero."""

    def __init__(self, limit: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit, self.seconds, self.clock = limit, seconds, clock
        self.taken: dict[str, tuple[int, int]] = {}

    # region ventana-fija
    def ask(self, user: str) -> bool:
        window = int(self.clock() // self.seconds)
        last, count = self.taken.get(user, (window, 0))
        if last != window:
            count = 0
        if count >= self.limit:
            return False
        self.taken[user] = (window, count + 1)
        return True

    # endregion


# region deslizante
@dataclass(frozen=True)
class Decision:
    allowed: bool
    retry_after: float = 0.0


class SlidingWindow:
    """Cada petición permitida cuenta durante `seconds` segundos; quien no tiene ninguna no ocupa nada."""

    def __init__(self, limit: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit, self.seconds, self.clock = limit, seconds, clock
        self.times: OrderedDict[str, list[float]] = OrderedDict()

    # region preguntar
    def ask(self, user: str) -> Decision:
        now = self.clock()
        self.forget(now)
        times = [moment for moment in self.times.get(user, []) if now - moment < self.seconds]
        if len(times) >= self.limit:
            return Decision(False, retry_after=times[0] + self.seconds - now)
        times.append(now)
        self.times[user] = times
        self.times.move_to_end(user)
        return Decision(True)

    # endregion

    def forget(self, now: float) -> None:
        """Los que ya no cuentan están al principio: quien pasa se pone el último."""
        while self.times:
            user, times = next(iter(self.times.items()))
            if now - times[-1] < self.seconds:
                return
            del self.times[user]


# endregion


class TwoSteps:
    """En Redis, pero mirar y apuntar son dos órdenes. Está mal: es lo que hay que ver fallar."""

    def __init__(self, redis: Redis, limit: int, seconds: float) -> None:
        self.redis, self.limit, self.seconds = redis, limit, seconds

    # region dos-ordenes
    async def ask(self, user: str) -> bool:
        key, now = f"two:{user}", time.time()
        await self.redis.zremrangebyscore(key, "-inf", now - self.seconds)
        if await self.redis.zcard(key) >= self.limit:
            return False
        await self.redis.zadd(key, {secrets.token_hex(8): now})
        await self.redis.pexpire(key, round(self.seconds * 1000))
        return True

    # endregion


# region guion
# KEYS[1]: lo permitido a un usuario. ARGV: límite, ventana en microsegundos y un nombre para esta petición.
ONE_STEP = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], now, ARGV[3])
redis.call('PEXPIRE', KEYS[1], math.ceil(ARGV[2] / 1000))
return 1
"""
# endregion


class OneStep:
    """En Redis y de una vez: un guion que nadie interrumpe, con la hora de Redis."""

    def __init__(self, redis: Redis, limit: int, seconds: float) -> None:
        self.script, self.limit, self.seconds = redis.register_script(ONE_STEP), limit, seconds

    async def ask(self, user: str) -> bool:
        window = round(self.seconds * MICROSECONDS)
        return bool(await self.script(keys=[f"one:{user}"], args=[self.limit, window, secrets.token_hex(8)]))
