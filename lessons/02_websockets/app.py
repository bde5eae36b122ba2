"""Mini-app de la lección 2: un chat que enseña cada trama WebSocket que cruza el cable.

uvicorn app:app        y abre la dirección que imprime (un solo proceso: el relé vive dentro)
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated

import chat
from fastapi import Depends, FastAPI, Header, HTTPException, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles
from handshakes import Exchange, Variant, try_handshake
from journal import Journal
from pydantic import BaseModel
from relay import Relay
from sse_starlette import EventSourceResponse, ServerSentEvent

HERE = Path(__file__).parent
journal = Journal()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with Relay(journal).listening() as relay:
        app.state.relay = relay
        yield


app = FastAPI(title="Un chat con el cable a la vista", lifespan=lifespan)
app.include_router(chat.router)
app.mount("/common", StaticFiles(directory=HERE.parent / "common"), name="common")
app.mount("/page", StaticFiles(directory=HERE / "page"), name="page")


def known_relay(request: Request) -> Relay:
    """El relé, que aprende aquí adónde reenviar: la dirección por la que llegó esta misma petición."""
    relay: Relay = request.app.state.relay
    relay.upstream = request.scope["server"]
    return relay


RelayDep = Annotated[Relay, Depends(known_relay)]


class RelayAddress(BaseModel):
    port: int


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(HERE / "index.html")


@app.get("/api/relay")
async def relay_address(relay: RelayDep) -> RelayAddress:
    return RelayAddress(port=relay.port)


@app.post("/api/connections/{number}/cut", status_code=204)
async def cut(number: int, relay: RelayDep) -> None:
    if not relay.cut(number):
        raise HTTPException(404, "esa conexión ya no está; recarga la página para ver las abiertas")


@app.post("/api/handshakes/{variant}")
async def handshake(variant: Variant, relay: RelayDep) -> Exchange:
    return await try_handshake(variant, relay.port)


@app.get("/api/frames")
async def frames(
    after: int | None = None, last_event_id: Annotated[int | None, Header()] = None
) -> EventSourceResponse:
    """Desde ahora; o desde `after`; o, si el navegador se reconecta, desde el último suceso que vio."""
    start = next((known for known in (last_event_id, after) if known is not None), journal.last)
    # sse-starlette y no `fastapi.sse`: cierra el flujo al apagar el servidor, y Ctrl+C no se queda esperando.
    return EventSourceResponse(wire_events(start))


async def wire_events(after: int) -> AsyncIterator[ServerSentEvent]:
    async for event in journal.follow(after):
        yield ServerSentEvent(event.model_dump_json(), id=str(event.seq))


# region eco
SUBPROTOCOL = "eco.v1"


@app.websocket("/ws/echo")
async def echo(websocket: WebSocket) -> None:
    """Devuelve lo que recibe. Sirve para medir, y para ver un subprotocolo negociado."""
    offered = SUBPROTOCOL in websocket.scope["subprotocols"]
    await websocket.accept(subprotocol=SUBPROTOCOL if offered else None)
    with suppress(WebSocketDisconnect):
        while True:
            await websocket.send_text(await websocket.receive_text())


# endregion


@app.post("/api/echo")
async def echo_over_http(request: Request) -> Response:
    """Lo mismo por HTTP: la misma carga, ida y vuelta, para comparar lo que pesa lo que la rodea."""
    # La página habla con el relé, que es otro origen: sin este permiso no podría leer la respuesta.
    allowed = {"Access-Control-Allow-Origin": "*"}
    return Response(await request.body(), media_type="text/plain", headers=allowed)
