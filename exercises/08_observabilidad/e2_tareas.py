"""8.2 Tareas que se pueden medir

Una cola de trabajos y unos obreros que los hacen, ya escritos. Faltan las métricas que dicen si dan abasto:
cuántos esperan, cuántos acaban bien o mal, cuánto esperan, cuánto duran y cuánta CPU gastan.

**`POST /jobs`** con `{"kind": "thumbnail", "cpu": 0.05, "wait": 0.1, "fail": false}` lo pone en la cola y
contesta 202 `{"id": "…"}`. `kind` es `thumbnail` o `report`; el trabajo ocupa la CPU `cpu` segundos, espera
otros `wait` y, con `fail`, acaba en una excepción. Lo hacen `WORKERS` obreros, cada uno los suyos de uno en
uno.

**`GET /metrics`** ya está escrito. Lo que tiene que decir:

- `background_tasks_queued` (gauge): trabajos aceptados que ningún obrero ha empezado.
- `background_tasks_running` (gauge): trabajos empezados y sin acabar.
- `background_tasks_total{kind,status}` (counter): trabajos acabados; `status` es `completed` o `failed`.
- `background_task_wait_seconds{kind}` (histogram): cuánto esperó cada uno en la cola. Se anota cuando empieza.
- `background_task_duration_seconds{kind}` (histogram): cuánto tardó en hacerse, acabara bien o mal. Sin la
  cola.
- `background_task_cpu_seconds_total{kind}` (counter): segundos de CPU gastados en hacerlos. Lo que un trabajo
  espera no gasta CPU, y la que gasta otro a la vez no es suya.

Cada serie existe desde el principio con 0, para los dos `kind` y los dos `status`. Un trabajo que falla no
detiene a su obrero. Nada que distinga un trabajo de otro (su id, su error) va en una etiqueta.

Variable de entorno: `WORKERS` (2).

Ejemplo:

    POST /jobs {"kind": "report", "wait": 0.3}     202 {"id": "5f0c…"}
    GET /metrics, medio segundo después
    background_tasks_total{kind="report",status="completed"} 1.0
    background_task_duration_seconds_sum{kind="report"} 0.301
"""

import asyncio
import logging
import os
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Literal, get_args

from fastapi import Depends, FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest
from pydantic import BaseModel, Field

WORKERS = int(os.environ.get("WORKERS", "2"))

Kind = Literal["thumbnail", "report"]
KINDS: tuple[Kind, ...] = get_args(Kind)
STATUSES = ("completed", "failed")

logger = logging.getLogger("uvicorn.error")

# TODO 1: Las seis métricas, con su ayuda, y todas sus series a cero desde el principio.



class NewJob(BaseModel):
    kind: Kind
    cpu: Annotated[float, Field(ge=0, le=5)] = 0.0
    wait: Annotated[float, Field(ge=0, le=60)] = 0.0
    fail: bool = False


class Accepted(BaseModel):
    id: str


@dataclass
class Job:
    order: NewJob
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    accepted_at: float = field(default_factory=time.perf_counter)


Jobs = asyncio.Queue[Job]


def work(order: NewJob) -> None:
    """El trabajo de verdad. Ocupa un hilo: la CPU que gasta la gasta ese hilo."""
    busy_until = time.thread_time() + order.cpu
    while time.thread_time() < busy_until:
        pass
    time.sleep(order.wait)
    if order.fail:
        raise RuntimeError("el trabajo pedía un fallo")


def measured_work(order: NewJob) -> None:
    """Hace el trabajo y anota la CPU que ha gastado, acabe como acabe."""
    # TODO 4: time.thread_time() es la CPU de este hilo, y de ningún otro.
    work(order)


async def run(job: Job) -> None:
    """Un trabajo, de principio a fin. Si falla, lo deja escrito y vuelve."""
    kind = job.order.kind
    # TODO 3: Al empezar: uno menos en la cola, uno más en marcha, y lo que ha esperado. Al acabar, bien o mal:
    #   lo que ha durado, cómo ha acabado y uno menos en marcha.
    del kind
    try:
        await asyncio.to_thread(measured_work, job.order)
    except Exception:
        logger.exception("el trabajo %s ha fallado", job.id)


async def worker(jobs: Jobs) -> None:
    while True:
        await run(await jobs.get())


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.jobs = jobs = Jobs()
    workers = [asyncio.create_task(worker(jobs)) for _ in range(WORKERS)]
    yield
    for task in workers:
        task.cancel()
    await asyncio.gather(*workers, return_exceptions=True)


app = FastAPI(title="Tareas que se pueden medir", lifespan=lifespan)


def get_jobs(request: Request) -> Jobs:
    jobs: Jobs = request.app.state.jobs
    return jobs


@app.post("/jobs", status_code=202)
async def accept(order: NewJob, jobs: Annotated[Jobs, Depends(get_jobs)]) -> Accepted:
    job = Job(order)
    # TODO 2: Un trabajo más en la cola.

    jobs.put_nowait(job)
    return Accepted(id=job.id)


@app.get("/metrics")
async def metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
