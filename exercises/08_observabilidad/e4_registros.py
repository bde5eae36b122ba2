"""8.4 Registros que se pueden seguir, y dos preguntas de salud

Un mensaje entra por un WebSocket, lo trabaja una tarea en segundo plano y el resultado sale por un flujo SSE:
tres sitios que no se ven entre sí. Si algo va mal, hay que poder seguirlo de punta a punta; y si Redis se cae,
quien vigila el proceso tiene que saber que **está vivo** y que **no puede trabajar**, que no es lo mismo.

**`/ws`** recibe `{"text": "hola", "request_id": "pedido-7f3a"}` y contesta enseguida
`{"type": "accepted", "request_id": "pedido-7f3a"}`. Si `request_id` falta o no son de 8 a 64 letras ASCII,
cifras o guiones, el servidor pone uno suyo, con esa forma y distinto cada vez. La tarea (ya escrita) apunta el
texto en Redis y avisa; **`GET /events`** es el flujo SSE de los resultados: un evento `done`, o `failed` si la
tarea no pudo, con `{"request_id": "pedido-7f3a"}`.

**Los registros.** Cada suceso es una línea de la salida estándar con un objeto JSON: `event` (cuál de los de
abajo), `level`, `timestamp` (ISO 8601, en UTC: `2026-11-05T10:31:07.123456Z`) y `request_id`, el de **ese**
mensaje.

| `event` | cuándo | `level` | y además |
|---|---|---|---|
| `message_received` | llega un mensaje | `info` | `length`, los caracteres de `text` |
| `task_started` | la tarea empieza con él | `info` | |
| `task_finished` | acaba bien | `info` | `seconds`, cuánto tardó (número) |
| `task_failed` | acaba mal | `error` | `exception`, con el nombre de la clase de la excepción |
| `event_sent` | su resultado sale por un flujo | `info` | uno por flujo |

El texto de los mensajes no sale en los registros, tampoco cuando algo falla: puede ser privado. Lo que escribe
uvicorn por su cuenta no cuenta.

**`GET /health/live`**: ¿hay que reiniciar este proceso? Contesta 200 mientras atienda, esté Redis como esté.
**`GET /health/ready`**: ¿se le puede mandar trabajo? Contesta 200 si Redis contesta a un PING en
`READY_SECONDS`, y si no 503, sin tardar más que eso. Cuando Redis vuelve, vuelve a ser 200. Los cuerpos son
libres.

Variables de entorno: `REDIS_URL` (redis://127.0.0.1:6379), `READY_SECONDS` (0.5).

Ejemplo, de lo que sale por la salida estándar:

    {"length": 4, "request_id": "pedido-7f3a", "event": "message_received", "level": "info", "timestamp": "2026…Z"}
    {"request_id": "pedido-7f3a", "event": "task_started", "level": "info", "timestamp": "2026…Z"}
    {"seconds": 0.002, "request_id": "pedido-7f3a", "event": "task_finished", "level": "info", "timestamp": "2026…Z"}
    {"request_id": "pedido-7f3a", "event": "event_sent", "level": "info", "timestamp": "2026…Z"}
"""

import asyncio
import json
import os
import re
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Annotated, Literal

import structlog
from fastapi import Depends, FastAPI, Response, WebSocket, WebSocketDisconnect
from fastapi.requests import HTTPConnection
from pydantic import BaseModel
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sse_starlette import EventSourceResponse, ServerSentEvent
from structlog.contextvars import bound_contextvars

REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
READY_SECONDS = float(os.environ.get("READY_SECONDS", "0.5"))
WORK_SECONDS = 5.0
WORKERS = 4

REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")

# TODO 1: Los pasos por los que pasa cada registro: lo que haya en el contexto, el nivel, la hora (iso y utc), la
#   traza como texto (format_exc_info) y, al final, JSON.
structlog.configure(processors=[structlog.dev.ConsoleRenderer(colors=False)])
log = structlog.get_logger()


