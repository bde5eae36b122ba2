"""7.3 Límite en Redis

El mismo límite, para todos los procesos. En 7.2 la cuenta estaba en la memoria de uno: con cuatro procesos se permite
el cuádruple, y al reiniciar se empieza de cero. Llévala en Redis, y que mirar y apuntar sean **una sola** operación.

**`POST /messages`** con `{"user": "ana", "text": "hola"}` contesta

    202 {"remaining": 2}                              se acepta; en esta ventana le caben otros 2
    429 {"retry_after": 1.25}  y  Retry-After: 2      no se acepta; podrá dentro de 1,25 s
    503  y  Retry-After: 1                            Redis no contesta, y no se sabe

- A cada usuario se le aceptan `LIMIT` mensajes en los últimos `WINDOW_SECONDS` segundos, los reciban los procesos que
  los reciban, a la vez o no, y aunque alguno acabe de arrancar. La ventana se desliza, como en 7.2.
- Un mensaje rechazado no cuenta.
- Un mensaje cuenta desde el instante en que **Redis** lo apunta, según el reloj de Redis: los de los procesos no tienen
  por qué coincidir, y entre que uno mira su reloj y Redis lo atiende puede pasar tiempo.
- Cada clave que dejes en Redis caduca: de un usuario que no vuelve no queda nada a los `WINDOW_SECONDS` segundos (o muy
  poco después).
- `retry_after` son segundos con decimales; la cabecera `Retry-After`, que no los admite, los mismos redondeados hacia
  arriba.
- Sin Redis se contesta 503, y no se acepta nada sin contarlo. Cuando vuelve, todo sigue solo.

Variables de entorno: `REDIS_URL` (redis://127.0.0.1:6379), `REDIS_TIMEOUT` (1, en segundos y con decimales), `LIMIT`
(10) y `WINDOW_SECONDS` (60, con decimales).

Ejemplo, con LIMIT=2 y WINDOW_SECONDS=10:

    POST /messages {"user": "ana", "text": "a"}    202 {"remaining": 1}
    POST /messages {"user": "ana", "text": "b"}    202 {"remaining": 0}    (lo ha recibido otro proceso)
    POST /messages {"user": "ana", "text": "c"}    429 {"retry_after": 9.3}, Retry-After: 10
"""

import math
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
REDIS_TIMEOUT = float(os.environ.get("REDIS_TIMEOUT", "1"))
LIMIT = int(os.environ.get("LIMIT", "10"))
WINDOW_SECONDS = float(os.environ.get("WINDOW_SECONDS", "60"))
MICROSECONDS = 1_000_000

# TODO 1: Todo lo que hay que hacer en Redis, de una vez. KEYS[1] es un conjunto ordenado con los mensajes que
#   cuentan, y su puntuación es el instante; ARGV: el límite, la ventana en microsegundos y un nombre único para este
#   mensaje. Devuelve {1, cuántos caben aún} o {0, microsegundos hasta que quepa otro}. Órdenes: TIME (da segundos y
#   microsegundos, en dos textos), ZREMRANGEBYSCORE, ZCARD, ZRANGE … WITHSCORES, ZADD y PEXPIRE (en milisegundos).
TAKE = "return {1, 0}"


class Message(BaseModel):
    user: str
    text: str


@dataclass(frozen=True)
class Decision:
    """Si se acepta; `remaining` son los mensajes que caben aún y `retry_after`, los segundos hasta que quepa otro."""

    allowed: bool
    remaining: int = 0
    retry_after: float = 0.0


class Limiter:
    def __init__(self, redis: Redis) -> None:
        # Envía el guion entero solo la primera vez, y otra si Redis se ha reiniciado y no lo conoce.
        self.take = redis.register_script(TAKE)

    async def ask(self, user: str) -> Decision:
        """Apunta un mensaje de `user`, si cabe. RedisError u OSError si Redis no contesta."""
        # TODO 2: await self.take(keys=[…], args=[…]) ejecuta el guion. Un usuario, una clave.
        return Decision(True)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    # Este grupo de conexiones espera a que quede una libre; el normal lanza un error cuando se acaban.
    pool = BlockingConnectionPool.from_url(
        REDIS_URL,
        max_connections=50,
        timeout=REDIS_TIMEOUT,
        socket_timeout=REDIS_TIMEOUT,
        socket_connect_timeout=REDIS_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
    )
    async with Redis.from_pool(pool) as redis:
        app.state.limiter = Limiter(redis)
        yield


app = FastAPI(title="Límite en Redis", lifespan=lifespan)


def get_limiter(request: Request) -> Limiter:
    limiter: Limiter = request.app.state.limiter
    return limiter


@app.post("/messages", status_code=202)
async def accept(message: Message, limiter: Annotated[Limiter, Depends(get_limiter)]) -> JSONResponse:
    # TODO 3: Pregunta al limitador y contesta 202, 429 (con las dos formas de decir cuándo) o 503.
    return JSONResponse({"remaining": LIMIT}, 202)
