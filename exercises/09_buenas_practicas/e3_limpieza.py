"""9.3 Limpieza de recursos

Desplegar es apagar un proceso y encender otro, varias veces al día y con gente dentro. Escribe una app que se apaga sin
dejar nada a medias, y a la que se puede entrar y salir mil veces sin que quede nada.

Mientras está en marcha:

- **`/ws/{room}`** y **`GET /events/{room}`** (SSE) cuentan lo que se publica en esa sala, en cualquier proceso. El
  WebSocket recibe `{"type": "ready"}` y después `{"type": "message", "text": "…"}`; el flujo, los eventos `ready` y
  `message`, con `{"text": "…"}`. Cada conexión tiene su propia suscripción de Redis al canal `room:{room}`.
- **`POST /rooms/{room}`** con `{"text": "…"}` publica y contesta 204.
- **`POST /orders`** tarda `WORK_SECONDS` y contesta 201 `{"id": "…"}`. En Redis, `order:{id}` pasa de `started` a
  `done`.
- **`POST /reports`** contesta 202 `{"id": "…"}` y hace el informe después, como tarea del proceso, en `REPORT_SECONDS`:
  en Redis, `report:{id}` dice `running` y, al acabar, `done`. Si se cancela, guarda lo que lleva y dice `interrupted`.
- Cuando una conexión termina se anota una línea en el diario, un archivo: `websocket closed` o `stream closed`.

Cuando una conexión se va, se despida o no, su suscripción desaparece de Redis y no queda ninguna tarea, conexión ni
descriptor suyo.

Con SIGTERM, con uno o varios procesos:

1. la petición en curso termina y recibe su respuesta;
2. los WebSockets se cierran con 1012, y los flujos acaban;
3. las tareas se cancelan **y se esperan**: todas dejan dicho `interrupted`. Como mucho `GRACE_SECONDS`, porque alguna
   puede no acabar nunca (si Redis no contesta, por ejemplo);
4. se cierran Redis y el diario, por este orden; `Journal.close` escribe su última línea, `closed`;
5. el proceso termina solo, en 3 segundos como mucho.

Los otros procesos, y su gente, no notan nada. De SIGTERM se ocupa uvicorn: no hace falta ningún manejador de señales,
ni `atexit`.

Variables de entorno: `REDIS_URL` (`redis://127.0.0.1:6379`), `JOURNAL` (`diario.txt`), `WORK_SECONDS` (1),
`REPORT_SECONDS` (10) y `GRACE_SECONDS` (2).

Ejemplo de un diario, con un WebSocket y un flujo abiertos al apagar:

    websocket closed
    stream closed
    report 9f2c… interrupted
    closed
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

from fastapi import Depends, FastAPI, WebSocket, WebSocketDisconnect
from fastapi.requests import HTTPConnection
from pydantic import BaseModel
from redis.asyncio import Redis
from sse_starlette import EventSourceResponse, ServerSentEvent

REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
JOURNAL = Path(os.environ.get("JOURNAL", "diario.txt"))
WORK_SECONDS = float(os.environ.get("WORK_SECONDS", "1"))
REPORT_SECONDS = float(os.environ.get("REPORT_SECONDS", "10"))
GRACE_SECONDS = float(os.environ.get("GRACE_SECONDS", "2"))
SAVE_SECONDS = 0.05  # lo que se tarda en guardar un informe a medias


class Created(BaseModel):
    id: str


class Message(BaseModel):
    text: str


class Journal:
    """Un archivo con búfer: lo que se anota llega al disco cuando se cierra; si no se cierra, se pierde."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("a", encoding="utf-8", buffering=65_536)

    def write(self, line: str) -> None:
        """
        Raises:
            ValueError: el diario ya está cerrado.
        """
        self.file.write(f"{line}\n")

    def close(self) -> None:
        self.write("closed")
        self.file.close()


class Tasks:
    """Las tareas de este proceso, que nadie espera hasta que se apaga."""

    def __init__(self) -> None:
        self.running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        # TODO 1: asyncio solo guarda una referencia débil de lo que crea create_task: guárdala tú mientras dure.
        work.close()

    async def close(self) -> None:
        """Las cancela y espera a que terminen de guardar lo suyo, como mucho GRACE_SECONDS."""
        # TODO 2: cancel() solo lo pide; asyncio.wait(…, timeout=…) lo espera (sin ninguna tarea, ValueError).
        return


