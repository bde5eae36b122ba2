"""Controles de 5.1: una caché que alivia a la fuente y que no estorba cuando falla."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import pytest

from taller.checking import App, Approx, Launch, Mismatch, Source, check, expect, patience
from taller.services import Valkey

SECTION = "1-cache-aside"
CACHE_TTL = Random().randint(1000, 3000)
NEGATIVE_TTL = Random().randint(20, 60)


@pytest.fixture(scope="module")
def app_env(valkey_server: Valkey, source_server: Source) -> dict[str, str]:
    ttls = {"CACHE_TTL": str(CACHE_TTL), "NEGATIVE_TTL": str(NEGATIVE_TTL)}
    return {"REDIS_URL": valkey_server.url, **source_server.env, **ttls}


def new_product(source: Source, rng: Random) -> dict[str, Any]:
    """Un producto que la fuente tiene y que nadie ha pedido todavía."""
    product_id = str(rng.randrange(10**6))
    product = {"id": product_id, "name": f"té {rng.randrange(100)}", "price": rng.randint(100, 900)}
    source.records[path_of(product)] = product
    return product


def path_of(product: dict[str, Any]) -> str:
    return f"/products/{product['id']}"


async def read(app: App, product: dict[str, Any], **options: Any) -> None:
    response = await app.get(path_of(product), status=200, **options)
    expect(response.json(), product, "el producto")


@contextmanager
def source_calls(source: Source, times: int, why: str) -> Iterator[None]:
    """Lo que pase dentro debe costarle a la fuente `times` peticiones."""
    before = len(source.calls)
    yield
    if len(source.calls) - before != times:
        raise Mismatch(f"{times} peticiones a la fuente {why}", f"{len(source.calls) - before}")


async def life_of(redis_server: Valkey, product_id: str) -> float:
    """Segundos que le quedan a lo guardado de un producto: -1, para siempre; -2, no está."""
    async with redis_server.client() as redis:
        left = await redis.pttl(f"product:{product_id}")
    return left / 1000 if left > 0 else float(left)


@check(
    1,
    "La primera lectura va a la fuente; las demás, a la caché",
    todo=4,
    section=SECTION,
    hints=(
        "Primero la caché; si lanza NotCached, la fuente; y lo que diga la fuente, a la caché.",
        "Si la fuente recibe todas las peticiones, mira qué hace remember() y en qué clave.",
        "recall() lanza NotCached cuando GET devuelve None; si no, convierte lo que hay.",
    ),
)
async def test_cached(app: App, redis_server: Valkey, source: Source, rng: Random) -> None:
    products = [new_product(source, rng) for _ in range(2)]
    with source_calls(source, 2, "para dos productos leídos tres veces"):
        for product in products * 3:
            await read(app, product)
    for product in products:
        expect(await life_of(redis_server, product["id"]) > -2, True, f"que exista la clave product:{product['id']}")


@check(
    2,
    "Que un producto no exista se recuerda, pero poco tiempo",
    todo=3,
    points=2,
    needs=("test_cached",),
    section="lo-que-no-existe-también-se-recuerda",
    hints=(
        "Un 404 de la fuente es una respuesta: guárdala también. None se escribe «null» en JSON.",
        "Si lo guardas el mismo tiempo que un producto, cuando lo creen nadie lo verá en una hora.",
        "ttl = NEGATIVE_TTL if product is None else …",
    ),
)
async def test_missing(app: App, redis_server: Valkey, source: Source, rng: Random) -> None:
    product = new_product(source, rng)
    del source.records[path_of(product)]
    with source_calls(source, 1, "para un producto que no existe, pedido tres veces"):
        for _ in range(3):
            await app.get(path_of(product), status=404)
    left = await life_of(redis_server, product["id"])
    expect(
        left,
        Approx(NEGATIVE_TTL * 0.7, NEGATIVE_TTL),
        f"segundos que se recuerda que no existe (NEGATIVE_TTL={NEGATIVE_TTL})",
    )
    source.records[path_of(product)] = product
    # Es lo que hará Redis dentro de NEGATIVE_TTL.
    async with redis_server.client() as redis:
        await redis.delete(f"product:{product['id']}")
    await read(app, product)


@check(
    3,
    "Los productos no caducan todos a la vez",
    todo=3,
    needs=("test_cached",),
    section="que-no-caduquen-todos-a-la-vez",
    hints=(
        "Cada producto dura CACHE_TTL más un margen propio, entre 0 y el 20 %.",
        "random.uniform(1.0, 1.2) da un factor distinto cada vez que se llama: llámalo al guardar.",
        "La caducidad se pone con el SET (px=, en milisegundos), no aparte: si mueres entre medias, no caduca nunca.",
    ),
)
async def test_jitter(app: App, redis_server: Valkey, source: Source, rng: Random) -> None:
    lives = []
    for _ in range(12):
        product = new_product(source, rng)
        await read(app, product)
        lives.append(await life_of(redis_server, product["id"]))
        expect(lives[-1], Approx(CACHE_TTL - 5, CACHE_TTL * 1.2), f"segundos de vida (CACHE_TTL={CACHE_TTL})")
    spread = max(lives) - min(lives)
    if spread < CACHE_TTL * 0.05:
        raise Mismatch(
            f"caducidades repartidas en un margen de {CACHE_TTL * 0.2:g} s",
            f"{len(lives)} productos que caducan en un intervalo de {spread:.2f} s",
        )


@check(
    4,
    "Una entrada que no se entiende se vuelve a cargar",
    todo=2,
    needs=("test_cached",),
    section="cuando-la-caché-no-se-entiende",
    hints=(
        "En la caché puede haber cualquier cosa: la escribió otra versión de tu programa.",
        "Known.validate_json lanza ValueError tanto si no es JSON como si no es un producto: es un NotCached.",
        "Que sea JSON no basta: un producto tiene sus tres campos.",
    ),
)
async def test_corrupt(app: App, redis_server: Valkey, source: Source, rng: Random) -> None:
    broken = [b'{"id": "7", "na', b"\xff\xfe\x00", b'{"codigo": 7, "precio": 450}', b'["7"]', b""]
    async with redis_server.client() as redis:
        for content in rng.sample(broken, len(broken)):
            product = new_product(source, rng)
            await redis.set(f"product:{product['id']}", content, ex=1000)
            with source_calls(source, 1, f"con {content!r} en la caché, y una lectura más"):
                await read(app, product)
                await read(app, product)


@check(
    5,
    "Un fallo de la fuente es un 502 y no se guarda",
    todo=4,
    needs=("test_cached",),
    section=SECTION,
    hints=(
        "fetch() ya lanza el 502: no lo captures, y guarda solo después de que haya devuelto algo.",
        "Un fallo no es un «no existe»: si lo guardas, durará más que la avería.",
    ),
)
async def test_source_failure(app: App, redis_server: Valkey, source: Source, rng: Random) -> None:
    product = new_product(source, rng)
    source.fail_next(2)
    for _ in range(2):
        await app.get(path_of(product), status=502)
    expect(await life_of(redis_server, product["id"]), -2.0, "lo guardado tras el fallo (-2: nada)")
    await read(app, product)


@check(
    6,
    "Mientras Redis no contesta, el proceso atiende lo demás",
    todo=1,
    points=2,
    needs=("test_cached",),
    section="el-cliente-síncrono-detiene-el-proceso-entero",
    hints=(
        "Redis está en pausa; la petición que lo espera no debe parar a las otras.",
        "redis.Redis bloquea el bucle de eventos entero; redis.asyncio.Redis espera con await y deja trabajar.",
        "Cuánto se espera a Redis lo dice REDIS_TIMEOUT: si la pausa es más corta, contesta la caché.",
    ),
)
async def test_loop_is_free(launch: Launch, redis_server: Valkey, source: Source, rng: Random) -> None:
    product = new_product(source, rng)
    pause = patience(0.4)
    async with launch(env={"REDIS_TIMEOUT": str(pause * 5)}) as app, redis_server.client() as redis:
        await read(app, product)
        with source_calls(source, 0, f"si Redis tarda {pause:g} s y REDIS_TIMEOUT es {pause * 5:g}"):
            await redis.client_pause(round(pause * 1000))
            reading = asyncio.create_task(read(app, product, within=3.0))
            pings = 0
            while not reading.done():
                await app.get("/ping", status=200, within=2.0)
                pings += 1
            await reading
    if pings < 5:
        raise Mismatch(
            f"muchas respuestas a /ping durante los {pause:g} s que Redis está en pausa",
            f"{pings}: las demás han tenido que esperar a Redis",
        )


@check(
    7,
    "Con Redis caído o mudo, se contesta en menos de 1 s",
    todo=1,
    points=2,
    needs=("test_cached",),
    section="cuando-redis-no-está",
    hints=(
        "Mudo: acepta la conexión y no dice nada. Sin plazo, se espera para siempre, o los 5 s de fábrica.",
        "Hacen falta dos plazos: socket_connect_timeout para conectar y socket_timeout para cada respuesta.",
        "Redis.from_url reintenta de fábrica, con esperas que crecen: retry=Retry(NoBackoff(), 0) falla a la primera.",
    ),
)
async def test_redis_quick(app: App, launch: Launch, redis_server: Valkey, source: Source, rng: Random) -> None:
    known, new = new_product(source, rng), new_product(source, rng)
    # Aquí solo se mide cuánto tarda; qué contesta, en el control siguiente.
    async with launch(env={"REDIS_TIMEOUT": "0.1"}, name="app con Redis mudo") as mute:
        await read(mute, known)
        redis_server.pause()
        await mute.get(path_of(new), within=1.0)
    redis_server.resume()
    await read(app, known)
    await redis_server.kill()
    for product in (known, new):
        await app.get(path_of(product), within=1.0)


@check(
    8,
    "Con Redis caído se contesta desde la fuente, y cuando vuelve, desde la caché",
    todo=2,
    points=2,
    needs=("test_redis_quick",),
    section="cuando-redis-no-está",
    hints=(
        "Con Redis caído, leer y guardar lanzan RedisError: ni una cosa ni otra debe impedir contestar.",
        "En recall() (TODO 2), ese error es un NotCached; en remember() (TODO 3), no pasa nada.",
        "Que se caiga con la app en marcha y conectada: el error llega al usar la conexión, no al crear el cliente.",
    ),
)
async def test_redis_down(app: App, redis_server: Valkey, source: Source, rng: Random) -> None:
    cached, other = new_product(source, rng), new_product(source, rng)
    await read(app, cached)
    await redis_server.kill()
    with source_calls(source, 3, "por tres lecturas con Redis caído"):
        for product in (cached, other, cached):
            await read(app, product)
    await redis_server.start()
    await cached_again(app, source, other)


async def cached_again(app: App, source: Source, product: dict[str, Any]) -> None:
    """Hay un plazo para que la app vuelva a usar la caché."""
    deadline = asyncio.get_running_loop().time() + patience(2.0)
    while asyncio.get_running_loop().time() < deadline:
        before = len(source.calls)
        await read(app, product)
        if len(source.calls) == before:
            return
    raise Mismatch("que la caché vuelva a usarse cuando Redis vuelve", "todas las lecturas siguen yendo a la fuente")
