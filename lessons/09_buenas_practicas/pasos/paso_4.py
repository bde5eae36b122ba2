"""Paso 4: un tope y un plazo. A quien no lee se le desaloja, y se le dice con un código.

Di: «La cola tiene tope: si un mensaje no cabe, esa conexión va tarde. Y cada envío tiene plazo: si no sale a tiempo,
también. Va tarde significa fuera: se borra, se cierra con 1013, y que vuelva a conectarse. No tiro mensajes en
silencio: lo que recibió es un principio de lo enviado, sin huecos. Y cerrar también puede atascarse: el mismo plazo.»
Enseña: `python frozen.py`, envía 40 varias veces y mira `/stats`: `waiting` sube, la desaloja y vuelve a cero. Sube
SEND_SECONDS a 30 y QUEUE_SIZE a 1000 y verás el otro motivo.
Minutos: 7
Arranca: uvicorn paso_4:app --reload
"""

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse
from pydantic import BaseModel

app = FastAPI()


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page.html"))


class NewMessage(BaseModel):
    data: Any


# region gestor
QUEUE_SIZE = int(os.environ.get("QUEUE_SIZE", "20"))
SEND_SECONDS = float(os.environ.get("SEND_SECONDS", "2"))
TRY_AGAIN_LATER = 1013


# region conexion
class Connection:
    """Una pestaña: su clave, que pone el servidor, su cola y la señal de que va demasiado atrasada."""

    def __init__(self, websocket: WebSocket, tab: str) -> None:
        self.id = uuid4().hex
        self.websocket, self.tab = websocket, tab
        self.outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue(QUEUE_SIZE)
        self.late = asyncio.Event()

    def put(self, message: dict[str, Any]) -> bool:
        """Deja el mensaje en la cola sin esperar a nadie; si no cabe, la conexión va tarde."""
        try:
            self.outbox.put_nowait(message)
        except asyncio.QueueFull:
            self.late.set()
            return False
        return True

    # region emisor
    async def write(self) -> None:
        """Emisor: el único que escribe en este WebSocket, y por eso el único que espera a esta pestaña."""
        try:
            while True:
                message = await self.outbox.get()
                async with asyncio.timeout(SEND_SECONDS):
                    await self.websocket.send_json(message)
        except TimeoutError:
            self.late.set()
        except WebSocketDisconnect:
            pass

    # endregion

    async def read(self) -> None:
        """Receptor: solo leyendo se sabe que la conexión se ha acabado."""
        while (await self.websocket.receive())["type"] != "websocket.disconnect":
            pass

    # region atender
    async def attend(self) -> None:
        """Acaba si se va, si un envío no sale a tiempo o si no cabe en su cola: la primera que pase."""
        tasks = [asyncio.create_task(part) for part in (self.read(), self.write(), self.late.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # endregion


# endregion


# region personas
class Manager:
    """Las conexiones de cada persona, por su clave. De quien se va no guarda nada."""

    def __init__(self) -> None:
        self.users: dict[str, dict[str, Connection]] = {}

    def join(self, user: str, connection: Connection) -> None:
        self.users.setdefault(user, {})[connection.id] = connection

    def leave(self, user: str, connection: Connection) -> None:
        connections = self.users[user]
        del connections[connection.id]
        if not connections:
            del self.users[user]

    def send(self, user: str, message: dict[str, Any]) -> int:
        """Sin ningún await: en cuántas colas ha cabido."""
        return sum(connection.put(message) for connection in self.users.get(user, {}).values())


# endregion


# region ruta
async def serve(manager: Manager, websocket: WebSocket, user: str, tab: str) -> None:
    """La vida de una conexión: apuntarla, atenderla, borrarla y, si va tarde, decírselo con un código."""
    await websocket.accept()
    connection = Connection(websocket, tab)
    connection.put({"type": "welcome", "id": connection.id, "tab": tab})
    manager.join(user, connection)
    try:
        await connection.attend()
    finally:
        manager.leave(user, connection)
    if connection.late.is_set():
        with suppress(TimeoutError, WebSocketDisconnect):
            async with asyncio.timeout(SEND_SECONDS):
                await websocket.close(TRY_AGAIN_LATER, "vas demasiado atrasada; vuelve a conectarte")


# endregion
# endregion


manager = Manager()


@app.websocket("/ws/{user}")
async def listen(websocket: WebSocket, user: str, tab: str = "") -> None:
    await serve(manager, websocket, user, tab)


@app.post("/users/{user}/messages", status_code=202)
async def send(user: str, message: NewMessage) -> dict[str, int]:
    return {"queued": manager.send(user, {"type": "message", "data": message.data})}


@app.get("/stats")
async def stats() -> dict[str, int]:
    connections = [one for mine in manager.users.values() for one in mine.values()]
    waiting = sum(one.outbox.qsize() for one in connections)
    return {"users": len(manager.users), "connections": len(connections), "waiting": waiting}
