"""Paso 2: las métricas de los apuntes, y un sitio donde leerlas.

Di: «Tres métricas, y una ruta para que Prometheus las lea, que en los apuntes falta. La conexión suma al nacer y
resta en `__del__`, cuando muera. ¿Y cuándo muere un objeto de Python? Cuando nadie lo recuerda. Mi sesión recuerda a
su WebSocket, y el WebSocket a su sesión: se recuerdan el uno al otro, y ahí se quedan hasta que pase el recolector de
basura.»
Enseña: «Abrir 30», «Cerrar» y «Leer»: websocket_connections_total 30. Lee otra vez. Fíjate en la latencia: _count
0.0.
Minutos: 5
Arranca: uvicorn paso_2:app --reload
"""

import asyncio
from pathlib import Path

from fastapi import FastAPI, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest
from pydantic import BaseModel, ValidationError

CONNECTIONS = Gauge("websocket_connections_total", "Total WebSocket connections")
MESSAGES = Counter("websocket_messages_total", "Total WebSocket messages", ["direction"])
LATENCY = Histogram("websocket_message_latency_seconds", "WebSocket message latency")

app = FastAPI()


class Session:
    """Lo que el servidor recuerda de una conexión, y su cuenta."""

    def __init__(self, websocket: WebSocket) -> None:
        self.websocket = websocket
        CONNECTIONS.inc()

    def __del__(self) -> None:
        CONNECTIONS.dec()


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
    websocket.state.session = Session(websocket)
    try:
        while True:
            await answer(websocket)
    except WebSocketDisconnect:
        pass
    except ValidationError:
        await websocket.close(1003)


async def answer(websocket: WebSocket) -> None:
    message = Message.model_validate_json(await websocket.receive_text())
    await asyncio.sleep(message.wait)
    if message.fail:
        raise RuntimeError("el mensaje pedía un fallo")
    await websocket.send_json({"text": message.text})
    MESSAGES.labels(direction="sent").inc()
