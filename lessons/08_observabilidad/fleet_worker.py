"""Un proceso de la flota: cuenta sus conexiones y contesta de tres maneras a quien pregunta por las de todos."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import psutil
from fastapi import FastAPI, Response, WebSocket, WebSocketDisconnect
from measured import counted
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

FOLDER = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
app = FastAPI()


@app.websocket("/ws")
async def hold(websocket: WebSocket) -> None:
    await websocket.accept()
    with suppress(WebSocketDisconnect), counted():
        await websocket.send_json({"pid": os.getpid()})
        while True:
            await websocket.receive_text()


@app.get("/metrics/mine")
async def mine() -> Response:
    """El registro de este proceso, que es lo que sale si nadie ha pensado en los demás."""
    return exposition(REGISTRY)


@app.get("/metrics/with-ghosts")
async def with_ghosts() -> Response:
    """Lo de todos los procesos que hayan escrito alguna vez en la carpeta."""
    return exposition(everybody())


# region todos
@app.get("/metrics")
async def metrics() -> Response:
    """Lo de todos los procesos vivos."""
    await asyncio.to_thread(forget_the_dead)
    return exposition(everybody())


def everybody() -> CollectorRegistry:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(FOLDER))
    return registry


def forget_the_dead() -> None:
    for path in FOLDER.glob("gauge_live*_*.db"):
        pid = int(path.stem.rpartition("_")[2])
        if not psutil.pid_exists(pid):
            mark_process_dead(pid, str(FOLDER))


# endregion


def exposition(registry: CollectorRegistry) -> Response:
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
