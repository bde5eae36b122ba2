"""5.2 Estampida

Un producto muy visitado caduca y, antes de que la fuente conteste, llegan doscientas peticiones: todas
fallan en la caché y todas van a la fuente. Haz que vaya una y que las demás la esperen, también si hay
varios procesos.

**`GET /products/{id}`** contesta el producto (200) o, si la fuente falla, 502. Lo que da la fuente se
guarda en la clave `product:{id}` durante `CACHE_TTL` segundos. De los fallos de Redis ya te ocupaste en
5.1: aquí está siempre.

- Para cargar un producto hay que tener su permiso: la clave `lock:product:{id}`, que en cada momento es de
  una sola petición, sea del proceso que sea. Mientras se carga un producto, los demás productos no esperan.
- El permiso **caduca** a los `LOCK_SECONDS` segundos, sin renovaciones: si quien cargaba ha muerto, otra
  petición toma el relevo.
- Al terminar, con producto o con fallo, se suelta; pero **solo si sigue siendo suyo**: si caducó y ahora lo
  tiene otra petición, no se toca.
- Quien no tiene el permiso espera a que el producto esté en la caché, o a que el permiso quede libre, y
  entonces le toca a ella. Cuando consigue el permiso mira otra vez la caché: quizá acaban de llenarla.
- Un fallo de la fuente es un 502 para la petición que cargaba, y para ninguna más: otra lo intenta.
- Quien lleva `WAIT_SECONDS` segundos esperando a otras contesta 503.

Variables de entorno: `REDIS_URL` y `SOURCE_URL`, como en 5.1; `CACHE_TTL` (300), `LOCK_SECONDS` (10) y
`WAIT_SECONDS` (5), en segundos y con decimales.

Ejemplo, con la caché vacía:

    200 × GET /products/7    200 × 200    la fuente recibe una petición
"""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from weakref import WeakValueDictionary

import httpx
from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel
from redis.asyncio import BlockingConnectionPool, Redis

REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
SOURCE_URL = os.environ.get("SOURCE_URL", "http://127.0.0.1:8005/source")
SOURCE_SOCKET = os.environ.get("SOURCE_SOCKET")  # los controles sirven la fuente en un socket Unix
CACHE_TTL = float(os.environ.get("CACHE_TTL", "300"))
LOCK_SECONDS = float(os.environ.get("LOCK_SECONDS", "10"))
WAIT_SECONDS = float(os.environ.get("WAIT_SECONDS", "5"))
POLL_SECONDS = 0.02

# Soltar sin mirar de quién es borraría el permiso de otro. Mirar y borrar tiene que ser una sola operación.
RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class Product(BaseModel):
    id: str
    name: str
    price: int


class Permit:
    """El permiso para cargar un producto: como mucho, uno en todo el sistema."""

    def __init__(self, redis: Redis, key: str) -> None:
        self.redis, self.key = redis, f"lock:{key}"
        self.token = secrets.token_hex(8)

    async def acquire(self) -> bool:
        """Intenta conseguirlo, sin esperar."""
        # TODO 1: Escribe tu token en la clave solo si está libre (nx=True) y con caducidad (px=).
        return False

    async def release(self) -> None:
        """Lo suelta si sigue siendo suyo."""
        # TODO 2: Ejecuta RELEASE con tu clave y tu token: redis.eval(script, número de claves, …).
        return


class Catalog:
    def __init__(self, redis: Redis, source: httpx.AsyncClient) -> None:
        self.redis, self.source = redis, source
        self.turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def get(self, product_id: str) -> Product:
        """El producto, de la caché o de la fuente."""
        return await self.recall(f"product:{product_id}") or await self.load_once(product_id)

    async def recall(self, key: str) -> Product | None:
        raw = await self.redis.get(key)
        return Product.model_validate_json(raw) if raw else None

    async def fetch(self, product_id: str) -> Product:
        """Lo pide a la fuente y lo guarda; 502 si la fuente falla."""
        try:
            response = await self.source.get(f"/products/{product_id}")
            product = Product.model_validate(response.raise_for_status().json())
        except (httpx.HTTPError, ValueError):
            raise HTTPException(502, "La fuente no contesta") from None
        await self.redis.set(f"product:{product_id}", product.model_dump_json(), px=round(CACHE_TTL * 1000))
        return product

    async def load_once(self, product_id: str) -> Product:
        """Carga el producto, o espera a que lo cargue otra petición."""
        # TODO 3: Mientras no esté en la caché, intenta conseguir el permiso (y entonces carga) o
        #   espera un poco; pasados WAIT_SECONDS, 503. ¿Y si cien peticiones de este proceso preguntan a Redis
        #   a la vez? Con self.turn() solo lo hace una; las demás esperan aquí su turno. Es opcional.
        raise HTTPException(501, "Sin hacer")

    async def load(self, product_id: str, permit: Permit) -> Product:
        """Con el permiso en la mano: mira otra vez la caché, carga y, pase lo que pase, suéltalo."""
        # TODO 4: Usa self.recall, self.fetch y permit.release.
        return await self.fetch(product_id)

    @asynccontextmanager
    async def turn(self, key: str) -> AsyncIterator[None]:
        """El turno de este proceso para esa clave; 503 si no llega en WAIT_SECONDS."""
        lock = self.turns.setdefault(key, asyncio.Lock())
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await lock.acquire()
        except TimeoutError:
            raise HTTPException(503, "Demasiada espera") from None
        try:
            yield
        finally:
            lock.release()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    # El grupo de conexiones normal lanza un error cuando se acaban; este espera a que quede una libre.
    pool = BlockingConnectionPool.from_url(REDIS_URL, max_connections=50)
    transport = httpx.AsyncHTTPTransport(uds=SOURCE_SOCKET, verify=False)
    client = httpx.AsyncClient(base_url=SOURCE_URL, transport=transport)
    async with Redis.from_pool(pool) as redis, client as source:
        app.state.catalog = Catalog(redis, source)
        yield


app = FastAPI(title="Estampida", lifespan=lifespan)


def get_catalog(request: Request) -> Catalog:
    catalog: Catalog = request.app.state.catalog
    return catalog


@app.get("/products/{product_id}")
async def read_product(product_id: str, catalog: Annotated[Catalog, Depends(get_catalog)]) -> Product:
    return await catalog.get(product_id)