class Message(BaseModel):
    text: str
    request_id: str | None = None


@dataclass(frozen=True)
class Job:
    request_id: str
    text: str


@dataclass(frozen=True)
class Result:
    request_id: str
    outcome: Literal["done", "failed"]


class Desk:
    """Por donde pasan los mensajes: la cola de los obreros y los buzones de los flujos."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.jobs: asyncio.Queue[Job] = asyncio.Queue()
        self.mailboxes: set[asyncio.Queue[Result]] = set()

    async def note(self, job: Job) -> None:
        """El trabajo: apuntar el texto en Redis. RedisError u OSError (como TimeoutError) si no puede."""
        async with asyncio.timeout(WORK_SECONDS):
            await self.redis.set(f"note:{job.request_id}", job.text, ex=60)

    def announce(self, result: Result) -> None:
        for mailbox in self.mailboxes:
            mailbox.put_nowait(result)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with Redis.from_url(REDIS_URL) as redis:
        app.state.desk = desk = Desk(redis)
        workers = [asyncio.create_task(worker(desk)) for _ in range(WORKERS)]
        yield
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


app = FastAPI(title="Registros que se pueden seguir", lifespan=lifespan)


def get_desk(connection: HTTPConnection) -> Desk:
    desk: Desk = connection.app.state.desk
    return desk


DeskDep = Annotated[Desk, Depends(get_desk)]


def id_for(message: Message) -> str:
    """El identificador que trae el mensaje, si tiene la forma debida; si no, uno nuevo."""
    # TODO 2: Lo que trae el cliente no es de fiar: REQUEST_ID.fullmatch.
    return str(message.request_id)


@app.websocket("/ws")
async def receive(websocket: WebSocket, desk: DeskDep) -> None:
    await websocket.accept()
    with suppress(WebSocketDisconnect):
        while True:
            message = Message.model_validate_json(await websocket.receive_text())
            request_id = id_for(message)
            # TODO 3: Anota message_received con su identificador.

            desk.jobs.put_nowait(Job(request_id, message.text))
            await websocket.send_json({"type": "accepted", "request_id": request_id})


async def worker(desk: Desk) -> None:
    while True:
        await run(desk, await desk.jobs.get())


async def run(desk: Desk, job: Job) -> None:
    """Hace un trabajo y avisa de cómo ha acabado; que falle no detiene al obrero."""
    # TODO 4: Este obrero arrancó con la app: en su contexto no hay ningún identificador; el del mensaje está
    #   en el trabajo. Anota task_started y task_finished, o task_failed con su excepción (log.exception).
    try:
        await desk.note(job)
    except (RedisError, OSError):
        desk.announce(Result(job.request_id, "failed"))
    else:
        desk.announce(Result(job.request_id, "done"))


async def results(desk: Desk) -> AsyncIterator[ServerSentEvent]:
    mailbox: asyncio.Queue[Result] = asyncio.Queue()
    desk.mailboxes.add(mailbox)
    try:
        while True:
            result = await mailbox.get()
            yield ServerSentEvent(event=result.outcome, data=json.dumps({"request_id": result.request_id}))
            # TODO 5: Anota event_sent con el identificador del resultado que acaba de salir.

    finally:
        desk.mailboxes.discard(mailbox)


@app.get("/events")
async def events(desk: DeskDep) -> EventSourceResponse:
    return EventSourceResponse(results(desk))


@app.get("/health/live")
async def live() -> dict[str, str]:
    # TODO 6: ¿De qué depende que este proceso merezca seguir vivo?
    raise NotImplementedError


@app.get("/health/ready")
async def ready(desk: DeskDep, response: Response) -> dict[str, str]:
    # TODO 7: Un PING a desk.redis, con plazo (asyncio.timeout): un Redis congelado acepta la conexión y calla.
    raise NotImplementedError
