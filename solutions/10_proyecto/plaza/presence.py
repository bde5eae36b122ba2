"""Quién está: las conexiones vivas de cada persona, en Redis, con caducidad por si su proceso muere sin decir adiós."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from plaza.bus import Bus
from plaza.database import Database, is_away

# Una conexión vale TTL desde la última señal; un proceso muerto deja fantasmas, como mucho, eso más un barrido.
TTL_SECONDS = 40.0
BEAT_SECONDS = 12.0
FAREWELL_SECONDS = 5.0
# Para el límite solo cuentan las que han dado señales hace poco: ni las que se están yendo ni las de un proceso muerto.
RECENT_SECONDS = 15.0
# Quien ya está dentro no se cuenta otra vez.
NO_LIMIT = 1_000_000

# Devuelven 1 si la persona cambia de estado: aparece o se va. ARRIVE, -1 si ya tiene demasiadas conexiones.
ARRIVE = """
if redis.call('ZCOUNT', KEYS[2], ARGV[5], '+inf') >= tonumber(ARGV[4]) then return -1 end
local before = redis.call('ZCARD', KEYS[2])
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[6])
return before == 0 and 1 or 0
"""
LEAVE = """
redis.call('ZREM', KEYS[1], ARGV[1])
if redis.call('ZREM', KEYS[2], ARGV[2]) == 0 then return 0 end
return redis.call('ZCARD', KEYS[2]) == 0 and 1 or 0
"""
# Una pregunta con 200 claves, y no 200 preguntas: a cada una, el cliente de Redis le dedica más que Redis.
ONLINE = """
local answers = {}
for index, key in ipairs(KEYS) do answers[index] = redis.call('EXISTS', key) end
return answers
"""


def _connections(user_id: int) -> str:
    return f"connections:{user_id}"


@dataclass
class Presence:
    """Cada conexión es «usuario:nombre:id» en un conjunto ordenado por caducidad, y un id en otro, el de su dueño."""

    database: Database
    redis: Redis
    bus: Bus
    limit: int
    living: Callable[[], Iterable[str]] = field(init=False)
    _leaving: set["asyncio.Task[None]"] = field(init=False, default_factory=set)

    async def arrive(self, user_id: int, username: str, connection_id: str) -> bool:
        """Apunta una conexión. False si la persona ya tiene demasiadas."""
        try:
            answer = await self._note(user_id, username, connection_id, self.limit)
        except (RedisError, OSError, TimeoutError):
            # Sin Redis no se sabe quién más está; se deja entrar, y el siguiente latido lo apunta.
            return True
        return answer >= 0

    async def _note(self, user_id: int, username: str, connection_id: str, limit: int) -> int:
        member, now = f"{user_id}:{username}:{connection_id}", time.time()
        recent = now + TTL_SECONDS - RECENT_SECONDS
        # Si se pierde el barrido, que el conjunto de esa persona caduque solo.
        args: list[str | float] = [member, connection_id, now + TTL_SECONDS, limit, recent, round(TTL_SECONDS * 3)]
        answer = int(await self.redis.register_script(ARRIVE)(keys=["presence", _connections(user_id)], args=args))
        if answer == 1:
            await self._announce(user_id, username, True)
        return answer

    def leave(self, user_id: int, username: str, connection_id: str) -> None:
        """La conexión se ha cerrado. Si no vuelve en unos segundos, la persona se ha ido."""
        task = asyncio.create_task(self._leave(user_id, username, connection_id))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _leave(self, user_id: int, username: str, connection_id: str) -> None:
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            # Sigue estando, pero ya no ocupa sitio.
            await self.redis.zadd(_connections(user_id), {connection_id: 0}, xx=True)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(FAREWELL_SECONDS)
        await self._drop(user_id, username, connection_id)

    async def _drop(self, user_id: int, username: str, connection_id: str) -> None:
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            gone = await self.redis.register_script(LEAVE)(
                keys=["presence", _connections(user_id)], args=[f"{user_id}:{username}:{connection_id}", connection_id]
            )
            if gone:
                await self._announce(user_id, username, False)

    async def online(self, user_ids: list[int]) -> set[int]:
        """De esas personas, las que están. Sin Redis no se sabe: nadie."""
        if not user_ids:
            return set()
        try:
            answers = await self.redis.register_script(ONLINE)(keys=[_connections(user_id) for user_id in user_ids])
        except (RedisError, OSError, TimeoutError):
            return set()
        return {user_id for user_id, there in zip(user_ids, answers, strict=True) if there}

    async def run(self) -> None:
        """Renueva las conexiones de este proceso y barre las de los procesos muertos."""
        while True:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                await self.beat()
                await self._sweep()
            await asyncio.sleep(BEAT_SECONDS)

    async def beat(self) -> None:
        """Renueva las de aquí; las que Redis haya olvidado vuelven a aparecer, y se anuncia."""
        for member in self.living():
            user_id, username, connection_id = member.split(":")
            await self._note(int(user_id), username, connection_id, NO_LIMIT)

    async def _sweep(self) -> None:
        expired: Any = await self.redis.zrangebyscore("presence", "-inf", time.time(), start=0, num=500)
        for member in expired:
            user_id, username, connection_id = member.decode().split(":")
            await self._drop(int(user_id), username, connection_id)

    async def close(self) -> None:
        """Da por idos ya a los que se estaban yendo: el proceso termina."""
        for task in self._leaving:
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)

    async def _announce(self, user_id: int, username: str, online: bool) -> None:
        try:
            rows = await self.database.fetch("SELECT room_id FROM members WHERE user_id = :user", user=user_id)
        except Exception as error:
            if not is_away(error):
                raise
            return
        rooms = [row["room_id"] for row in rows]
        await self.bus.announce("presence", user=user_id, username=username, online=online, rooms=rooms)
