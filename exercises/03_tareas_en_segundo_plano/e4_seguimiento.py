"""3.4 Seguimiento

«Se está haciendo» no basta: quien encargó una tarea larga quiere saber por dónde va, cómo acabó y, si nadie se ocupa
ya de ella, que se lo digan. El estado vive en Redis, donde lo ven todos los procesos.

**`POST /tasks`** recibe `{"numbers": [1, 2, 4]}` y contesta 202 con la tarea; la función `harmonic_mean`, ya escrita,
la hace después. Un número puede ser 0, y entonces la tarea falla.

**`GET /tasks/{id}`**, en este proceso o en otro con el mismo Redis, contesta cómo va; un id desconocido, 404:

    {"id": "…", "status": "…", "progress": 66, "result": null, "error": null}

    status      significa
    queued      apuntada, sin empezar
    running     en marcha; progress, de 0 a 100, dice por dónde va
    done        hecha: progress es 100 y result, lo que devolvió harmonic_mean
    failed      ha fallado: error es el nombre de la excepción («ZeroDivisionError»), y nada más; el texto de una
                excepción puede llevar contraseñas. La traza queda en la salida de la app, con el id.
    lost        el proceso que la hacía ha muerto, y nadie la hará

En Redis, cada tarea está en la clave `task:{id}`: un texto JSON, el mismo objeto que contesta GET (menos `lost`, que
se deduce al leer). La leen otros programas, así que tiene que ser JSON de verdad.

- La tarea está en Redis como `queued` **antes** de contestar 202: quien pregunte enseguida tiene que encontrarla.
- Mientras un proceso se ocupa de una tarea, también si aún está en cola, mantiene una prórroga: una clave
  `task:{id}:lease` que caduca a los `LEASE_SECONDS` y que él renueva bastante antes. Si una tarea no ha acabado y no
  tiene prórroga, está `lost`.
- Nada queda en Redis para siempre: las tareas caducan a los `RESULT_SECONDS` de su último cambio.
- **`GET /ping`** contesta `{"pong": true}` enseguida aunque Redis no conteste.

Variables de entorno: `REDIS_URL` (`redis://127.0.0.1:6379`), `STEP_SECONDS` (0.1: lo que tarda cada número),
`LEASE_SECONDS` (10) y `RESULT_SECONDS` (3600).

Ejemplo:

    POST /tasks {"numbers": [1, 2, 4]}   202 {"id": "5d…", "status": "queued", "progress": 0, …}
    GET /tasks/5d…                       200 {"id": "5d…", "status": "running", "progress": 33, …}
    GET /tasks/5d…                       200 {…, "progress": 100, "result": {"count": 3, "mean": 1.714286}, …}
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal
from uuid import uuid4

from fastapi import BackgroundTasks, FastAPI, HTTPException
from pydantic import BaseModel, Field
from redis.asyncio import Redis

REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
STEP_SECONDS = float(os.environ.get("STEP_SECONDS", "0.1"))
LEASE_SECONDS = float(os.environ.get("LEASE_SECONDS", "10"))
RESULT_SECONDS = int(os.environ.get("RESULT_SECONDS", "3600"))

Report = Callable[[int], Awaitable[None]]

logger = logging.getLogger("uvicorn.error")
redis = Redis.from_url(REDIS_URL)


async def harmonic_mean(numbers: list[float], report: Report) -> dict[str, Any]:
    """La media armónica, despacio; a cada paso llama a `report` con el tanto por ciento que lleva."""
    total = 0.0
    for done, number in enumerate(numbers, start=1):
        await asyncio.sleep(STEP_SECONDS)
        total += 1 / number
        await report(100 * done // len(numbers))
    return {"count": len(numbers), "mean": round(len(numbers) / total, 6)}


class Order(BaseModel):
    """Lo que pide el cliente."""

    numbers: Annotated[list[Annotated[float, Field(ge=0, allow_inf_nan=False)]], Field(min_length=1)]


class Task(BaseModel):
    """Una tarea y cómo va."""

    id: str
    status: Literal["queued", "running", "done", "failed", "lost"] = "queued"
    progress: int = 0
    result: dict[str, Any] | None = None
    error: str | None = None


async def save(task: Task) -> None:
    """Guarda el estado de la tarea para todos los procesos."""
    # TODO 1: Escríbela en task:{id}, como JSON y con caducidad. Pydantic ya sabe: task.model_dump_json().
    logger.info("Habría que guardar %s", task.id)


async def load(task_id: str) -> Task | None:
    """La tarea como está ahora; None si no existe."""
    # TODO 2: Lee a la vez (mget) la tarea y su prórroga. Si no ha acabado y no la tiene, está «lost».
    return None


async def extend_lease(task_id: str) -> None:
    """«Sigo con ella»: vale LEASE_SECONDS."""
    await redis.set(f"task:{task_id}:lease", "1", px=int(LEASE_SECONDS * 1000))


@asynccontextmanager
async def leased(task_id: str) -> AsyncIterator[None]:
    """Mantiene la prórroga de la tarea mientras dure el bloque `async with`."""

    # TODO 3: Renuévala cada LEASE_SECONDS / 3 en una tarea aparte, que acaba (cancel) al salir del bloque.
    yield


async def run(task: Task, numbers: list[float]) -> None:
    """Hace la tarea y va guardando cómo va."""

    async def report(progress: int) -> None:
        task.progress = progress
        await save(task)

    # TODO 4: Con la prórroga puesta, pasa a «running», llama a harmonic_mean(numbers, report) y guarda el
    #   resultado; o, si lanza algo, el fallo y una traza con el id.
    task.result = await harmonic_mean(numbers, report)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await redis.aclose()


app = FastAPI(title="Seguimiento", lifespan=lifespan)


@app.get("/ping")
async def ping() -> dict[str, bool]:
    return {"pong": True}


@app.post("/tasks", status_code=202)
async def submit(order: Order, background: BackgroundTasks) -> Task:
    task = Task(id=uuid4().hex)
    # TODO 5: Antes de contestar, que esté en Redis con su prórroga; después, que se haga.
    background.add_task(run, task, order.numbers)
    return task


@app.get("/tasks/{task_id}")
async def status(task_id: str) -> Task:
    task = await load(task_id)
    if task is None:
        raise HTTPException(404, "No hay ninguna tarea con ese id")
    return task
