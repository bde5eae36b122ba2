"""2.4 Límites

Un servidor que acepta todo lo que le echen lo tumba el primer cliente descuidado. Pon límites en `/ws` y di
con el código de cierre cuál se ha pasado:

    una trama binaria: aquí solo se habla texto                   cierre 1003
    un texto de más de MAX_MESSAGE_BYTES bytes                    cierre 1009
    más de MAX_MESSAGES mensajes en WINDOW_SECONDS segundos       cierre 1008
    ya hay MAX_CONNECTIONS conexiones abiertas                    se acepta y se cierra con 1013

A cada mensaje que respeta los límites se contesta:

    {"text": "¡hola!"}      {"type": "ok", "bytes": 19}      (lo que mide el mensaje recibido, en bytes UTF-8)
    no es JSON              {"type": "error", "reason": "invalid_json"}, y la conexión sigue

Aquí no importa qué dice el JSON (`3` y `{}` también valen), y **todos** los mensajes cuentan para el ritmo, también los
que no son JSON.

- El tamaño se mira **antes** de interpretar el mensaje: interpretar un texto enorme es justo lo que se evita.
- La ventana de tiempo es deslizante y de cada conexión: si en los últimos WINDOW_SECONDS segundos ya ha
  enviado MAX_MESSAGES, el siguiente cierra; cuando los viejos salen de la ventana, puede seguir.
- Al irse una conexión, la cierre quien la cierre, deja su sitio a otra; la que no cupo no ocupa ninguno.

Variables de entorno: `MAX_MESSAGE_BYTES` (1024), `MAX_MESSAGES` (10), `WINDOW_SECONDS` (1) y
`MAX_CONNECTIONS` (100).

Ejemplo, con MAX_MESSAGES=2:

    → {"text": "a"}     ← {"type": "ok", "bytes": 13}
    → {"text": "b"}     ← {"type": "ok", "bytes": 13}
    → {"text": "c"}     ← cierre 1008
"""

import json
import os
import time
from collections import deque

from fastapi import FastAPI, WebSocket

MAX_MESSAGE_BYTES = int(os.environ.get("MAX_MESSAGE_BYTES", "1024"))
MAX_MESSAGES = int(os.environ.get("MAX_MESSAGES", "10"))
WINDOW_SECONDS = float(os.environ.get("WINDOW_SECONDS", "1"))
MAX_CONNECTIONS = int(os.environ.get("MAX_CONNECTIONS", "100"))

UNSUPPORTED_DATA = 1003
POLICY_VIOLATION = 1008
MESSAGE_TOO_BIG = 1009
TRY_AGAIN_LATER = 1013

app = FastAPI(title="Límites")
connections: set[WebSocket] = set()


class SlidingWindow:
    """Cuándo llegaron los últimos mensajes de una conexión."""

    def __init__(self) -> None:
        self.times: deque[float] = deque()

    def allow(self) -> bool:
        """Apunta un mensaje y dice si cabe en la ventana."""
        # region TODO 3: Olvida los que han salido de la ventana y mira si queda sitio. Usa time.monotonic().
        #: return True
        now = time.monotonic()
        while self.times and now - self.times[0] >= WINDOW_SECONDS:
            self.times.popleft()
        if len(self.times) >= MAX_MESSAGES:
            return False
        self.times.append(now)
        return True
        # endregion


def answer(text: str) -> dict[str, str | int]:
    """La respuesta a un mensaje que respeta los límites."""
    # region TODO 1: Interpreta el JSON y contesta «ok» con su tamaño en bytes, o «error» si no es JSON.
    #: return {"type": "error", "reason": "not_implemented"}
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return {"type": "error", "reason": "invalid_json"}
    return {"type": "ok", "bytes": len(text.encode())}
    # endregion


def violation(text: str | None, window: SlidingWindow) -> int | None:
    """El código de cierre que merece un mensaje, o None. `text` es None si la trama era binaria."""
    # region TODO 2: Mira si era binaria, su tamaño en bytes y el ritmo.
    #: return None
    if text is None:
        return UNSUPPORTED_DATA
    if len(text.encode()) > MAX_MESSAGE_BYTES:
        return MESSAGE_TOO_BIG
    if not window.allow():
        return POLICY_VIOLATION
    return None
    # endregion


@app.websocket("/ws")
async def limited(websocket: WebSocket) -> None:
    await websocket.accept()
    # region TODO 4: Si no cabe, ciérrala con TRY_AGAIN_LATER; si cabe, apúntala, atiéndela con converse() y,
    #   pase lo que pase, bórrala al acabar.
    #: await converse(websocket)
    if len(connections) >= MAX_CONNECTIONS:
        await websocket.close(TRY_AGAIN_LATER, "Servidor lleno")
        return
    connections.add(websocket)
    try:
        await converse(websocket)
    finally:
        connections.discard(websocket)
    # endregion


async def converse(websocket: WebSocket) -> None:
    """Contesta hasta que el cliente se vaya o se pase de un límite."""
    window = SlidingWindow()
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text")
        if code := violation(text, window):
            await websocket.close(code)
            return
        await websocket.send_json(answer(text))
