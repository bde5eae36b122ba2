"""Mini-app de la lección 10: Plaza en marcha, unos robots que hablan en ella y los mandos para romperla.

uvicorn app:app        y abre la dirección que imprime; los servidores y los procesos de Plaza los pone ella
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Literal

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from processes import Web
from sse_starlette import EventSourceResponse, ServerSentEvent
from stage import LOOK_SECONDS, Stage, StageState, open_stage

from taller.errors import TallerError

HERE = Path(__file__).parent
CLOSE_SECONDS = 8.0

logger = logging.getLogger("uvicorn.error")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """La página se abre ya; Plaza, con sus servidores y sus cuentas, tarda unos segundos más."""
    app.state.stage = asyncio.get_running_loop().create_future()
    keeper = asyncio.create_task(keep_open(app.state.stage))
    yield
    keeper.cancel()
    await asyncio.wait({keeper}, timeout=CLOSE_SECONDS)


async def keep_open(stage: "asyncio.Future[Stage]") -> None:
    """El escenario, hasta que se cancele. Si no se puede montar, lo sabrá quien lo pida."""
    try:
        async with open_stage() as opened:
            stage.set_result(opened)
            await asyncio.Event().wait()
    except Exception as problem:
        logger.exception("el escenario no se puede montar")
        if not stage.done():
            stage.set_exception(problem)


app = FastAPI(title="Plaza, y cómo romperla", lifespan=lifespan)
app.mount("/common", StaticFiles(directory=HERE.parent / "common"), name="common")
app.mount("/page", StaticFiles(directory=HERE / "page"), name="page")


async def get_stage(request: Request) -> Stage:
    """El escenario; espera a que esté montado."""
    stage: Stage = await asyncio.shield(request.app.state.stage)
    return stage


StageDep = Annotated[Stage, Depends(get_stage)]


def get_web(name: str, stage: StageDep) -> Web:
    if name not in stage.webs:
        raise HTTPException(404, f"Los procesos son {' y '.join(stage.webs)}.")
    return stage.webs[name]


WebDep = Annotated[Web, Depends(get_web)]


@app.exception_handler(TallerError)
async def cannot(request: Request, problem: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(problem)}, 503)


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(HERE / "index.html")


@app.post("/api/webs/{name}/kill", status_code=204)
async def kill(web: WebDep, stage: StageDep) -> None:
    await stage.kill(web)


@app.post("/api/webs/{name}/deploy", status_code=204)
async def deploy(web: WebDep, stage: StageDep) -> None:
    await stage.deploy(web)


@app.post("/api/webs/{name}/start", status_code=204)
async def start(web: WebDep, stage: StageDep) -> None:
    await stage.start(web)


@app.post("/api/redis/pause", status_code=204)
async def pause_redis(stage: StageDep) -> None:
    await stage.pause_redis()


@app.post("/api/redis/resume", status_code=204)
async def resume_redis(stage: StageDep) -> None:
    await stage.resume_redis()


@app.post("/api/redis/restart", status_code=204)
async def restart_redis(stage: StageDep) -> None:
    await stage.restart_redis()


@app.post("/api/postgres/restart", status_code=204)
async def restart_postgres(stage: StageDep) -> None:
    await stage.restart_postgres()


@app.put("/api/reader/{state}", status_code=204)
async def set_reader(state: Literal["stalled", "reading"], stage: StageDep) -> None:
    if state == "stalled":
        stage.stall()
    else:
        stage.wake()


@app.put("/api/talk/{state}", status_code=204)
async def set_talk(state: Literal["on", "off"], stage: StageDep) -> None:
    if state == "on":
        stage.town.talking.set()
    else:
        stage.town.talking.clear()


@app.put("/api/repeat/{manner}", status_code=204)
async def set_repeat(manner: Literal["same", "new"], stage: StageDep) -> None:
    """Con qué `client_id` se repite lo que no tiene recibo."""
    stage.town.same_id = manner == "same"


@app.post("/api/ledger/reset", status_code=204)
async def reset(stage: StageDep) -> None:
    stage.town.ledger.forget()


@app.get("/api/state")
async def state(stage: StageDep) -> StageState:
    return stage.latest


@app.get("/api/events")
async def events(stage: StageDep) -> EventSourceResponse:
    # sse-starlette y no `fastapi.sse`: cierra el flujo al apagar el servidor, y Ctrl+C no se queda esperando.
    return EventSourceResponse(changes(stage))


async def changes(stage: Stage) -> AsyncIterator[ServerSentEvent]:
    seen: StageState | None = None
    while True:
        if stage.latest is not seen:
            seen = stage.latest
            yield ServerSentEvent(seen.model_dump_json())
        await asyncio.sleep(LOOK_SECONDS / 2)
