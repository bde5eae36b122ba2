"""Paso 1: sondear. El servidor contesta con el precio de ahora; cuándo preguntar es cosa del cliente.

Di: «Esto es lo que sabéis hacer: una petición, una respuesta. El mercado se mueve solo, en una tarea que vive
lo que vive la aplicación. El servidor no puede avisar a nadie: solo contesta.»
Enseña: el mismo número repetido en la consola, cada segundo. ¿Cuántas respuestas no traían nada? ¿Y si
preguntamos cada cinco segundos? (Menos repetidos, y cambios que nadie vio.)
Minutos: 10
Arranca: uvicorn paso_1:app --reload
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

from fastapi import FastAPI, Query, Response
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
async def poll(depth: Depth = 0) -> Response:
    return Response(body(market.quote, depth), media_type="application/json")


# endregion
