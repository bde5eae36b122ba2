"""Paso 5: apagarse. Lo que se abre en el lifespan se cierra en el lifespan, y las tareas se esperan.

Di: «Ningún manejador de señales: uvicorn ya atiende SIGTERM. Cierra los WebSockets con 1012, que quiere decir "vuelvo
enseguida", y espera a las peticiones. Lo único que no sabe acabar es un flujo; de eso se ocupa la respuesta de
sse-starlette. Cuando ya no queda nadie, sigue mi lifespan: cancelo mis tareas y las espero, con un plazo.»
Enseña: abre dos pestañas y `curl -N http://127.0.0.1:8000/events`, lanza un informe con
`curl -X POST http://127.0.0.1:8000/reports` y pulsa Ctrl+C. Las pestañas leen 1012, curl acaba y el terminal dice
«informe guardado». Después borra el `asyncio.wait` y repite: ya no lo dice.
Minutos: 7
Arranca: uvicorn paso_5:app --timeout-graceful-shutdown 5
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse
from pydantic import BaseModel
from sse_starlette import EventSourceResponse, ServerSentEvent

# region apagar
GRACE_SECONDS = 1.0
SAVE_SECONDS = 0.1
reports: set[asyncio.Task[None]] = set()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Lo de detrás del yield se ejecuta cuando ya no queda ninguna conexión, y todavía hay bucle de eventos."""
    yield
    for report in reports:
        report.cancel()
    if reports:
        await asyncio.wait(reports, timeout=GRACE_SECONDS)


# endregion

app = FastAPI(lifespan=lifespan)


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


# region flujo
@app.get("/events")
async def events() -> EventSourceResponse:
    return EventSourceResponse(stats_stream())


async def stats_stream() -> AsyncIterator[ServerSentEvent]:
    while True:
        yield ServerSentEvent(str(await stats()))
        await asyncio.sleep(1)


# endregion


# region informe
@app.post("/reports", status_code=202)
async def start_report() -> None:
    report = asyncio.create_task(make_report())
    reports.add(report)  # sin esta referencia, nadie podría cancelarlo ni esperarlo
    report.add_done_callback(reports.discard)


async def make_report() -> None:
    try:
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(SAVE_SECONDS)
        print("informe guardado", flush=True)


# endregion
