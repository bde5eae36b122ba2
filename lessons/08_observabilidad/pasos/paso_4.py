"""Paso 4: cuánto se tarda y qué falla.

Di: «La media de diecinueve respuestas de 5 ms y una de 500 es 30: no le ha pasado a nadie. Un histograma cuenta
cuántas caben en cada cubo, y de ahí sale el percentil. Y los errores, por motivo: irse no es un error; irse sin
despedirse, sí. Capturo, cuento y vuelvo a lanzar: aquí solo se cuenta.»
Enseña: «Enviar 10» y «Enviar uno lento»: mira en qué cubos caen. «Cerrar», «Cerrar sin código», «Basura» y «Fallo»:
cada uno sube lo suyo, y «Cerrar» nada.
Minutos: 8
Arranca: uvicorn paso_4:app --reload
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi import FastAPI, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest
from pydantic import BaseModel, ValidationError

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

app = FastAPI()


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
    with LATENCY.time():
        await asyncio.sleep(message.wait)
        if message.fail:
            raise RuntimeError("el mensaje pedía un fallo")
        await websocket.send_json({"text": message.text})
    SENT.inc()
