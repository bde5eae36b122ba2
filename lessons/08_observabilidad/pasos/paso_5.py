"""Paso 5: qué le pasó a este mensaje, y cómo está este proceso.

Di: «Las métricas dicen cuánto; de este mensaje en concreto no saben nada. Para eso está el registro: una línea, un
objeto JSON, y en todas el identificador del mensaje. El obrero nació con la app y no sabe de quién es el trabajo: el
identificador viaja con él. Y dos preguntas de salud: si hay que reiniciarme, y si se me puede mandar trabajo.»
Enseña: «Enviar 10» y mira la terminal: busca un request_id. Pulsa «Redis mudo» y «Salud»: live 200, ready 503.
Minutos: 10
Arranca: uvicorn paso_5:app --reload
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog
from fastapi import FastAPI, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest
from pydantic import BaseModel, ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError
from structlog.contextvars import bound_contextvars

from taller.services import valkey

READY_SECONDS = 0.5

# region definir
CONNECTIONS = Gauge("websocket_connections", "Conexiones abiertas ahora.", multiprocess_mode="livesum")
MESSAGES = Counter("websocket_messages_total", "Mensajes por WebSocket.", ["direction"])
RECEIVED, SENT = MESSAGES.labels("received"), MESSAGES.labels("sent")
LATENCY = Histogram(
    "websocket_message_latency_seconds",
    "Desde que llega un mensaje hasta que sale su última respuesta.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
ERRORS = Counter("websocket_connection_errors_total", "Conexiones que acaban mal.", ["reason"])
ERROR = {reason: ERRORS.labels(reason) for reason in ("dropped", "invalid", "server")}
# endregion


class Invalid(Exception):
    """Ha llegado algo que no es un mensaje."""


# region contar
POLITE = (1000, 1001)


@contextmanager
def counted() -> Iterator[None]:
    """Una conexión mientras dura el bloque y, si acaba mal, por qué."""
    with CONNECTIONS.track_inprogress():
        try:
            yield
        except WebSocketDisconnect as gone:
            if gone.code not in POLITE:
                ERROR["dropped"].inc()
            raise
        except Invalid:
            ERROR["invalid"].inc()
            raise
        except Exception:
            ERROR["server"].inc()
            raise


# endregion

structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
)
log = structlog.get_logger()


@dataclass(frozen=True)
class Job:
    request_id: str
    text: str


jobs: asyncio.Queue[Job] = asyncio.Queue()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with valkey() as app.state.server, Redis.from_url(app.state.server.url) as app.state.redis:
        working = asyncio.create_task(work(app.state.redis))
        yield
        working.cancel()


async def work(redis: Redis) -> None:
    while True:
        job = await jobs.get()
        with bound_contextvars(request_id=job.request_id):
            log.info("task_started")
            try:
                async with asyncio.timeout(1):
                    await redis.set(f"note:{job.request_id}", job.text, ex=60)
            except (RedisError, OSError):
                log.exception("task_failed")
            else:
                log.info("task_finished")


app = FastAPI(lifespan=lifespan)


class Message(BaseModel):
    text: str
    wait: float = 0.0
    fail: bool = False


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page.html"))


@app.get("/metrics")
async def metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


@app.get("/health/live")
async def live() -> dict[str, str]:
    return {"status": "alive"}


@app.get("/health/ready")
async def ready(response: Response) -> dict[str, str]:
    try:
        async with asyncio.timeout(READY_SECONDS):
            await app.state.redis.ping()
    except (RedisError, OSError):
        response.status_code = 503
        return {"status": "not ready"}
    return {"status": "ready"}


@app.post("/redis/{state}", status_code=204)
async def set_redis(state: Literal["up", "mute"]) -> None:
    if state == "mute":
        app.state.server.pause()
    else:
        app.state.server.resume()


@app.websocket("/ws")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        with counted():
            while True:
                await answer(websocket)
    except WebSocketDisconnect:
        pass
    except Invalid:
        await websocket.close(1003)


async def answer(websocket: WebSocket) -> None:
    text = await websocket.receive_text()
    RECEIVED.inc()
    try:
        message = Message.model_validate_json(text)
    except ValidationError:
        raise Invalid from None
    request_id = uuid.uuid4().hex[:12]
    with bound_contextvars(request_id=request_id):
        log.info("message_received", length=len(message.text))
    with LATENCY.time():
        await asyncio.sleep(message.wait)
        if message.fail:
            raise RuntimeError("el mensaje pedía un fallo")
        await websocket.send_json({"text": message.text, "request_id": request_id})
    SENT.inc()
    jobs.put_nowait(Job(request_id, message.text))
