"""Mini-app de la lección 7: dos puertas, los tokens que alguien podría traer y los límites que los frenan.

uvicorn app:app        y abre la dirección que imprime; el Redis lo pone ella, si no hay REDIS_URL
"""

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import doors
import naive
import room
import tokens
from experiments import Jump, Memory, Shared, four_processes, jump, naive_memory, right_memory
from fastapi import Depends, FastAPI, Header, Query, Request
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from logbook import KnownDoor, Logbook, keeping
from pydantic import BaseModel
from sse_starlette import EventSourceResponse, ServerSentEvent
from windows import Doorkeepers, Windows, snapshot

from taller.services import Valkey, valkey

HERE = Path(__file__).parent
visits = itertools.count(1)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.logbook, app.state.doorkeepers = Logbook(), Doorkeepers()
    app.state.measuring = asyncio.Lock()
    async with valkey() as app.state.server:
        with keeping(app.state.logbook):
            yield


app = FastAPI(title="La puerta y el portero", lifespan=lifespan)
app.add_middleware(KnownDoor)
for part in (doors, naive, room):
    app.include_router(part.router)
app.mount("/common", StaticFiles(directory=HERE.parent / "common"), name="common")
app.mount("/page", StaticFiles(directory=HERE / "page"), name="page")


def get_logbook(request: Request) -> Logbook:
    logbook: Logbook = request.app.state.logbook
    return logbook


def get_doorkeepers(request: Request) -> Doorkeepers:
    doorkeepers: Doorkeepers = request.app.state.doorkeepers
    return doorkeepers


def get_server(request: Request) -> Valkey:
    server: Valkey = request.app.state.server
    return server


def get_measuring(request: Request) -> asyncio.Lock:
    """Un experimento cada vez: dos a la vez se falsearían la medida."""
    lock: asyncio.Lock = request.app.state.measuring
    return lock


LogbookDep = Annotated[Logbook, Depends(get_logbook)]
DoorkeepersDep = Annotated[Doorkeepers, Depends(get_doorkeepers)]
MeasuringDep = Annotated[asyncio.Lock, Depends(get_measuring)]


class Token(BaseModel):
    token: str


class BothMemories(BaseModel):
    naive: Memory
    right: Memory


class BothJumps(BaseModel):
    back: Jump
    forward: Jump


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(HERE / "index.html")


@app.post("/api/tokens/{kind}")
async def make_token(kind: tokens.Kind) -> Token:
    return Token(token=tokens.make(kind))


@app.get("/api/log")
async def log(logbook: LogbookDep, last_event_id: Annotated[str | None, Header()] = None) -> EventSourceResponse:
    """Lo que el servidor escribe en su registro sobre cada puerta, en vivo."""
    return EventSourceResponse(log_lines(logbook, int(last_event_id) if last_event_id else None))


async def log_lines(logbook: Logbook, after: int | None) -> AsyncIterator[ServerSentEvent]:
    # Algo que enviar ya: quien espera a que el flujo esté abierto lo sabe.
    yield ServerSentEvent(event="open", data="")
    async for number, line in logbook.follow(after):
        yield ServerSentEvent(line.model_dump_json(), id=str(number))


@app.get("/api/windows")
async def windows_now() -> Windows:
    return snapshot([])


@app.post("/api/windows/knocks")
async def knock(doorkeepers: DoorkeepersDep, times: Annotated[int, Query(ge=1, le=50)] = 1) -> Windows:
    return snapshot(doorkeepers.knock(times))


@app.post("/api/windows/edge")
async def knock_around_the_edge(doorkeepers: DoorkeepersDep, measuring: MeasuringDep) -> Windows:
    async with measuring:
        return snapshot(await doorkeepers.around_the_edge())


@app.post("/api/memory")
async def try_memory(measuring: MeasuringDep) -> BothMemories:
    async with measuring:
        return BothMemories(naive=await asyncio.to_thread(naive_memory), right=await asyncio.to_thread(right_memory))


@app.post("/api/jump")
async def try_jump() -> BothJumps:
    return BothJumps(back=jump(back=True), forward=jump(back=False))


@app.post("/api/processes")
async def try_processes(server: Annotated[Valkey, Depends(get_server)], measuring: MeasuringDep) -> Shared:
    async with measuring:
        return await four_processes(server.url, f"{secrets.token_hex(4)}-{next(visits)}")
