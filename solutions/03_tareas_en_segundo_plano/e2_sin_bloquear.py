"""3.2 Sin bloquear

Un bucle de eventos hace una cosa cada vez: si una función no lo suelta, nadie más es atendido. Aquí hay tres
trabajos, ya escritos, y cada uno pide que lo ejecutes de una manera:

    kind      función     qué hace
    "async"   wait        espera con await, como quien espera a otro servidor
    "sync"    block       espera sin await: una biblioteca de las de antes
    "cpu"     compute     calcula sin parar: cuenta los primos menores que `size`

**`POST /jobs`** recibe `{"kind": "async", "size": 0.2}` y contesta 202 con el trabajo, sin esperarlo. `size` es un
número positivo: segundos para `async` y `sync`; hasta dónde contar, para `cpu`. Otro `kind` u otro `size`: 422.

    {"id": "…", "kind": "async", "status": "queued", "result": null}

**`GET /jobs/{id}`** contesta lo mismo con su estado de ahora: `queued`, `running` o `done`, y entonces `result` es lo
que haya devuelto la función. Un id desconocido: 404.

**`GET /ping`** contesta `{"pid": 1234}`, el número de este proceso, **enseguida**, haya el trabajo que haya.

- A la vez se ejecutan como mucho `MAX_JOBS` trabajos, sean del tipo que sean; los demás esperan en `queued`.
- Como mucho esperan `MAX_WAITING`. Al que llega cuando no caben más se le contesta 503, sin apuntarlo: una cola sin
  fondo no es paciencia, es memoria.
- El cálculo se hace en otro proceso: el `pid` de su resultado no es el de `/ping`.

Variables de entorno: `MAX_JOBS` (2) y `MAX_WAITING` (100).

Ejemplo:

    POST /jobs {"kind": "cpu", "size": 1000}   202 {"id": "7c…", "kind": "cpu", "status": "queued", "result": null}
    GET /jobs/7c…                              200 {…, "status": "done", "result": {"primes": 168, "pid": 4321}}
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from multiprocessing import get_context
from typing import Annotated, Any, Literal
from uuid import uuid4

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

MAX_JOBS = int(os.environ.get("MAX_JOBS", "2"))
MAX_WAITING = int(os.environ.get("MAX_WAITING", "100"))


async def wait(seconds: float) -> dict[str, float]:
    """Como esperar la respuesta de otro servidor."""
    await asyncio.sleep(seconds)
    return {"seconds": seconds}


def block(seconds: float) -> dict[str, float]:
    """Como una biblioteca que no sabe de asyncio."""
    time.sleep(seconds)
    return {"seconds": seconds}


def compute(limit: float) -> dict[str, int]:
    """Cuenta los primos menores que `limit`, sin prisa."""
    primes = sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(2, int(limit)))
    return {"primes": primes, "pid": os.getpid()}


class Order(BaseModel):
    """Lo que pide el cliente."""

    kind: Literal["async", "sync", "cpu"]
    size: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Job(BaseModel):
    """Un trabajo y cómo va."""

    id: str
    kind: str
    status: Literal["queued", "running", "done"] = "queued"
    result: dict[str, Any] | None = None


jobs: dict[str, Job] = {}
waiting: asyncio.Queue[tuple[Job, float]] = asyncio.Queue(MAX_WAITING)
# «spawn»: un hijo hecho con fork se quedaría con el puerto en el que escucha la app, aunque ella muera.
processes = ProcessPoolExecutor(MAX_JOBS, mp_context=get_context("spawn"))


async def perform(kind: str, size: float) -> dict[str, Any]:
    """El resultado del trabajo, sin bloquear el bucle mientras se hace."""
    # region TODO 1: Ejecuta wait, block o compute donde corresponde: en el bucle, en un hilo (asyncio.to_thread) o
    #   en otro proceso (loop.run_in_executor con processes).
    #: return {}
    match kind:
        case "async":
            return await wait(size)
        case "sync":
            return await asyncio.to_thread(block, size)
        case _:
            return await asyncio.get_running_loop().run_in_executor(processes, compute, size)
    # endregion


async def work() -> None:
    """Un obrero: hace un trabajo detrás de otro, para siempre."""
    # region TODO 2: Toma un trabajo de waiting, apunta que está en marcha, hazlo, guarda el resultado y repite.
    #: await asyncio.sleep(0)
    while True:
        job, size = await waiting.get()
        job.status = "running"
        job.result = await perform(job.kind, size)
        job.status = "done"
    # endregion


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    # region TODO 3: Ten MAX_JOBS obreros en marcha mientras viva la app. Guarda sus tareas: si nadie las guarda,
    #   pueden desaparecer. Al terminar, cancélalas.
    #: yield
    workers = [asyncio.create_task(work()) for _ in range(MAX_JOBS)]
    yield
    for worker in workers:
        worker.cancel()
    processes.shutdown(wait=False, cancel_futures=True)
    # endregion


app = FastAPI(title="Sin bloquear", lifespan=lifespan)


@app.get("/ping")
async def ping() -> dict[str, int]:
    return {"pid": os.getpid()}


@app.post("/jobs", status_code=202)
async def submit(order: Order) -> Job:
    job = Job(id=uuid4().hex, kind=order.kind)
    # region TODO 4: Apúntalo en jobs y ponlo en la cola sin esperar; si no cabe, contesta 503.
    #: job.id = ""
    try:
        waiting.put_nowait((job, order.size))
    except asyncio.QueueFull:
        raise HTTPException(503, "No caben más trabajos; prueba más tarde") from None
    jobs[job.id] = job
    # endregion
    return job


@app.get("/jobs/{job_id}")
async def status(job_id: str) -> Job:
    if job_id not in jobs:
        raise HTTPException(404, "No hay ningún trabajo con ese id")
    return jobs[job_id]
