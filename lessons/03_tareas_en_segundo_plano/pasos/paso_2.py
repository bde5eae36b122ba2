"""Paso 2: cinco maneras de trabajar, y qué le pasa al bucle con cada una.

Di: «Un bucle de eventos hace una cosa cada vez. `wait` lo suelta mientras espera. `freeze` es la misma espera sin
`await`, y lo detiene con todos dentro: `async def` no hace mágica a una función que bloquea. En un hilo, vuelve a
estar libre. `hog` calcula, y calcular no es esperar: para eso, otro proceso.»
Enseña: mira el número de `/ping` mientras lanzas una de cada. Luego lanza 20 de `freeze`.
Minutos: 8
Arranca: uvicorn paso_2:app --reload
"""

import asyncio
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


# endregion

# region clases
Kind = Literal["wait", "freeze", "thread", "hog", "process"]

WORK: dict[Kind, Callable[[float], Awaitable[None]]] = {
    "wait": wait,
    "freeze": freeze,
    "thread": wait_in_thread,
    "hog": hog,
    "process": compute_in_process,
}


class Order(BaseModel):
    """Lo que pide el cliente."""

    kind: Kind
    seconds: Annotated[float, Field(gt=0, le=60)] = 1.0


class Task(Order):
    """Una tarea aceptada."""

    id: str


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
    background.add_task(WORK[task.kind], task.seconds)
    return task


# endregion


# region página
@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page.html"))


# endregion
