"""Paso 1: sin caché. Cada lectura pregunta a la central, y la central tarda.

Di: «Esto es lo que hay: una API ajena que contesta en unas dos décimas. No la puedo cambiar. Cada visita la paga
entera, y si vienen cincuenta a la vez, la central recibe cincuenta preguntas.»
Enseña: lee el tren 1 dos veces y mira los milisegundos; pulsa «50 a la vez» y mira las preguntas a la central.
Minutos: 8
Arranca: uvicorn paso_1:app --reload
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse
from pydantic import BaseModel


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


TRAINS = {"1": Train(id="1", to="Sevilla", delay=0), "2": Train(id="2", to="Bilbao", delay=5)}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.source = Railway(TRAINS)
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
    return found(await app.state.source.read(train_id))


@app.post("/trains/{train_id}/crowd")
async def read_fifty_times(train_id: str) -> Train:
    """Cincuenta lecturas a la vez; un navegador, con HTTP/1.1, solo haría seis."""
    answers = await asyncio.gather(*(app.state.source.read(train_id) for _ in range(50)))
    return found(answers[0])


def found(train: Train | None) -> Train:
    if train is None:
        raise HTTPException(404, "ese tren no existe")
    return train
