"""Mini-app de la lección 8: un servicio con visitantes de verdad, medido mal y bien a la vez.

uvicorn app:app        y abre la dirección que imprime; el Redis lo pone ella, si no hay REDIS_URL
"""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Literal

import naive
from desk import Desk
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response, WebSocket
from fastapi.requests import HTTPConnection
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from fleet import Scrapes
from labels import Cost, cost
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client import REGISTRY as RIGHT
from pydantic import BaseModel, Field
from redis.exceptions import RedisError
from sse_starlette import EventSourceResponse, ServerSentEvent
from stage import RedisState, Stage, open_stage
from trail import follow
from visitor import Farewell, Truth
from wire import serve

from taller.services import ServiceError

HERE = Path(__file__).parent
READY_SECONDS = 0.5


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with open_stage() as app.state.stage:
        yield


app = FastAPI(title="Métricas que dicen la verdad", lifespan=lifespan)
app.mount("/common", StaticFiles(directory=HERE.parent / "common"), name="common")
app.mount("/page", StaticFiles(directory=HERE / "page"), name="page")


def get_stage(connection: HTTPConnection) -> Stage:
    stage: Stage = connection.app.state.stage
    return stage


def get_desk(connection: HTTPConnection) -> Desk:
    return get_stage(connection).desk


StageDep = Annotated[Stage, Depends(get_stage)]
DeskDep = Annotated[Desk, Depends(get_desk)]


@app.exception_handler(ServiceError)
async def redis_is_away(request: Request, problem: Exception) -> JSONResponse:
    return JSONResponse({"detail": f"Con este Redis no se puede: {problem}"}, 503)


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(HERE / "index.html")


# region leer
@app.get("/metrics")
async def metrics() -> Response:
    return Response(generate_latest(RIGHT), media_type=CONTENT_TYPE_LATEST)


# endregion


@app.get("/naive/metrics")
async def naive_metrics() -> Response:
    return Response(generate_latest(naive.REGISTRY), media_type=CONTENT_TYPE_LATEST)


@app.websocket("/ws")
async def websocket(websocket: WebSocket, desk: DeskDep) -> None:
    await serve(websocket, desk)


@app.get("/events")
async def events(desk: DeskDep) -> EventSourceResponse:
    """Los resultados de las tareas. La página tiene siempre uno abierto: es el flujo que cuenta `sse_streams`."""
    return EventSourceResponse(desk.results())


# region salud
@app.get("/health/live")
async def live() -> dict[str, str]:
    return {"status": "alive"}


@app.get("/health/ready")
async def ready(desk: DeskDep, response: Response) -> dict[str, str]:
    try:
        async with asyncio.timeout(READY_SECONDS):
            await desk.redis.ping()
    except (RedisError, OSError):
        response.status_code = 503
        return {"status": "not ready", "redis": "no contesta"}
    return {"status": "ready"}


# endregion


# region salud-ingenua
@app.get("/health")
async def health(desk: DeskDep) -> dict[str, str]:
    """Una sola salud para todo, y sin plazo: la que se escribe sin pensar quién va a preguntar."""
    await desk.redis.ping()
    return {"status": "ok"}


# endregion


class Traffic(BaseModel):
    """Lo que se gobierna desde la página."""

    people: Annotated[int, Field(ge=0, le=60)] = 0
    rate: Annotated[int, Field(ge=0, le=100)] = 0
    slow: Annotated[float, Field(ge=0, le=2)] = 0.0
    farewell: Farewell = "polite"


@app.put("/api/traffic")
async def change_traffic(traffic: Traffic, request: Request, stage: StageDep) -> Truth:
    host, port = request.scope["server"]
    stage.crowd.url = f"ws://{host}:{port}/ws"
    stage.crowd.set_pace(traffic.rate, traffic.slow)
    await stage.crowd.become(traffic.people, traffic.farewell)
    return stage.crowd.truth


@app.get("/api/truth")
async def truth(stage: StageDep) -> Truth:
    return stage.crowd.truth


@app.post("/api/spoil/{kind}")
async def spoil(
    kind: Literal["invalid", "server"], request: Request, stage: StageDep, count: Annotated[int, Query(ge=1, le=20)] = 5
) -> Truth:
    host, port = request.scope["server"]
    stage.crowd.url = f"ws://{host}:{port}/ws"
    await stage.crowd.spoil(count, kind)
    return stage.crowd.truth


@app.post("/api/freeze", status_code=204)
async def freeze(stage: StageDep) -> None:
    if not await stage.crowd.freeze_one():
        raise HTTPException(409, "no queda ningún visitante que lea: sube la gente")


@app.post("/api/collect")
async def collect() -> int:
    """Pasa el recolector de basura; devuelve cuántos objetos ha encontrado."""
    return gc.collect()


@app.post("/api/labels")
async def labels(users: Annotated[int, Query(ge=1, le=5000)] = 1000) -> dict[str, Cost]:
    return {"naive": cost(users, labelled=True), "right": cost(users, labelled=False)}


@app.post("/api/fleet")
async def fleet(stage: StageDep) -> Scrapes:
    return await stage.count_with_three()


@app.post("/api/fleet/kill")
async def kill_one(stage: StageDep) -> Scrapes:
    return await stage.kill_one_of_three()


@app.post("/api/tasks", status_code=202)
async def tasks(request: Request, stage: StageDep, count: Annotated[int, Query(ge=1, le=10)] = 3) -> None:
    host, port = request.scope["server"]
    stage.crowd.url = f"ws://{host}:{port}/ws"
    await stage.crowd.ask_for_tasks([f"mensaje privado {number}" for number in range(1, count + 1)])


@app.get("/api/trail")
async def trail() -> EventSourceResponse:
    """Las líneas de los dos registros según se escriben: eventos `naive` y `right`."""
    return EventSourceResponse(trail_events())


async def trail_events() -> AsyncIterator[ServerSentEvent]:
    async for kind, line in follow():
        yield ServerSentEvent(line, event=kind)


class RedisChange(BaseModel):
    state: RedisState


@app.put("/api/redis")
async def change_redis(change: RedisChange, stage: StageDep) -> RedisChange:
    await stage.set_redis(change.state)
    return RedisChange(state=stage.redis_state)
