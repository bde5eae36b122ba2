"""Paso 5: una cola. Lo aceptado se escribe antes de contestar, y lo hace otro proceso.

Di: «`kiq` no llama a la función: la apunta en un Stream de Redis. El obrero es otro programa, que la recibe, la hace y
*después* la confirma. Si muere a mitad, nadie la confirma, y a los tres segundos se la lleva otro. Por eso puede
hacerse dos veces, y por eso hacerla dos veces no debe cambiar nada. El `listen` es mío porque el de la biblioteca solo
recoge lo abandonado cuando llega algo nuevo.»
Enseña: lanza 20 en la cola, mata al obrero con `kill -9`, levántalo: se hacen las 20. Con `wait`, mata la API.
Minutos: 8
Arranca: python3 curso.py servicios   ·   uvicorn paso_5:app --reload   ·   taskiq worker paso_5:broker --workers 1
"""

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import uuid4

from fastapi import BackgroundTasks, FastAPI, HTTPException
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field
from redis.asyncio import Redis
from taskiq import AckableMessage
from taskiq_redis import RedisStreamBroker

# region ajustes
REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
DEADLINE_SECONDS = 30.0
RESULT_SECONDS = 3600
IDLE_MS = 3000

logger = logging.getLogger("uvicorn.error")
# Sin socket_timeout: el obrero espera callado a que llegue algo, y al apagarlo tiene que enterarse (Python 3.11).
redis = Redis.from_url(REDIS_URL, socket_timeout=None)
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
Kind = Literal["wait", "freeze", "thread", "hog", "process", "fail", "queue"]

WORK: dict[Kind, Callable[[float], Awaitable[None]]] = {
    "wait": wait,
    "freeze": freeze,
    "thread": wait_in_thread,
    "hog": hog,
    "process": compute_in_process,
    "fail": fail,
    "queue": wait,
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


# region cola
class Queue(RedisStreamBroker):
    """RedisStreamBroker, pero recoge lo abandonado en cada vuelta y borra lo hecho."""

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        while True:
            for entry_id, fields in await self.abandoned() or await self.fresh():
                yield AckableMessage(data=fields[b"data"], ack=partial(self.finish, entry_id))

    # region recoger
    async def abandoned(self) -> Any:
        claimed: Any = await redis.xautoclaim(
            self.queue_name, self.consumer_group_name, self.consumer_name, min_idle_time=IDLE_MS, count=1
        )
        return claimed[1]

    async def fresh(self) -> Any:
        streams: Any = await redis.xreadgroup(
            self.consumer_group_name, self.consumer_name, {self.queue_name: ">"}, count=1, block=IDLE_MS // 2
        )
        return [entry for _, entries in streams for entry in entries]

    # endregion

    async def finish(self, entry_id: bytes) -> None:
        await redis.xack(self.queue_name, self.consumer_group_name, entry_id)
        await redis.xdel(self.queue_name, entry_id)


# region encolar
broker = Queue(REDIS_URL, queue_name="tasks", consumer_group_name="workers", consumer_id="0")


@broker.task
async def from_queue(task: Task) -> None:
    await run(task)


# endregion
# endregion


# region app
@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    await broker.startup()
    yield
    await broker.shutdown()
    await redis.aclose()
    processes.shutdown(wait=False, cancel_futures=True)


app = FastAPI(title="Tareas en segundo plano", lifespan=lifespan)


@app.get("/ping")
async def ping() -> dict[str, bool]:
    return {"pong": True}


# region rutas
@app.post("/tasks", status_code=202)
async def submit(order: Order, background: BackgroundTasks) -> Task:
    task = Task(id=uuid4().hex[:8], **order.model_dump())
    await note(task)
    if task.kind == "queue":
        await from_queue.kiq(task)
    else:
        background.add_task(run, task)
    return task


# endregion


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
