"""Paso 2: la clave la pone el servidor, y de quien se va no queda nada.

Di: «El nombre que trae el cliente es un nombre, no una clave. La clave la hago yo, distinta cada vez, así que una
conexión vieja que se cierra tarde solo se borra a sí misma. Y fuera el defaultdict: preguntar por alguien que no está
no debe crear nada, y cuando se va su última conexión, se va también su entrada.»
Enseña: dos pestañas con el mismo nombre reciben las dos; cierra una y la otra sigue. Mira `/stats` después de cerrarlas
todas: ceros. La congelada sigue siendo un problema.
Minutos: 6
Arranca: uvicorn paso_2:app --reload
"""

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
class Manager:
    def __init__(self) -> None:
        self.users: dict[str, dict[str, WebSocket]] = {}

    def join(self, user: str, websocket: WebSocket) -> str:
        connection_id = uuid4().hex
        self.users.setdefault(user, {})[connection_id] = websocket
        return connection_id

    def leave(self, user: str, connection_id: str) -> None:
        connections = self.users[user]
        del connections[connection_id]
        if not connections:
            del self.users[user]

    async def send(self, user: str, message: dict[str, Any]) -> int:
        connections = list(self.users.get(user, {}).values())
        for websocket in connections:
            with suppress(WebSocketDisconnect):
                await websocket.send_json(message)
        return len(connections)


# endregion


manager = Manager()


@app.websocket("/ws/{user}")
async def listen(websocket: WebSocket, user: str, tab: str = "") -> None:
    await websocket.accept()
    connection_id = manager.join(user, websocket)
    try:
        await websocket.send_json({"type": "welcome", "id": connection_id, "tab": tab})
        while (await websocket.receive())["type"] != "websocket.disconnect":
            pass
    finally:
        manager.leave(user, connection_id)


@app.post("/users/{user}/messages", status_code=202)
async def send(user: str, message: NewMessage) -> dict[str, int]:
    return {"queued": await manager.send(user, {"type": "message", "data": message.data})}


@app.get("/stats")
async def stats() -> dict[str, int]:
    connections = sum(len(mine) for mine in manager.users.values())
    return {"users": len(manager.users), "connections": connections, "waiting": 0}
