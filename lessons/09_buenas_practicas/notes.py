"""Los tres patrones como los cuentan los apuntes, con sus nombres que faltan puestos: lo bastante para ejecutarlos."""

import asyncio
import logging
import signal
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

from fastapi import WebSocket

logger = logging.getLogger("uvicorn.error")


# region gestor
class NotesManager:
    """Una conexión por cada clave, que elige el cliente; enviar es un bucle que espera a cada una."""

    def __init__(self) -> None:
        self.connections: dict[str, WebSocket] = {}
        self.ids_of: dict[str, dict[str, None]] = defaultdict(dict)

    def join(self, user: str, connection_id: str, websocket: WebSocket) -> None:
        self.connections[connection_id] = websocket
        self.ids_of[user][connection_id] = None

    def leave(self, user: str, connection_id: str) -> None:
        self.connections.pop(connection_id, None)
        self.ids_of[user].pop(connection_id, None)

    async def send(self, user: str, message: dict[str, Any]) -> None:
        for connection_id in list(self.ids_of[user]):
            try:
                await self.connections[connection_id].send_json(message)
            except:  # noqa: E722  # así lo hacen: también se traga la cancelación
                self.leave(user, connection_id)


# endregion


# region avisar
Send = Callable[[str, str], Awaitable[bool]]


async def notify(send_websocket: Send, send_sse: Send, user: str, text: str) -> str:
    """Sin plazos, y con un nombre que no existe en la rama que hace falta cuando lo demás ha fallado."""
    if await send_websocket(user, text):
        return "websocket"
    if await send_sse(user, text):
        return "sse"
    background_tasks.add_task(print, user, text)  # noqa: F821
    return "email"


# endregion


# region recursos
class NotesResources:
    """Un manejador de señales propio, que sustituye al de uvicorn; cierra las cosas con tareas que ya nadie hará."""

    def __init__(self) -> None:
        self.websockets: list[WebSocket] = []
        self.tasks: list[asyncio.Task[None]] = []
        signal.signal(signal.SIGTERM, self.on_signal)

    def cleanup(self) -> None:
        for websocket in self.websockets:
            asyncio.create_task(websocket.close())  # noqa: RUF006
        for task in self.tasks:
            task.cancel()

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        self.cleanup()
        sys.exit(0)


# endregion
