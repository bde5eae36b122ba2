"""Mini-app de la lección 4: los mismos precios por sondeo, por SSE y por WebSocket, con los bytes contados.

uvicorn app:app        y abre la dirección que imprime (un solo proceso: los cables viven dentro)
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import streams
from fastapi import Depends, FastAPI, Header, HTTPException, Request, WebSocket, WebSocketDisconnect
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from shutdown import Outcome, Variant, try_shutdown
from sse_starlette import EventSourceResponse, ServerSentEvent
from streams import Tick, feed
from wires import Wires

HERE = Path(__file__).parent


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.wires = Wires()
    app.state.shutting = asyncio.Lock()
    async with app.state.wires.listening(), streams.ticking():
        yield


app = FastAPI(title="El mismo suceso por tres vías", lifespan=lifespan)
# La página habla con los cables, que son otros orígenes: sin este permiso el navegador no le daría nada.
app.add_middleware(CORSMiddleware, allow_origins=["*"])
app.include_router(streams.router)
app.mount("/common", StaticFiles(directory=HERE.parent / "common"), name="common")
app.mount("/page", StaticFiles(directory=HERE / "page"), name="page")


def known_wires(request: Request) -> Wires:
    """Los cables, que aprenden aquí adónde llevan: la dirección por la que llegó esta misma petición."""
    wires: Wires = request.app.state.wires
    wires.lead_to(request.scope["server"])
    return wires


WiresDep = Annotated[Wires, Depends(known_wires)]


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(HERE / "index.html")


class Poll(BaseModel):
    last: int
    ticks: list[Tick]


# region otras
@app.get("/ticks")
async def poll(after: int | None = None) -> Poll:
    """Sondeo: lo que haya de nuevo, y si no hay nada, una lista vacía que ha costado lo mismo."""
    position = feed.last if after is None else after
    return Poll(last=feed.last, ticks=[tick for _, tick in feed.after(position)])


@app.websocket("/ws/ticks")
async def websocket_ticks(websocket: WebSocket) -> None:
    await websocket.accept()
    with suppress(WebSocketDisconnect):
        async for _, tick in feed.follow(feed.last):
            await websocket.send_text(tick.model_dump_json())


# endregion


# region ingenuos
async def without_id() -> AsyncIterator[ServerSentEvent]:
    yield ServerSentEvent(retry=streams.RETRY_MS)
    async for _, tick in feed.follow(feed.last):
        yield ServerSentEvent(tick.model_dump_json())


@app.get("/naive/no-id")
async def events_without_id() -> EventSourceResponse:
    return EventSourceResponse(without_id())


@app.get("/naive/text-plain")
async def events_as_plain_text() -> EventSourceResponse:
    """Los mismos bytes que arriba; solo cambia el tipo de contenido."""
    return EventSourceResponse(without_id(), media_type="text/plain")


# endregion


@app.get("/naive/refused")
async def refused() -> None:
    raise HTTPException(503, "hoy no")


@app.get("/api/wires")
async def ports(wires: WiresDep) -> dict[str, int]:
    return {lane: wire.port for lane, wire in wires.by_lane.items()}


@app.post("/api/wires/reset", status_code=204)
async def reset(wires: WiresDep) -> None:
    wires.reset()


@app.post("/api/wires/{lane}/cut")
async def cut(lane: str, wires: WiresDep) -> dict[str, int]:
    if lane not in wires.by_lane:
        raise HTTPException(404, "no hay ningún cable con ese nombre; recarga la página")
    return {"connections": wires.by_lane[lane].cut()}


@app.get("/api/meters")
async def meters(wires: WiresDep) -> dict[str, dict[str, int]]:
    return {lane: asdict(wire.meter) for lane, wire in wires.by_lane.items()}


@app.get("/api/pieces")
async def pieces(wires: WiresDep, last_event_id: Annotated[str | None, Header()] = None) -> EventSourceResponse:
    """Lo que baja por los cables, en vivo; a quien vuelve, también lo que ha bajado mientras no estaba."""
    mine, _, number = (last_event_id or f"{streams.epoch}-{wires.pieces.last}").partition("-")
    return EventSourceResponse(raw_pieces(wires, int(number) if mine == streams.epoch else 0))


async def raw_pieces(wires: Wires, position: int) -> AsyncIterator[ServerSentEvent]:
    yield ServerSentEvent(retry=streams.RETRY_MS)
    async for number, piece in wires.pieces.follow(position):
        yield ServerSentEvent(piece.model_dump_json(), id=f"{streams.epoch}-{number}")


@app.get("/api/ping")
async def ping() -> dict[str, int]:
    return {"streams": len(streams.streams)}


@app.post("/api/shutdown/{variant}")
async def shutdown(variant: Variant, request: Request) -> Outcome:
    """Uno cada vez: cada experimento arranca un servidor aparte."""
    async with request.app.state.shutting:
        try:
            return await try_shutdown(variant)
        except TimeoutError as error:
            raise HTTPException(504, "el servidor del experimento no arrancó; vuelve a pulsar") from error
