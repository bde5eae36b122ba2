"""Mini-app de la lección 6: un pedido viaja por dos procesos, PostgreSQL, Redis y el correo, en dos órdenes distintos.

uvicorn app:app        y abre la dirección que imprime; los servidores y los dos procesos los pone ella
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Generic, TypeVar

import experiments
from experiments import Crowd, Deaths, Delay, Rereads
from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field
from stage import Stage, open_stage
from trip import Trip, travel

from taller.services import ServiceError

HERE = Path(__file__).parent
MAIL_SECONDS = 0.3


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with open_stage() as app.state.stage:
        yield


app = FastAPI(title="El viaje de un pedido", lifespan=lifespan)
app.mount("/common", StaticFiles(directory=HERE.parent / "common"), name="common")
app.mount("/page", StaticFiles(directory=HERE / "page"), name="page")


async def get_stage(request: Request) -> AsyncIterator[Stage]:
    """El escenario, para uno solo: dos experimentos a la vez se estropearían las medidas (y los procesos)."""
    stage: Stage = request.app.state.stage
    async with stage.busy:
        yield stage


StageDep = Annotated[Stage, Depends(get_stage)]
Result = TypeVar("Result")


class Both(BaseModel, Generic[Result]):
    naive: Result
    right: Result


class MailDelay(BaseModel):
    """Lo que tarda el servidor de correo en aceptar cada mensaje."""

    seconds: Annotated[float, Field(ge=0, le=2)] = MAIL_SECONDS


@app.exception_handler(ServiceError)
async def cannot(request: Request, problem: ServiceError) -> JSONResponse:
    return JSONResponse({"detail": str(problem)}, 503)


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(HERE / "index.html")


@app.post("/api/trips")
async def trips(mail: MailDelay, stage: StageDep) -> Both[Trip]:
    """Un cambio con cada orden, medido paso a paso."""
    stage.mailbox.delay(mail.seconds)
    return Both(naive=await travel(stage, "naive"), right=await travel(stage, "right"))


@app.post("/api/rereads")
async def rereads(stage: StageDep, count: Annotated[int, Query(ge=1, le=100)] = 30) -> Both[Rereads]:
    stage.mailbox.delay(0)
    naive = await experiments.rereads(stage, "naive", count)
    return Both(naive=naive, right=await experiments.rereads(stage, "right", count))


@app.post("/api/deaths")
async def deaths(stage: StageDep) -> Both[Deaths]:
    """`naive` es el orden correcto, pero sin bandeja de salida; `right`, con ella."""
    stage.mailbox.delay(0)
    naive = await experiments.deaths(stage, "right")
    return Both(naive=naive, right=await experiments.deaths(stage, "outbox"))


@app.post("/api/crowd")
async def crowd(stage: StageDep) -> Both[Crowd]:
    stage.mailbox.delay(0)
    naive = await experiments.crowd(stage, "local")
    return Both(naive=naive, right=await experiments.crowd(stage, "right"))


@app.post("/api/delays")
async def delays(
    stage: StageDep, mail: Annotated[list[Annotated[float, Field(ge=0, le=2)]], Query(max_length=6)]
) -> list[Delay]:
    """Lo que tarda en enterarse quien mira, con cada lentitud del correo (en segundos)."""
    return await experiments.delays(stage, mail)