class Resources:
    """Lo que se abre una vez por proceso."""

    def __init__(self, redis: Redis, journal: Journal, tasks: Tasks) -> None:
        self.redis, self.journal, self.tasks = redis, journal, tasks


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Abre los recursos antes de la primera petición y los cierra después de la última conexión."""
    # Sin plazo propio: quien lo tiene que poner aquí es quien espera a las tareas.
    redis = Redis.from_url(REDIS_URL, decode_responses=True, socket_timeout=None)
    journal, tasks = Journal(JOURNAL), Tasks()
    app.state.resources = Resources(redis, journal, tasks)
    # TODO 3: Entrega el control (yield) y, al volver, cierra al revés de como dependen: las tareas usan Redis y
    #   el diario. Que falle un cierre no impide los demás: try/finally, o un AsyncExitStack.
    yield


app = FastAPI(title="Limpieza de recursos", lifespan=lifespan)


def get_resources(connection: HTTPConnection) -> Resources:
    resources: Resources = connection.app.state.resources
    return resources


ResourcesDep = Annotated[Resources, Depends(get_resources)]


@asynccontextmanager
async def subscribed(redis: Redis, room: str) -> AsyncIterator[AsyncIterator[str]]:
    """Una suscripción a la sala, con lo que va llegando; acabe como acabe el bloque, desaparece."""
    # TODO 4: Con async with redis.pubsub(), suscríbete, espera la confirmación (pubsub.get_message(timeout=…)) y
    #   entrega texts_of(pubsub). Un flujo acaba cancelado: un await tuyo antes de cerrar quizá no llegue a terminar.
    yield texts_of(redis.pubsub())


async def texts_of(pubsub: Any) -> AsyncIterator[str]:
    async for message in pubsub.listen():
        if message["type"] == "message":
            yield message["data"]


@app.websocket("/ws/{room}")
async def listen(websocket: WebSocket, room: str, resources: ResourcesDep) -> None:
    await websocket.accept()
    # TODO 5: Mientras forward() envía, alguien tiene que leer: solo leyendo se sabe que la conexión ha acabado.
    #   Cuando acabe, cancela y espera a forward, y anótalo en el diario.
    await websocket.close()


async def forward(websocket: WebSocket, texts: AsyncIterator[str]) -> None:
    with suppress(WebSocketDisconnect):
        await websocket.send_json({"type": "ready"})
        async for text in texts:
            await websocket.send_json({"type": "message", "text": text})


async def read_until_gone(websocket: WebSocket) -> None:
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


# TODO 6: Contesta con follow() en una respuesta que acabe cuando el servidor se apaga: la de sse_starlette.
@app.get("/events/{room}")
async def events(room: str) -> None:
    return None


async def follow(room: str, resources: Resources) -> AsyncIterator[ServerSentEvent]:
    try:
        async with subscribed(resources.redis, room) as texts:
            yield ServerSentEvent(event="ready", data="{}")
            async for text in texts:
                yield ServerSentEvent(event="message", data=json.dumps({"text": text}, ensure_ascii=False))
    finally:
        resources.journal.write("stream closed")


@app.post("/rooms/{room}", status_code=204)
async def publish(room: str, message: Message, resources: ResourcesDep) -> None:
    await resources.redis.publish(f"room:{room}", message.text)


@app.post("/orders", status_code=201)
async def order(resources: ResourcesDep) -> Created:
    order_id = uuid4().hex
    await resources.redis.set(f"order:{order_id}", "started", ex=3600)
    await asyncio.sleep(WORK_SECONDS)
    await resources.redis.set(f"order:{order_id}", "done", ex=3600)
    return Created(id=order_id)


@app.post("/reports", status_code=202)
async def report(resources: ResourcesDep) -> Created:
    report_id = uuid4().hex
    await resources.redis.set(f"report:{report_id}", "running", ex=3600)
    resources.tasks.start(make_report(report_id, resources))
    return Created(id=report_id)


async def make_report(report_id: str, resources: Resources) -> None:
    """Un informe; si se cancela, guarda lo que lleva, que también lleva su tiempo, y lo deja dicho."""
    state = "done"
    try:
        await asyncio.sleep(REPORT_SECONDS)
    except asyncio.CancelledError:
        state = "interrupted"
        await asyncio.sleep(SAVE_SECONDS)
        raise
    finally:
        await resources.redis.set(f"report:{report_id}", state, ex=3600)
        resources.journal.write(f"report {report_id} {state}")
