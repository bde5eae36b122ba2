"""2.1 Eco con protocolo

Un WebSocket mueve textos; qué significan lo decides tú. Escribe un servidor que hable este pequeño
protocolo de mensajes JSON en `/ws`, siempre en tramas de texto:

    recibes                              contestas
    {"type": "echo", "text": "hola"}     {"type": "echo", "text": "hola", "count": 1}
    {"type": "stats"}                    {"type": "stats", "count": 1}
    {"type": "bye"}                      {"type": "bye"}, y cierras con el código 1000

`count` dice cuántos ecos ha contestado el servidor **en esa conexión**: empieza en 1 con el primero, y
dos clientes conectados a la vez no comparten cuenta.

Lo que no entiendas se contesta con un error y **la conexión sigue viva**; los errores no cuentan:

    no es JSON                                   {"type": "error", "reason": "invalid_json"}
    no es un objeto, o no tiene `type`           {"type": "error", "reason": "invalid_message"}
    un `type` que no está en la tabla, sea o     {"type": "error", "reason": "unknown_type"}
    no un texto (`"baila"`, `7`, `["echo"]`)
    un `echo` cuyo `text` falta o no es texto    {"type": "error", "reason": "invalid_message"}

Un texto con cien mil corchetes anidados tampoco es JSON que se pueda leer: no debe tumbar la conexión. Y que un
cliente se vaya sin despedirse es lo normal: no debe dejar una traza en la salida del servidor.

Los TODO están numerados en el orden en que conviene hacerlos.

Ejemplo:

    → {"type": "echo", "text": "¡Hola!"}
    ← {"type": "echo", "text": "¡Hola!", "count": 1}
    → ¿?
    ← {"type": "error", "reason": "invalid_json"}
    → {"type": "bye"}
    ← {"type": "bye"}
    ← cierre 1000
"""

import json
from typing import Any

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI(title="Eco con protocolo")

Message = dict[str, Any]


class ProtocolError(Exception):
    """El cliente ha enviado algo que no entendemos; su texto es la `reason` que se le contesta."""


def parse(raw: str) -> Message:
    """El mensaje que hay en `raw`, ya comprobado; si no vale, lanza ProtocolError("motivo")."""
    # TODO 3: Comprueba el mensaje y lanza ProtocolError con el motivo de la tabla si no vale.
    #   Recuerda que JSON no son solo objetos: `3` o `["echo"]` también lo son.
    return json.loads(raw)


class Session:
    """Lo que el servidor recuerda de una conexión."""

    def __init__(self) -> None:
        self.count = 0

    def reply(self, message: Message) -> Message:
        """La respuesta a un mensaje válido."""
        # TODO 1: Contesta a «echo», «stats» y «bye», y lleva la cuenta de los ecos en self.count.
        return {"type": "error", "reason": "not_implemented"}


@app.websocket("/ws")
async def converse(websocket: WebSocket) -> None:
    await websocket.accept()
    session = Session()
    # TODO 2: Repite hasta que el cliente diga «bye» o se vaya: recibe un texto, conviértelo con
    #   parse() y contesta con session.reply(). Un ProtocolError se contesta y se sigue; tras «bye», cierra.
    message = parse(await websocket.receive_text())
    await websocket.send_json(session.reply(message))
