"""Paso 3: una cola y un emisor para cada conexión. Enviar ya no espera a nadie.

Di: «Quito el await del bucle. Enviar es dejar el mensaje en cada cola, y eso no espera. De vaciar cada cola se ocupa
una tarea, el emisor, el único que escribe en ese WebSocket: si se atasca, se atasca él. gather no habría servido: acaba
cuando acaba el más lento. Y fijaos en que el receptor y el emisor acaban juntos, o dejaría tareas esperando.»
Enseña: con `python frozen.py` en marcha, envía 40 varias veces: todas las demás reciben todo, al momento. Pero mira
`waiting` en `/stats`: crece y no baja. Eso es memoria, y es de una pestaña que nadie mira.
Minutos: 9
Arranca: uvicorn paso_3:app --reload
"""

import asyncio
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
class Connection:
    """Una pestaña: su clave, que pone el servidor, y su cola."""

    def __init__(self, websocket: WebSocket, tab: str) -> None:
        self.id = uuid4().hex
        self.websocket, self.tab = websocket, tab
        self.outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def put(self, message: dict[str, Any]) -> bool:
        self.outbox.put_nowait(message)
        return True

    async def write(self) -> None:
        """Emisor: el único que escribe en este WebSocket, y por eso el único que espera a esta pestaña."""
        with suppress(WebSocketDisconnect):
            while True:
                await self.websocket.send_json(await self.outbox.get())

    async def read(self) -> None:
        """Receptor: solo leyendo se sabe que la conexión se ha acabado."""
        while (await self.websocket.receive())["type"] != "websocket.disconnect":
            pass

    async def attend(self) -> None:
        tasks = [asyncio.create_task(part) for part in (self.read(), self.write())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


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


async def serve(manager: Manager, websocket: WebSocket, user: str, tab: str) -> None:
    await websocket.accept()
    connection = Connection(websocket, tab)
    connection.put({"type": "welcome", "id": connection.id, "tab": tab})
    manager.join(user, connection)
    try:
        await connection.attend()
    finally:
        manager.leave(user, connection)


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
