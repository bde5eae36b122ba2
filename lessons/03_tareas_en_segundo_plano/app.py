"""Mini-app de la lección 3: tareas de cada clase, el bucle que las atiende y lo que queda de ellas tras un kill -9.

uvicorn app:app        y abre la dirección que imprime (levanta su propia API, su obrero y su Redis)
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import httpx
from board import Board, watch_events
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from probe import probe
from pydantic import Field
from service import Order
from sse_starlette import EventSourceResponse, JSONServerSentEvent
from stage import Role, Stage

from taller.runner import start_runner
from taller.services import valkey

HERE = Path(__file__).parent


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """El orden importa: al salir se deshace al revés, y Redis se va cuando ya no lo usa nadie."""
    runner, board = start_runner(), Board()
    try:
        await asyncio.to_thread(runner.backend.wait_warm)
        async with valkey() as server, server.client() as redis:
            stage = Stage(runner, board, redis, server.url)
            app.state.board, app.state.stage = board, stage
            await asyncio.gather(stage.start("api"), stage.start("worker"))
            watchers = [asyncio.create_task(watch_events(redis, board)), asyncio.create_task(probe(stage, board))]
            yield
            for watcher in watchers:
                watcher.cancel()
            await asyncio.gather(*watchers, return_exceptions=True)
            await stage.close()
    finally:
        runner.close()


app = FastAPI(title="Qué queda tras un kill -9", lifespan=lifespan)
app.mount("/common", StaticFiles(directory=HERE.parent / "common"), name="common")
app.mount("/page", StaticFiles(directory=HERE / "page"), name="page")


def get_stage(request: Request) -> Stage:
    stage: Stage = request.app.state.stage
    return stage


def get_board(request: Request) -> Board:
    board: Board = request.app.state.board
    return board


StageDep = Annotated[Stage, Depends(get_stage)]
BoardDep = Annotated[Board, Depends(get_board)]


class Batch(Order):
    """Varias tareas iguales."""

    count: Annotated[int, Field(ge=1, le=200)] = 1


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(HERE / "index.html")


@app.post("/api/tasks")
async def launch(batch: Batch, stage: StageDep) -> dict[str, int]:
    """Pide las tareas a la API, todas a la vez, y dice cuántas ha aceptado."""
    client = stage.api
    if client is None:
        raise HTTPException(503, "La API está muerta: levántala primero.")
    order = Order(kind=batch.kind, seconds=batch.seconds).model_dump()
    answers = await asyncio.gather(
        *(client.post("/tasks", json=order) for _ in range(batch.count)), return_exceptions=True
    )
    return {"accepted": sum(isinstance(answer, httpx.Response) and answer.status_code == 202 for answer in answers)}


@app.post("/api/processes/{role}/kill", status_code=204)
async def kill(role: Role, stage: StageDep) -> None:
    await stage.kill(role)


@app.post("/api/processes/{role}/start", status_code=204)
async def start(role: Role, stage: StageDep) -> None:
    await stage.start(role)


@app.delete("/api/tasks", status_code=204)
async def clear(board: BoardDep) -> None:
    board.clear()


@app.get("/api/events")
async def events(stage: StageDep, board: BoardDep) -> EventSourceResponse:
    # sse-starlette y no `fastapi.sse`: cierra el flujo al apagar el servidor, y Ctrl+C no se queda esperando.
    return EventSourceResponse(happenings(stage, board))


async def happenings(stage: Stage, board: Board) -> AsyncIterator[JSONServerSentEvent]:
    yield JSONServerSentEvent(stage.status)
    async for event in board.follow():
        yield JSONServerSentEvent(event)
