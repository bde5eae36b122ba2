"""Paso 5: WebSocket. La misma conexión, en los dos sentidos.

Di: «Hasta aquí, el servidor podía hablar primero pero el cliente no podía contestar por la misma vía. Ahora
sí: una tarea envía los precios y esta función escucha. Lo siguiente, en la lección 2.»
Enseña: las cuatro columnas a la vez. En la consola del navegador:
    s = new WebSocket(location.href.replace(/^http/, "ws") + "ws/price"); s.onopen = () => s.send("move")
y mira llegar el cambio a las cuatro.
Minutos: 5
Arranca: uvicorn paso_5:app --reload
"""

import asyncio
import json
import random
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Header, Query, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse
from pydantic import BaseModel
from sse_starlette import EventSourceResponse, ServerSentEvent


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    ticking = asyncio.create_task(tick())
    yield
    ticking.cancel()


async def tick() -> None:
    while True:
        await asyncio.sleep(random.uniform(1, 3))
        market.move()


app = FastAPI(lifespan=lifespan)


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page.html"))


# region mercado
class Quote(BaseModel):
    number: int
    price: float
    at: float


def next_to(price: float) -> float:
    return round(max(1.0, price + random.gauss(0, 0.6)), 2)


class Market:
    """El precio de ahora, y un aviso para todos los que esperan el siguiente."""

    def __init__(self) -> None:
        self.life = secrets.token_hex(3)
        self.past = deque([100.0], maxlen=500)
        while len(self.past) < 500:
            self.past.append(next_to(self.past[-1]))
        self.quote = Quote(number=1, price=self.past[-1], at=time.time())
        self._moved = asyncio.Event()

    def move(self) -> None:
        price = next_to(self.quote.price)
        self.quote = Quote(number=self.quote.number + 1, price=price, at=time.time())
        self.past.append(price)
        self._moved.set()
        self._moved = asyncio.Event()

    async def after(self, number: int) -> Quote:
        """Un precio distinto del que ya se tiene; si entre tanto ha habido varios, el último."""
        while self.quote.number == number:
            await self._moved.wait()
        return self.quote


market = Market()
# endregion


# region cuerpo
Depth = Annotated[int, Query(ge=0, le=500)]


def body(quote: Quote, depth: int) -> str:
    """El precio en JSON; con `depth`, también los últimos, que es como engordar la respuesta."""
    past = {"past": list(market.past)[-depth:]} if depth else {}
    return json.dumps({**quote.model_dump(), **past}, separators=(",", ":"))


# endregion


# region sondeo
@app.get("/api/price")
async def poll(depth: Depth = 0, if_none_match: Annotated[str, Header()] = "") -> Response:
    quote = market.quote
    tag = f'"{market.life}-{quote.number}-{depth}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if tag in if_none_match:
        return Response(status_code=304, headers=headers)
    return Response(body(quote, depth), media_type="application/json", headers=headers)


# endregion


# region sondeo_largo
WAIT = 20.0
LOOK = 0.5


@app.get("/api/price/next")
async def next_price(request: Request, after: int = 0, depth: Depth = 0) -> Response:
    """Espera por turnos cortos: entre uno y otro mira si se ha acabado el plazo o si el cliente se ha ido."""
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline and not await request.is_disconnected():
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK):
                quote = await market.after(after)
                return Response(body(quote, depth), media_type="application/json")
    return Response(status_code=204)


# endregion


# region sse
@app.get("/api/price/stream")
async def stream(depth: Depth = 0, last_event_id: Annotated[int, Header()] = 0) -> EventSourceResponse:
    return EventSourceResponse(events(last_event_id, depth))


async def events(number: int, depth: int) -> AsyncIterator[ServerSentEvent]:
    while True:
        quote = await market.after(number)
        number = quote.number
        yield ServerSentEvent(body(quote, depth), id=str(number))


# endregion


# region websocket
@app.websocket("/ws/price")
async def talk(websocket: WebSocket, depth: Depth = 0) -> None:
    await websocket.accept()
    sender = asyncio.create_task(send_prices(websocket, depth))
    try:
        while (message := await websocket.receive())["type"] != "websocket.disconnect":
            if message.get("text") == "move":
                market.move()
    finally:
        sender.cancel()


async def send_prices(websocket: WebSocket, depth: int) -> None:
    number = 0
    with suppress(WebSocketDisconnect):
        while True:
            quote = await market.after(number)
            number = quote.number
            await websocket.send_text(body(quote, depth))


# endregion
