"""La caché del fragmento de los apuntes, con el cliente asíncrono: lo demás, tal cual."""

import json

from cache import TTL, Railway, Train
from redis.asyncio import Redis


class NaiveCache:
    def __init__(self, redis: Redis, source: Railway) -> None:
        self.redis, self.source = redis, source

    # region apuntes
    async def get(self, train_id: str) -> Train | None:
        cached = await self.redis.get(f"naive:{train_id}")
        if cached:
            return load(json.loads(cached))
        train = await self.source.read(train_id)
        await self.redis.setex(f"naive:{train_id}", round(TTL), json.dumps(dump(train)))
        return train

    # endregion

    # region apuntes-escribir
    async def change(self, train_id: str, delay: int) -> Train | None:
        train = await self.source.change(train_id, delay)
        await self.redis.setex(f"naive:{train_id}", round(TTL), json.dumps(dump(train)))
        return train

    # endregion


def load(fields: dict[str, str | int] | None) -> Train | None:
    return None if fields is None else Train.model_validate(fields)


def dump(train: Train | None) -> dict[str, str | int] | None:
    return None if train is None else train.model_dump()
