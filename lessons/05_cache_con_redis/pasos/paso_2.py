"""Paso 2: cache-aside, como en los apuntes pero con await.

Di: «Primero pregunto a la caché. Si no está, a la central, y guardo lo que diga. El cliente es el de
redis.asyncio: con el otro, mientras Redis piensa, no atendería a nadie.»
Enseña: la segunda lectura tarda menos de un milisegundo. Ahora rompe cosas: tira Redis y lee (500); déjalo mudo y
lee (cinco segundos y 500); pon Redis en marcha, espera seis segundos y pulsa «50 a la vez»: cincuenta preguntas.
Minutos: 6
Arranca: uvicorn paso_2:app --reload
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse
from pydantic import BaseModel
from redis.asyncio import Redis

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


def connect(url: str) -> Redis:
    return Redis.from_url(url)


TTL = 6.0


class Cache:
    def __init__(self, redis: Redis, source: Railway) -> None:
        self.redis, self.source = redis, source

    # region cache-aside
    async def get(self, train_id: str) -> Train | None:
        cached = await self.redis.get(f"train:{train_id}")
        if cached:
            fields = json.loads(cached)
            return None if fields is None else Train(**fields)
        train = await self.source.read(train_id)
        fields = None if train is None else train.model_dump()
        await self.redis.set(f"train:{train_id}", json.dumps(fields), px=round(TTL * 1000))
        return train

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
