"""Paso 4: seguimiento. Cómo va cada tarea, en un sitio que ven todos los procesos.

Di: «El estado va a Redis, como JSON y con caducidad, y está *antes* de que yo conteste 202: quien pregunte enseguida
lo encuentra. Uso `redis.asyncio`: con el cliente síncrono, un Redis lento detendría el bucle. Y del error guardo el
nombre, no el texto: mira lo que dice el de `fail`.»
Enseña: lanza una de 10 s y pregunta por ella. Ahora mata la API con `kill -9` y levántala: sigue `running`, y nadie la
hace. (Una prórroga lo arreglaría: ejercicio 3.4. Que además se haga, una cola: paso 5.)
Minutos: 5
Arranca: python3 curso.py servicios   ·   uvicorn paso_4:app --reload
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

from fastapi import BackgroundTasks, FastAPI, HTTPException
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field
from redis.asyncio import Redis

# region ajustes
REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
DEADLINE_SECONDS = 30.0
RESULT_SECONDS = 3600

logger = logging.getLogger("uvicorn.error")
redis = Redis.from_url(REDIS_URL)
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


# region seguimiento
async def note(task: Task) -> None:
    """Guarda cómo va la tarea y lo anuncia en el stream `events`, las dos cosas o ninguna."""
    text = task.model_dump_json()
    async with redis.pipeline(transaction=True) as both:
        both.set(f"task:{task.id}", text, ex=RESULT_SECONDS)
        both.xadd("events", {"task": text}, maxlen=10_000)
        await both.execute()


# endregion


# region correr
async def run(task: Task) -> None:
    """Hace la tarea y deja dicho cómo ha ido, acabe como acabe."""
    task.status, task.pid = "running", os.getpid()
    await note(task)
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            work = WORK[task.kind]
            await work(task.seconds)
        task.status = "done"
    except Exception as error:
        logger.exception("La tarea %s ha fallado", task.id)
        task.status, task.error = "failed", type(error).__name__
    await note(task)


# endregion


# region app
@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await redis.aclose()
    processes.shutdown(wait=False, cancel_futures=True)


app = FastAPI(title="Tareas en segundo plano", lifespan=lifespan)


@app.get("/ping")
async def ping() -> dict[str, bool]:
    return {"pong": True}


@app.post("/tasks", status_code=202)
async def submit(order: Order, background: BackgroundTasks) -> Task:
    task = Task(id=uuid4().hex[:8], **order.model_dump())
    await note(task)
    background.add_task(run, task)
    return task


@app.get("/tasks/{task_id}")
async def status(task_id: str) -> Task:
    stored = await redis.get(f"task:{task_id}")
    if stored is None:
        raise HTTPException(404, "No hay ninguna tarea con ese id")
    return Task.model_validate_json(stored)


# endregion


# region página
@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page.html"))


# endregion
