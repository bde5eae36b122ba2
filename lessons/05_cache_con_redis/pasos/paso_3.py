"""Paso 3: una caché que ayuda cuando puede y no estorba cuando no.

Di: «Cuatro arreglos. Redis tiene un cuarto de segundo, y no se reintenta. Todo lo que salga mal al leer la caché
es lo mismo: no está. Lo que no existe se recuerda también, pero un segundo. Y cada tren caduca a su hora.»
Enseña: tira Redis y lee: contesta la central. Déjalo mudo: medio segundo de más, y contesta. Lee el tren 99 varias
veces: una pregunta. Pulsa «50 a la vez»: siguen siendo cincuenta preguntas. Eso es el paso siguiente.
Minutos: 8
Arranca: uvicorn paso_3:app --reload
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse
from pydantic import BaseModel, TypeAdapter
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from taller.services import valkey


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
Known = TypeAdapter[Train | None](Train | None)


class NotCached(Exception):
    """La caché no sabe nada de esa clave, o no está para decirlo."""


class Cache:
    def __init__(self, redis: Redis, source: Railway) -> None:
        self.redis, self.source = redis, source

    # region con-respaldo
    async def get(self, train_id: str) -> Train | None:
        with suppress(NotCached):
            return await self.recall(train_id)
        train = await self.source.read(train_id)
        await self.remember(train_id, train)
        return train

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

    # region recordar-con-margen
    async def remember(self, train_id: str, train: Train | None) -> None:
        ttl = MISSING_TTL if train is None else TTL * random.uniform(1.0, 1.5)
        with suppress(RedisError, OSError):
            await self.redis.set(f"train:{train_id}", Known.dump_json(train), px=round(ttl * 1000))

    # endregion


TRAINS = {"1": Train(id="1", to="Sevilla", delay=0), "2": Train(id="2", to="Bilbao", delay=5)}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.source = Railway(TRAINS)
    async with valkey() as app.state.server, connect(app.state.server.url) as redis:
        app.state.cache = Cache(redis, app.state.source)
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page.html"))


@app.get("/calls")
async def source_calls() -> int:
    return int(app.state.source.calls.total())


@app.get("/trains/{train_id}")
async def read_train(train_id: str) -> Train:
    return found(await app.state.cache.get(train_id))


@app.post("/trains/{train_id}/crowd")
async def read_fifty_times(train_id: str) -> Train:
    """Cincuenta lecturas a la vez; un navegador, con HTTP/1.1, solo haría seis."""
    answers = await asyncio.gather(*(app.state.cache.get(train_id) for _ in range(50)))
    return found(answers[0])


@app.post("/redis/{state}")
async def set_redis(state: Literal["up", "mute", "down"]) -> None:
    """Pone Redis en marcha, lo deja mudo o lo mata, para ver qué pasa."""
    app.state.server.resume()
    await (app.state.server.kill() if state == "down" else app.state.server.start())
    if state == "mute":
        app.state.server.pause()


def found(train: Train | None) -> Train:
    if train is None:
        raise HTTPException(404, "ese tren no existe")
    return train
