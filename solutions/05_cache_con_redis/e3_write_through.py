"""5.3 Write-through

Escribir en dos sitios, la fuente y la caché, es fácil. Que no se contradigan cuando escriben y leen varios
a la vez, no tanto: la última en llegar a la caché no tiene por qué ser la última que llegó a la fuente.

**`GET /products/{id}`** contesta `{"id": "7", "name": "té verde", "price": 450, "version": 3}`, de la caché
si puede. **`PUT /products/{id}`** recibe `{"price": 500}`, lo cambia en la fuente y contesta el producto
con su nueva versión.

La fuente, en `{SOURCE_URL}/products/{id}`, contesta a los mismos `GET` y `PUT` con el producto. Cada cambio
le suma uno a `version`: de dos versiones de un producto, la mayor es la más reciente.

Lo que se promete a los clientes, con uno o con varios procesos:

- **Cuando un `PUT` ha contestado, ningún `GET` que empiece después contesta una versión anterior.** Da
  igual que otra escritura o una lectura lenta, empezadas antes, terminen después.
- Si la fuente no acepta el cambio (5xx), el `PUT` contesta 502 y nadie ve el precio nuevo en ningún
  momento.
- Si el producto no existe, `GET` y `PUT` contestan 404 y no se guarda nada: si lo crean después, se ve al
  momento.
- Que la fuente tarde en contestar a una petición no hace esperar a las demás.
- Sin cambios de por medio, las lecturas repetidas no van a la fuente; tras un cambio, como mucho va una.

Las claves y la forma de lo guardado las eliges tú; caduca a los `CACHE_TTL` segundos. Hay más de una
solución buena: esta guarda la versión con el producto y un guion Lua decide, sin que nadie se cuele, si lo
que llega es más reciente. (Borrar al escribir también vale, si quien rellena comprueba que nadie ha escrito
mientras leía.)

Variables de entorno: `REDIS_URL` y `SOURCE_URL`, como en 5.1, y `CACHE_TTL` (300 segundos).

Ejemplo:

    GET /products/7                    200 {"id": "7", "name": "té verde", "price": 450, "version": 1}
    PUT /products/7  {"price": 500}    200 {"id": "7", "name": "té verde", "price": 500, "version": 2}
    GET /products/7                    200 {"id": "7", "name": "té verde", "price": 500, "version": 2}
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel
from redis.asyncio import BlockingConnectionPool, Redis

REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
SOURCE_URL = os.environ.get("SOURCE_URL", "http://127.0.0.1:8005/source")
SOURCE_SOCKET = os.environ.get("SOURCE_SOCKET")  # los controles sirven la fuente en un socket Unix
CACHE_TTL = float(os.environ.get("CACHE_TTL", "300"))


class Change(BaseModel):
    price: int


class Product(BaseModel):
    id: str
    name: str
    price: int
    version: int


# region TODO 1: Un guion que guarde el producto ARGV[2] en el hash KEYS[1] solo si su versión, ARGV[1], es
#   mayor que la guardada (campo «version»; tonumber() para comparar números), con caducidad de ARGV[3] ms
#   (PEXPIRE).
#: STORE_IF_NEWER = "return 0"
STORE_IF_NEWER = """
local held = redis.call('HGET', KEYS[1], 'version')
if held and tonumber(held) >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'product', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""
# endregion


class Catalog:
    def __init__(self, redis: Redis, source: httpx.AsyncClient) -> None:
        self.redis, self.source = redis, source

    async def ask(self, method: str, product_id: str, body: dict[str, Any] | None = None) -> Product:
        """El producto, según la fuente: 404 si no existe, 502 si falla."""
        try:
            response = await self.source.request(method, f"/products/{product_id}", json=body)
            if response.status_code == 404:
                raise HTTPException(404, "No existe")
            return Product.model_validate(response.raise_for_status().json())
        except (httpx.HTTPError, ValueError):
            raise HTTPException(502, "La fuente no contesta") from None

    async def store(self, product: Product) -> None:
        """Lo guarda en la caché, salvo que ya haya ahí una versión igual o más reciente."""
        # region TODO 2: Ejecuta el guion: self.redis.eval(script, número de claves, clave, argumentos…).
        #: return
        ttl = round(CACHE_TTL * 1000)
        body = product.model_dump_json()
        await self.redis.eval(STORE_IF_NEWER, 1, f"product:{product.id}", product.version, body, ttl)
        # endregion

    async def read(self, product_id: str) -> Product:
        # region TODO 3: De la caché (campo «product» del hash) o, si no está, de la fuente, guardándolo con
        #   store().
        #: raise HTTPException(501, "Sin hacer")
        raw = await self.redis.hget(f"product:{product_id}", "product")
        if raw is not None:
            return Product.model_validate_json(raw)
        product = await self.ask("GET", product_id)
        await self.store(product)
        return product
        # endregion

    async def write(self, product_id: str, change: Change) -> Product:
        # region TODO 4: ¿Qué va antes, la fuente o la caché? Piensa qué pasa si la segunda no llega a
        #   hacerse.
        #: raise HTTPException(501, "Sin hacer")
        product = await self.ask("PUT", product_id, change.model_dump())
        await self.store(product)
        return product
        # endregion


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    pool = BlockingConnectionPool.from_url(REDIS_URL, max_connections=50)
    transport = httpx.AsyncHTTPTransport(uds=SOURCE_SOCKET, verify=False)
    client = httpx.AsyncClient(base_url=SOURCE_URL, transport=transport)
    async with Redis.from_pool(pool) as redis, client as source:
        app.state.catalog = Catalog(redis, source)
        yield


app = FastAPI(title="Write-through", lifespan=lifespan)


def get_catalog(request: Request) -> Catalog:
    catalog: Catalog = request.app.state.catalog
    return catalog


CatalogDep = Annotated[Catalog, Depends(get_catalog)]


@app.get("/products/{product_id}")
async def read_product(product_id: str, catalog: CatalogDep) -> Product:
    return await catalog.read(product_id)


@app.put("/products/{product_id}")
async def change_product(product_id: str, change: Change, catalog: CatalogDep) -> Product:
    return await catalog.write(product_id, change)
