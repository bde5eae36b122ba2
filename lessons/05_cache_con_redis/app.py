"""Mini-app de la lección 5: una fuente lenta, dos cachés delante y un Redis que se puede tirar.

uvicorn app:app        y abre la dirección que imprime; el Redis lo pone ella, si no hay REDIS_URL
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Generic, Literal, TypeVar

import products
from cache import Train
from departures import announce, cut_and_announce, show_board
from experiments import Freeze, Race, Stampede, expiries, freeze, race, stampede
from fastapi import Depends, FastAPI, HTTPException, Query, Request, WebSocket
from fastapi.requests import HTTPConnection
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field
from redis.exceptions import RedisError
from sse_starlette import EventSourceResponse, ServerSentEvent
from station import RedisState, Station, open_station
from traffic import Sample

from taller.services import ServiceError

HERE = Path(__file__).parent


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with open_station() as app.state.station:
        yield


app = FastAPI(title="Una caché bajo presión", lifespan=lifespan)
app.include_router(products.router)
app.mount("/common", StaticFiles(directory=HERE.parent / "common"), name="common")
app.mount("/page", StaticFiles(directory=HERE / "page"), name="page")


def get_station(connection: HTTPConnection) -> Station:
    station: Station = connection.app.state.station
    return station


StationDep = Annotated[Station, Depends(get_station)]
Kind = Literal["naive", "right"]
Result = TypeVar("Result")


@app.exception_handler(ServiceError)
@app.exception_handler(RedisError)
async def redis_is_away(request: Request, problem: Exception) -> JSONResponse:
    return JSONResponse({"detail": f"Con este Redis no se puede: {problem}"}, 503)


class Settings(BaseModel):
    """Lo que se gobierna desde la página; lo que no se dice no cambia."""

    rate: Annotated[int | None, Field(ge=0, le=100)] = None
    seconds: Annotated[float | None, Field(ge=0, le=2)] = None
    failing: bool | None = None
    redis: RedisState | None = None


class Both(BaseModel, Generic[Result]):
    naive: Result
    right: Result


class Delay(BaseModel):
    delay: Annotated[int, Field(ge=0, le=999)]


class Announcements(BaseModel):
    texts: Annotated[list[str], Field(min_length=1, max_length=20)]


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(HERE / "index.html")


@app.put("/api/settings")
async def change_settings(settings: Settings, station: StationDep) -> Settings:
    if settings.rate is not None:
        station.traffic.set_rate(settings.rate)
    station.set_source(settings.seconds, settings.failing)
    if settings.redis is not None:
        await station.set_redis(settings.redis)
    source = station.right.source
    return Settings(
        rate=station.traffic.rate, seconds=source.seconds, failing=source.failing, redis=station.redis_state
    )


@app.get("/api/samples")
async def samples(station: StationDep) -> EventSourceResponse:
    """Cada medio segundo, qué ha sido de las lecturas por cada caché."""
    # sse-starlette y no `fastapi.sse`: cierra el flujo al apagar el servidor, y Ctrl+C no se queda esperando.
    return EventSourceResponse(sample_events(station))


async def sample_events(station: Station) -> AsyncIterator[ServerSentEvent]:
    async for naive, right in station.sampler.follow():
        yield ServerSentEvent(Both[Sample](naive=naive, right=right).model_dump_json())


@app.get("/api/{kind}/trains/{train_id}")
async def read_train(kind: Kind, train_id: str, station: StationDep) -> Train:
    return found(await station.readers[kind].get(train_id))


@app.put("/api/{kind}/trains/{train_id}")
async def change_train(kind: Kind, train_id: str, change: Delay, station: StationDep) -> Train:
    return found(await station.readers[kind].change(train_id, change.delay))


def found(train: Train | None) -> Train:
    if train is None:
        raise HTTPException(404, "ese tren no existe")
    return train


@app.post("/api/flush", status_code=204)
async def flush(station: StationDep) -> None:
    await station.boards.flushall()


@app.post("/api/stampede")
async def try_stampede(station: StationDep, reads: Annotated[int, Query(ge=1, le=400)] = 200) -> Both[Stampede]:
    return Both(naive=await stampede(station.naive, reads), right=await stampede(station.right, reads))


@app.post("/api/race")
async def try_race(station: StationDep) -> Both[Race]:
    return Both(naive=await race(station.naive), right=await race(station.right))


@app.post("/api/expiries")
async def try_expiries(station: StationDep, count: Annotated[int, Query(ge=1, le=400)] = 300) -> Both[list[int]]:
    naive = await expiries(station.naive, station.boards, "naive", count)
    return Both(naive=naive, right=await expiries(station.right, station.boards, "train", count))


@app.post("/api/freeze")
async def try_freeze(station: StationDep) -> Freeze:
    return await freeze(station.server.url)


@app.post("/api/announcements", status_code=202)
async def make_announcements(announcements: Announcements, station: StationDep) -> list[str]:
    return [await announce(station.boards, text) for text in announcements.texts]


@app.post("/api/announcements/during-a-cut", status_code=202)
async def announce_during_a_cut(announcements: Announcements, station: StationDep) -> None:
    await cut_and_announce(station.boards, announcements.texts)


@app.websocket("/ws/boards/{kind}")
async def board(websocket: WebSocket, kind: Kind, station: StationDep, after: str | None = None) -> None:
    """Los avisos desde ahora o, en el panel correcto, desde el que sigue a `after`."""
    await show_board(websocket, station.boards, kind, after)
