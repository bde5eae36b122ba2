"""El primer viaje: una app pequeña atiende unas peticiones antes de que nazca ninguna otra.

FastAPI, uvicorn y anyio dejan para el primer uso parte de lo que importan y preparan. Hecho una vez en el proceso
caliente, lo heredan todos los que salen de él: una app arranca en menos de la mitad de tiempo.
"""

import asyncio
import contextlib
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException, Query, WebSocket
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from websockets.asyncio.client import unix_connect

from taller.runner.run import Address
from taller.short_paths import short_root

SECONDS = 5.0
# En unas pocas vueltas el intérprete especializa el código por el que pasan: también eso se hereda.
TRIPS = 10
REQUESTS = (
    b'POST /letters/1?kind=short HTTP/1.1\r\nHost: app\r\nContent-Length: 15\r\n\r\n{"text":"hola"}',
    b"GET /nobody HTTP/1.1\r\nHost: app\r\n\r\n",
    b"GET /stream HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n",
)


class Letter(BaseModel):
    text: str = Field(max_length=200)
    copies: int = 1


def warm_up() -> None:
    """Hace el viaje con el bucle de uvicorn. Si no llega, las apps tardarán más, y lo que falle lo dirán ellas."""
    with (
        contextlib.suppress(Exception, SystemExit),
        asyncio.Runner(loop_factory=_config().get_loop_factory()) as runner,
    ):
        runner.run(travel(_speak))


async def travel(speak: Callable[[Address], Awaitable[None]]) -> None:
    """Sirve la app mientras `speak` habla con ella, unas cuantas veces."""
    with tempfile.TemporaryDirectory(prefix="taller-", dir=short_root()) as folder:
        address = Address(path=str(Path(folder, "app.sock")))
        server = uvicorn.Server(_config())
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address.path)
            # Escucha ya: quien llame antes de que el servidor esté listo, espera en la cola.
            listener.listen()
            async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as group:
                group.create_task(server.serve([listener]))
                for _ in range(TRIPS):
                    await speak(address)
                server.should_exit = True


def build() -> FastAPI:
    """Una app con una ruta de cada clase de las del curso."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield

    app = FastAPI(lifespan=lifespan)

    async def sender(authorization: Annotated[str, Header()] = "") -> str:
        return authorization

    @app.post("/letters/{number}", status_code=201)
    async def write(
        number: int, letter: Letter, sender: Annotated[str, Depends(sender)], kind: Annotated[str, Query()] = ""
    ) -> Letter:
        return letter

    @app.get("/nobody")
    async def nobody() -> None:
        raise HTTPException(404)

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            yield "data: 1\n\n"

        return StreamingResponse(lines(), media_type="text/event-stream")

    @app.websocket("/ws")
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json(await websocket.receive_json())
        await websocket.close()

    return app


def _config() -> uvicorn.Config:
    return uvicorn.Config(build, factory=True, log_config=None, log_level="critical")


async def _speak(address: Address) -> None:
    reader, writer = await asyncio.open_unix_connection(address.path)
    writer.writelines(REQUESTS)
    await reader.read()
    writer.close()
    async with unix_connect(address.path, "ws://app/ws") as connection:
        await connection.send('{"text": "hola"}')
        await connection.recv()
