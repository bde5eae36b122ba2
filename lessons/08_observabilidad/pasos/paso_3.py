"""Paso 3: contar mientras dura, y en los dos sentidos.

Di: «Un `with` sabe cuándo se sale, se salga como se salga: sumo al entrar y resto al salir. Y le quito el `_total` al
nombre: eso es de los contadores, que solo suben. De los mensajes cuento los dos sentidos, y nombro las series ya,
para que existan con un cero y no aparezcan de la nada.»
Enseña: antes de nada, «Leer»: los ceros. «Abrir 30», «Cerrar», «Leer»: 0. Otra vez con «Fallo»: también 0.
Minutos: 4
Arranca: uvicorn paso_3:app --reload
"""

import asyncio
from pathlib import Path

from fastapi import FastAPI, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, generate_latest
from pydantic import BaseModel, ValidationError

CONNECTIONS = Gauge("websocket_connections", "Conexiones abiertas ahora.")
MESSAGES = Counter("websocket_messages_total", "Mensajes por WebSocket.", ["direction"])
RECEIVED, SENT = MESSAGES.labels("received"), MESSAGES.labels("sent")

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
        with CONNECTIONS.track_inprogress():
            while True:
                await answer(websocket)
    except WebSocketDisconnect:
        pass
    except ValidationError:
        await websocket.close(1003)


async def answer(websocket: WebSocket) -> None:
    text = await websocket.receive_text()
    RECEIVED.inc()
    message = Message.model_validate_json(text)
    await asyncio.sleep(message.wait)
    if message.fail:
        raise RuntimeError("el mensaje pedía un fallo")
    await websocket.send_json({"text": message.text})
    SENT.inc()
