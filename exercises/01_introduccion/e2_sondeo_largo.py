"""1.2 Sondeo largo

El sondeo largo le da la vuelta a la espera: el cliente pregunta una vez y es el servidor quien no contesta
hasta que tiene algo que decir. Los precios viven en `Store`, que hace de base de datos: leerla tarda
`READ_SECONDS`, como tardaría por la red, y **en ese rato el mundo no se para**.

**`PUT /prices/{symbol}`**, con `{"price": 12.5}`, guarda un precio y contesta 200 `{"last": 7}`: cada cambio
lleva un número, uno más que el anterior. El primero es el 1.

**`GET /prices?since=N`** contesta con lo que ha cambiado después del cambio N:

    200 {"last": 7, "prices": {"ACME": 12.5}}     el último número y los precios posteriores a N

- Si hay algo posterior a N, contesta en el acto.
- Si no lo hay, espera. En cuanto se guarda un precio, contesta: al mismo tiempo a todos los que esperan,
  que pueden ser muchos, y sin dejar de atender a los demás.
- Si pasan `WAIT_SECONDS` sin nada nuevo, contesta 204, sin cuerpo; el cliente volverá a preguntar.
- Si N es **mayor** que el último número, ese cliente viene de antes de que el servidor se reiniciara, y no hay
  que hacerle esperar: contesta en el acto con todos los precios (`Store.read` ya los devuelve), aunque no haya
  ninguno: `{"last": 0, "prices": {}}`.
- Si el cliente se va sin esperar la respuesta, la petición acaba: ni ocupa memoria ni cuenta en `/waiting`.

**`GET /waiting`** contesta cuántas peticiones a `GET /prices` están sin acabar: `{"waiting": 2}`. Ya está
escrito; cuenta bien si tu espera acaba cuando debe (en menos de medio segundo, si el cliente se va).

Variables de entorno: `WAIT_SECONDS` (25) y `READ_SECONDS` (0.005).

Ejemplo:

    GET /prices?since=0      200 {"last": 7, "prices": {"ACME": 12.5, "ZETA": 3.0}}
    GET /prices?since=7      …espera…
    PUT /prices/ZETA {"price": 3.1}      200 {"last": 8}
                             200 {"last": 8, "prices": {"ZETA": 3.1}}
"""

import asyncio
import os
from dataclasses import dataclass, field

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

WAIT_SECONDS = float(os.environ.get("WAIT_SECONDS", "25"))
READ_SECONDS = float(os.environ.get("READ_SECONDS", "0.005"))

app = FastAPI(title="Sondeo largo")


class Price(BaseModel):
    price: float


class News(BaseModel):
    last: int
    prices: dict[str, float]


@dataclass
class Store:
    """El último precio de cada símbolo y el número del cambio en que se puso."""

    last: int = 0
    changes: dict[str, tuple[int, float]] = field(default_factory=dict)

    def write(self, symbol: str, price: float) -> int:
        self.last += 1
        self.changes[symbol] = (self.last, price)
        return self.last

    async def read(self, since: int) -> News:
        """Lo posterior a `since`, tal como estaba al preguntar; todo, si `since` es de otra vida del servidor."""
        start = since if since <= self.last else 0
        prices = {symbol: price for symbol, (number, price) in self.changes.items() if number > start}
        news = News(last=self.last, prices=prices)
        await asyncio.sleep(READ_SECONDS)  # la respuesta viaja
        return news


class Bell:
    """El timbre que suena con cada cambio: `await bell.next_ring.wait()`."""

    def __init__(self) -> None:
        self.next_ring = asyncio.Event()

    def ring(self) -> None:
        # TODO 1: Despierta a todos los que esperan y deja un timbre sin sonar para los que lleguen después.
        return


store = Store()
bell = Bell()
waiting: set[Request] = set()


@app.put("/prices/{symbol}")
async def set_price(symbol: str, new: Price) -> dict[str, int]:
    last = store.write(symbol, new.price)
    bell.ring()
    return {"last": last}


async def newer(since: int) -> News:
    """Las novedades, en cuanto las haya. Mientras no las hay, espera al timbre y vuelve a leer."""
    # TODO 2: Mira cuándo contesta el enunciado en el acto. ¿Y si el timbre suena mientras estás leyendo?
    return await store.read(0)


async def gone(request: Request) -> None:
    """Termina cuando el cliente se va."""
    # TODO 3: request.receive() da los avisos del servidor; el último es {"type": "http.disconnect"}.
    await asyncio.sleep(WAIT_SECONDS)


async def wait_for_news(request: Request, since: int) -> News | None:
    """Las novedades; None si se acaba el plazo o el cliente se va antes."""
    # TODO 4: Espera a lo primero que ocurra de las tres cosas, y no dejes ninguna tarea en marcha.
    return await newer(since)


@app.get("/prices", response_model=News)
async def get_prices(request: Request, since: int = 0) -> News | Response:
    waiting.add(request)
    try:
        news = await wait_for_news(request, since)
    finally:
        waiting.discard(request)
    return news or Response(status_code=204)


@app.get("/waiting")
async def count_waiting() -> dict[str, int]:
    return {"waiting": len(waiting)}
