"""Paso 2: sondear con memoria. La respuesta lleva una etiqueta; si sigue valiendo, un 304 sin cuerpo.

Di: «El cliente ya tiene la respuesta: no hace falta repetírsela. Le pongo una etiqueta; el navegador la
devuelve solo en la pregunta siguiente, y si es la de ahora contesto 304. La etiqueta lleva la vida del
proceso delante: si reinicio, el 7 de antes no es el 7 de ahora.»
Enseña: en las herramientas del navegador, pestaña Red, los 304 y lo que pesan. Luego di la verdad: se
ahorra el cuerpo, no la pregunta.
Minutos: 4
Arranca: uvicorn paso_2:app --reload
"""

import asyncio
import json
import random
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Header, Query, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel


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
