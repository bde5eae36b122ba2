"""8.1 WebSockets que se pueden medir

Un servidor de eco, ya escrito, y cinco preguntas que hace quien lo tiene que mantener en pie: cuánta gente hay,
cuánto se habla, cuánto se tarda, cuánto falla y cuánta memoria ocupa. Las contesta `/metrics`, y lo que
contesta tiene que ser **verdad**: los controles cuentan por su lado lo que hacen y lo comparan.

**`/ws?user=ana`** es un WebSocket. A cada `{"text": "hola", "times": 2, "wait": 0.1}` (los dos últimos, si
faltan, son 1 y 0) espera `wait` segundos y contesta `times` veces `{"user": "ana", "text": "hola"}`. Las
respuestas pasan por una cola, y una tarea las va enviando. Lo que no es un mensaje así se cierra con 1003; uno
con `"fail": true` hace fallar al servidor, que cierra con 1011.

**`GET /metrics`** son las métricas en el formato de texto de Prometheus:

- `websocket_connections` (gauge): conexiones abiertas ahora.
- `websocket_messages_total{direction}` (counter): mensajes; `direction` es `received` o `sent`. Lo recibido
  cuenta aunque no se entienda. Lo enviado, cuando el `send` ha terminado, y no al ponerlo en la cola.
- `websocket_message_latency_seconds` (histogram): desde que llega un mensaje correcto hasta que se ha enviado
  su última respuesta. Uno que no llega a contestarse del todo no cuenta. Sus cubos distinguen 5 ms de 50 y 50
  de 500: hay algún límite desde 0,005 hasta menos de 0,05 y alguno desde 0,05 hasta menos de 0,5.
- `websocket_connection_errors_total{reason}` (counter): conexiones que acaban mal, una vez cada una. `reason`
  es `dropped` (el cliente se va con un código que no es 1000 ni 1001, o sin despedirse), `invalid` (cerrada con
  1003) o `server` (cerrada con 1011). Quien se despide bien no es un error.
- `websocket_queued_bytes` (gauge): bytes de las respuestas que esperan en las colas a que se empiecen a enviar
  (`len(text.encode())` de cada una). Si una conexión se va, lo suyo deja de contar.

Cada serie existe desde el principio, aunque valga 0. Nada que dependa del usuario va en una etiqueta.

Variables de entorno: ninguna.

Ejemplo, con una conexión abierta que ha enviado un mensaje con `"times": 2`:

    GET /metrics
    # HELP websocket_connections Conexiones WebSocket abiertas ahora.
    # TYPE websocket_connections gauge
    websocket_connections 1.0
    # HELP websocket_messages_total Mensajes por WebSocket.
    # TYPE websocket_messages_total counter
    websocket_messages_total{direction="received"} 1.0
    websocket_messages_total{direction="sent"} 2.0
    …
"""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import FastAPI, Response, WebSocket, WebSocketDisconnect
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest
from pydantic import BaseModel, Field, ValidationError

POLITE = (1000, 1001)
REASONS = ("dropped", "invalid", "server")

app = FastAPI(title="WebSockets que se pueden medir")

# TODO 1: Las cinco métricas, con su ayuda. Una serie con etiquetas no existe hasta que se nombra:
#   .labels(…) de cada valor, aquí mismo, la crea a cero.



class Message(BaseModel):
    text: str
    times: Annotated[int, Field(ge=1, le=1000)] = 1
    wait: Annotated[float, Field(ge=0, le=5)] = 0.0
    fail: bool = False


class Invalid(Exception):
    """Ha llegado algo que no es un mensaje."""


@dataclass
class Reply:
    """Una respuesta en la cola; `completes`, en la última a un mensaje, es cuándo llegó ese mensaje."""

    text: str
    completes: float | None = None


class Outbox:
    """Las respuestas que esperan a que su conexión las envíe."""

    def __init__(self) -> None:
        self.replies: asyncio.Queue[Reply] = asyncio.Queue()

    # TODO 6: Los bytes en cola: suman al entrar, restan al salir y, en discard, resta los que queden.
    def put(self, reply: Reply) -> None:
        self.replies.put_nowait(reply)

    async def take(self) -> Reply:
        return await self.replies.get()

    def discard(self) -> None:
        """La conexión se ha ido: lo que quede en la cola no lo leerá nadie."""


@app.get("/metrics")
async def metrics() -> Response:
    # TODO 2: El registro entero, con generate_latest(), y su tipo de contenido.
    return Response("")


@contextmanager
def counted() -> Iterator[None]:
    """Cuenta una conexión mientras dura el bloque y, si acaba mal, por qué."""
    # TODO 3: Una más al entrar y una menos al salir, pase lo que pase. WebSocketDisconnect trae el código
    #   con que se fue el cliente. Lo que captures, vuelve a lanzarlo: aquí solo se cuenta.
    yield


@app.websocket("/ws")
async def echo(websocket: WebSocket, user: str = "") -> None:
    await websocket.accept()
    outbox = Outbox()
    sender = asyncio.create_task(deliver(websocket, outbox))
    try:
        with counted():
            while True:
                await answer(websocket, user, outbox)
    except WebSocketDisconnect:
        pass
    except Invalid:
        await websocket.close(1003)
    except Exception:
        await websocket.close(1011)
        raise
    finally:
        sender.cancel()
        outbox.discard()


async def answer(websocket: WebSocket, user: str, outbox: Outbox) -> None:
    """Atiende el siguiente mensaje."""
    text = await websocket.receive_text()
    arrived = time.perf_counter()
    # TODO 4: Ha llegado un mensaje: cuéntalo.

    try:
        message = Message.model_validate_json(text)
    except ValidationError:
        raise Invalid from None
    await asyncio.sleep(message.wait)
    if message.fail:
        raise RuntimeError("el mensaje pedía un fallo")
    reply = json.dumps({"user": user, "text": message.text})
    for _ in range(message.times - 1):
        outbox.put(Reply(reply))
    outbox.put(Reply(reply, completes=arrived))


async def deliver(websocket: WebSocket, outbox: Outbox) -> None:
    """Envía lo que haya en la cola, por orden, hasta que la cancelen o la conexión se vaya."""
    try:
        while True:
            reply = await outbox.take()
            await websocket.send_text(reply.text)
            # TODO 5: Ya está enviada: cuéntala y, si completa un mensaje, observa su latencia.

    except WebSocketDisconnect:
        pass
