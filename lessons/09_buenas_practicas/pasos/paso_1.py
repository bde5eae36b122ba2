"""Paso 1: el gestor que escribe todo el mundo. Un diccionario y un bucle.

Di: «Guardo cada conexión por la clave que me trae el cliente y, para avisar a Ana, recorro las suyas y envío. Si un
envío falla, la borro. Parece que está todo. Voy a abrir tres pestañas y a mandarles algo: funciona.»
Enseña: abre tres pestañas en la consola y envía. Después, en otro terminal, `python frozen.py`: una pestaña que se
conecta y no lee. Abre otra más y envía 40 dos veces: las que llegaron antes que la congelada siguen recibiendo; la que
llegó después deja de recibir, y los envíos no vuelven. Ni un error. Y con dos del mismo nombre, la primera, sorda.
Minutos: 8
Arranca: uvicorn paso_1:app --reload
"""

from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

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
        self.connections: dict[str, WebSocket] = {}
        self.users: dict[str, dict[str, None]] = defaultdict(dict)

    def join(self, user: str, connection_id: str, websocket: WebSocket) -> None:
        self.connections[connection_id] = websocket
        self.users[user][connection_id] = None

    def leave(self, user: str, connection_id: str) -> None:
        self.connections.pop(connection_id, None)
        self.users[user].pop(connection_id, None)

    async def send(self, user: str, message: dict[str, Any]) -> int:
        for connection_id in list(self.users[user]):
            try:
                await self.connections[connection_id].send_json(message)
            except WebSocketDisconnect:
                self.leave(user, connection_id)
        return len(self.users[user])


# endregion


manager = Manager()


@app.websocket("/ws/{user}")
async def listen(websocket: WebSocket, user: str, tab: str = "") -> None:
    await websocket.accept()
    manager.join(user, tab, websocket)
    await websocket.send_json({"type": "welcome", "id": tab, "tab": tab})
    with suppress(WebSocketDisconnect):
        while True:
            await websocket.receive_text()
    manager.leave(user, tab)


@app.post("/users/{user}/messages", status_code=202)
async def send(user: str, message: NewMessage) -> dict[str, int]:
    return {"queued": await manager.send(user, {"type": "message", "data": message.data})}


@app.get("/stats")
async def stats() -> dict[str, int]:
    return {"users": len(manager.users), "connections": len(manager.connections), "waiting": 0}
