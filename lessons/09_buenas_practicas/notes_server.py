"""El mismo servidor, con el gestor y la limpieza de los apuntes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.sse import EventSourceResponse
from notes import NotesManager, NotesResources
from work import NewMessage, Sizes, make_report, work

manager = NotesManager()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.resources = NotesResources()
    yield
    print("recursos cerrados", flush=True)


app = FastAPI(lifespan=lifespan)


@app.websocket("/ws/{user}")
async def tab(websocket: WebSocket, user: str, id: str) -> None:
    """`id` es la clave, y la elige el cliente."""
    await websocket.accept()
    app.state.resources.websockets.append(websocket)
    manager.join(user, id, websocket)
    await websocket.send_json({"type": "welcome", "id": id, "tab": id})
    with suppress(WebSocketDisconnect):
        while True:
            await websocket.receive_text()
    manager.leave(user, id)


@app.post("/users/{user}/messages", status_code=202)
async def send(user: str, message: NewMessage) -> None:
    await manager.send(user, {"type": "message", **message.model_dump()})


@app.get("/queues/{user}")
async def queues(user: str) -> Sizes:
    return Sizes(limit=None, queues=[])


@app.get("/events", response_class=EventSourceResponse)
async def events() -> AsyncIterator[dict[str, str]]:
    while True:
        yield {}
        await asyncio.sleep(1)


@app.post("/orders", status_code=201)
async def order() -> None:
    await work()


@app.post("/reports", status_code=202)
async def report() -> None:
    app.state.resources.tasks.append(asyncio.create_task(make_report()))
