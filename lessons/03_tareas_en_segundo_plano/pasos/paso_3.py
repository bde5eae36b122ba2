"""Paso 3: errores que se ven. Una tarea de fondo que falla, falla a solas: que quede escrito.

Di: «Ya ha salido el 202: no hay a quién contestar con un 500. `run` es el único sitio por el que pasan todas: les pone
un plazo y, si fallan, deja la traza con el id. Sin él, en Starlette, la excepción de una tarea se lleva por delante a
las que venían detrás en la misma respuesta.»
Enseña: lanza `fail` y lee la salida del servidor: la traza, y el id por el que preguntará alguien. Fíjate en el texto
del error: lleva una contraseña.
Minutos: 6
Arranca: uvicorn paso_3:app --reload
"""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Literal
from uuid import uuid4

from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

# region ajustes
DEADLINE_SECONDS = 30.0

logger = logging.getLogger("uvicorn.error")
processes = ProcessPoolExecutor(1, mp_context=get_context("spawn"))  # con fork, el hijo retendría el puerto
# endregion


# region trabajos
def block(seconds: float) -> None:
    """Espera sin soltar el hilo, como una biblioteca que no sabe de asyncio."""
    time.sleep(seconds)


def compute(seconds: float) -> None:
    """Ocupa un procesador durante esos segundos."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


async def wait(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def freeze(seconds: float) -> None:
    block(seconds)


async def wait_in_thread(seconds: float) -> None:
    await asyncio.to_thread(block, seconds)


async def hog(seconds: float) -> None:
    compute(seconds)


async def compute_in_process(seconds: float) -> None:
    await asyncio.get_running_loop().run_in_executor(processes, compute, seconds)


async def fail(seconds: float) -> None:
    await asyncio.sleep(seconds)
    raise RuntimeError("no hay respuesta de postgresql://taller:secreto@10.0.0.7")


# endregion

# region clases
Kind = Literal["wait", "freeze", "thread", "hog", "process", "fail"]

WORK: dict[Kind, Callable[[float], Awaitable[None]]] = {
    "wait": wait,
    "freeze": freeze,
    "thread": wait_in_thread,
    "hog": hog,
    "process": compute_in_process,
    "fail": fail,
}


class Order(BaseModel):
    """Lo que pide el cliente."""

    kind: Kind
    seconds: Annotated[float, Field(gt=0, le=60)] = 1.0


class Task(Order):
    """Una tarea, cómo va y qué proceso se ocupa de ella."""

    id: str
    status: Literal["queued", "running", "done", "failed"] = "queued"
    error: str | None = None
    pid: int | None = None


# endregion


# region correr
async def run(task: Task) -> None:
    """Hace la tarea y deja dicho cómo ha ido, acabe como acabe."""
    task.status, task.pid = "running", os.getpid()
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            work = WORK[task.kind]
            await work(task.seconds)
        task.status = "done"
    except Exception as error:
        logger.exception("La tarea %s ha fallado", task.id)
        task.status, task.error = "failed", type(error).__name__


# endregion


# region app
@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    processes.shutdown(wait=False, cancel_futures=True)


app = FastAPI(title="Tareas en segundo plano", lifespan=lifespan)


@app.get("/ping")
async def ping() -> dict[str, bool]:
    return {"pong": True}


@app.post("/tasks", status_code=202)
async def submit(order: Order, background: BackgroundTasks) -> Task:
    task = Task(id=uuid4().hex[:8], **order.model_dump())
    background.add_task(run, task)
    return task


# endregion


# region página
@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page.html"))


# endregion
