"""5.1 Cache-aside

La fuente de los productos es lenta: una API ajena que no puedes cambiar. Pon delante una caché en Redis que
la alivie mientras pueda y que no estorbe cuando no.

**`GET /products/{id}`** contesta el producto, `{"id": "7", "name": "té verde", "price": 450}`, tal como lo
da la fuente, o 404 si no existe. `GET /ping` ya está escrito y debe contestar siempre al momento.

La fuente es `GET {SOURCE_URL}/products/{id}`: 200 con el producto, 404 si no existe, 5xx si está averiada.

- La primera lectura va a la fuente y se guarda en la clave `product:{id}` (un valor con SET); las
  siguientes, no.
- Un producto caduca a los `CACHE_TTL` segundos más un margen al azar de hasta un 20 %: si todos caducaran a
  la vez, la fuente recibiría todas las peticiones a la vez.
- Que un producto no exista también se recuerda, en la misma clave, pero solo `NEGATIVE_TTL` segundos.
- Si la fuente falla, contesta 502 y no guardes nada.
- Una entrada que no se puede leer (no es JSON, o no es un producto con sus tres campos) es como si no
  estuviera: se lee de la fuente y se sustituye.
- Con Redis caído o mudo, se contesta desde la fuente en menos de 1 s. Cuando vuelva, la caché vuelve sola.
  A cada operación de Redis se le espera `REDIS_TIMEOUT` segundos, ni más ni menos.

Variables de entorno: `REDIS_URL` (redis://127.0.0.1:6379), `SOURCE_URL` (http://127.0.0.1:8005/source, la
fuente de la mini-app con `python3 curso.py demo 05 --puerto 8005`), `CACHE_TTL` (300), `NEGATIVE_TTL` (5) y
`REDIS_TIMEOUT` (0.3), en segundos y con decimales.

Ejemplo, con la caché vacía:

    GET /products/7    200 {"id": "7", "name": "té verde", "price": 450}    la fuente recibe una petición
    GET /products/7    200 lo mismo                                         la fuente no se entera
    GET /products/99   404                                                  la fuente recibe una petición
    GET /products/99   404                                                  la fuente no se entera
"""

import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated

import httpx
from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel, TypeAdapter
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
SOURCE_URL = os.environ.get("SOURCE_URL", "http://127.0.0.1:8005/source")
SOURCE_SOCKET = os.environ.get("SOURCE_SOCKET")  # los controles sirven la fuente en un socket Unix
CACHE_TTL = float(os.environ.get("CACHE_TTL", "300"))
NEGATIVE_TTL = float(os.environ.get("NEGATIVE_TTL", "5"))
REDIS_TIMEOUT = float(os.environ.get("REDIS_TIMEOUT", "0.3"))


class Product(BaseModel):
    id: str
    name: str
    price: int


Known = TypeAdapter[Product | None](Product | None)  # lo que se sabe de un producto; None: que no existe


class NotCached(Exception):
    """La caché no sabe nada de esa clave."""


def connect() -> Redis:
    """Un cliente de Redis que se rinde pronto: la caché es una ayuda, no un requisito."""
    # TODO 1: Ponle plazo a conectar y a leer, que por defecto son segundos, y ningún reintento.
    return Redis.from_url(REDIS_URL)


async def fetch(source: httpx.AsyncClient, product_id: str) -> Product | None:
    """El producto según la fuente; None si no existe; 502 si la fuente falla."""
    try:
        response = await source.get(f"/products/{product_id}")
        if response.status_code == 404:
            return None
        return Product.model_validate(response.raise_for_status().json())
    except (httpx.HTTPError, ValueError):
        raise HTTPException(502, "La fuente no contesta") from None


async def recall(redis: Redis, key: str) -> Product | None:
    """Lo que la caché sabe; lanza NotCached si no sabe nada, no se entiende o Redis no contesta."""
    # TODO 2: Lee la clave y conviértela con Known.validate_json (lanza ValueError si no vale). ¿Qué
    #   puede lanzar Redis? RedisError u OSError.
    raise NotCached


async def remember(redis: Redis, key: str, product: Product | None) -> None:
    """Guarda lo que se sabe el tiempo que toca; si Redis no contesta, no pasa nada."""
    # TODO 3: Guarda Known.dump_json(product) con caducidad en milisegundos (px=): corta si no existe,
    #   larga y sorteada si existe.
    return


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    transport = httpx.AsyncHTTPTransport(uds=SOURCE_SOCKET, verify=False)
    client = httpx.AsyncClient(base_url=SOURCE_URL, transport=transport)
    async with connect() as redis, client as source:
        app.state.redis, app.state.source = redis, source
        yield


app = FastAPI(title="Cache-aside", lifespan=lifespan)


def get_redis(request: Request) -> Redis:
    redis: Redis = request.app.state.redis
    return redis


def get_source(request: Request) -> httpx.AsyncClient:
    source: httpx.AsyncClient = request.app.state.source
    return source


RedisDep = Annotated[Redis, Depends(get_redis)]
SourceDep = Annotated[httpx.AsyncClient, Depends(get_source)]


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/products/{product_id}")
async def read_product(product_id: str, redis: RedisDep, source: SourceDep) -> Product:
    # TODO 4: Pregunta a la caché; si no sabe nada, a la fuente, y recuérdalo. None es un 404.
    raise HTTPException(501, "Sin hacer")
