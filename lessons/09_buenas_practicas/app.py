"""Mini-app de la lección 9: una pestaña congelada, un aviso que no llega y un servidor que se apaga.

uvicorn app:app        y abre la dirección que imprime (levanta sus propios servidores, su Redis y su buzón)
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import delivery
from delivery import Desk
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from mail import Mail
from pydantic import Field
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from sse_starlette import EventSourceResponse, ServerSentEvent
from stage import NAMES, Farewell, Kind, SideState, Stage

from taller.runner import start_runner
from taller.services import ServiceError, smtp, valkey

HERE = Path(__file__).parent
LOOK_SECONDS = 0.15
GRACE_SECONDS = 1.0


# region lifespan
@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Lo que se abre por orden se cierra al revés: eso hacen los `async with` anidados."""
    runner = start_runner()
    try:
        await asyncio.to_thread(runner.backend.wait_warm)
        # Sin socket_timeout: con él, en Python 3.11, redis-py se queda a veces con las cancelaciones.
        options = {"retry": Retry(NoBackoff(), 0), "socket_timeout": None}
        async with valkey() as server, smtp() as mailbox, server.client(**options) as redis:
            mail = Mail(redis, mailbox.url)
            app.state.stage, app.state.desk = Stage(runner), Desk(mail, mailbox, server)
            postman = asyncio.create_task(mail.run())
            try:
                await app.state.stage.restart()
                yield
            finally:
                postman.cancel()
                await asyncio.wait({postman}, timeout=GRACE_SECONDS)
                await app.state.stage.close()
    finally:
        runner.close()


# endregion

app = FastAPI(title="Una pestaña congelada, un aviso y un apagado", lifespan=lifespan)
app.include_router(delivery.router)
app.mount("/common", StaticFiles(directory=HERE.parent / "common"), name="common")
app.mount("/page", StaticFiles(directory=HERE / "page"), name="page")


def get_stage(request: Request) -> Stage:
    stage: Stage = request.app.state.stage
    return stage


StageDep = Annotated[Stage, Depends(get_stage)]


@app.exception_handler(ServiceError)
async def service_is_foreign(request: Request, problem: Exception) -> JSONResponse:
    return JSONResponse({"detail": f"Con este Redis no se puede: {problem}"}, 503)


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(HERE / "index.html")


def require_alive(stage: Stage) -> None:
    if not all(side.alive for side in stage.both):
        raise HTTPException(409, "Los servidores están apagados: pulsa «Levantar».")


def require_tab(name: str) -> None:
    if name not in NAMES:
        raise HTTPException(404, f"Las pestañas son {', '.join(NAMES)}.")


@app.post("/api/burst")
async def burst(stage: StageDep, count: Annotated[int, Field(ge=1, le=200)] = 60) -> dict[str, int]:
    """La misma ráfaga a los dos servidores, a la vez."""
    require_alive(stage)
    async with stage.changing:
        await asyncio.gather(*(side.burst(count) for side in stage.both))
    return {"sent": count}


@app.post("/api/tabs/{name}/freeze", status_code=204)
async def freeze(name: str, stage: StageDep) -> None:
    require_tab(name)
    for side in stage.both:
        side.tab(name).freeze()


@app.post("/api/tabs/{name}/wake", status_code=204)
async def wake(name: str, stage: StageDep) -> None:
    require_tab(name)
    for side in stage.both:
        side.tab(name).wake()


@app.post("/api/tabs/{name}/come-back", status_code=204)
async def come_back(name: str, stage: StageDep) -> None:
    """Vuelve por otra antena, con el mismo nombre; la conexión vieja se cierra después."""
    require_tab(name)
    require_alive(stage)
    async with stage.changing:
        await asyncio.gather(*(side.come_back(name) for side in stage.both))


@app.post("/api/terminate")
async def terminate(stage: StageDep) -> dict[Kind, Farewell]:
    require_alive(stage)
    async with stage.changing:
        farewells = await asyncio.gather(*(side.terminate() for side in stage.both))
    return dict(zip(stage.sides, farewells, strict=True))


@app.post("/api/restart", status_code=204)
async def restart(stage: StageDep) -> None:
    async with stage.changing:
        await stage.restart()


@app.get("/api/state")
async def state(stage: StageDep) -> dict[Kind, SideState]:
    return {kind: await side.state() for kind, side in stage.sides.items()}


@app.get("/api/events")
async def events(stage: StageDep) -> EventSourceResponse:
    # sse-starlette y no `fastapi.sse`: cierra el flujo al apagar el servidor, y Ctrl+C no se queda esperando.
    return EventSourceResponse(changes(stage))


async def changes(stage: Stage) -> AsyncIterator[ServerSentEvent]:
    """Cómo están los dos lados, cada vez que cambian."""
    before = ""
    while True:
        parts = [f'"{kind}": {(await side.state()).model_dump_json()}' for kind, side in stage.sides.items()]
        if (now := f"{{{', '.join(parts)}}}") != before:
            before = now
            yield ServerSentEvent(now)
        await asyncio.sleep(LOOK_SECONDS)
