"""Controles de 5.3: con escrituras y lecturas a la vez, nadie lee una versión que ya se sabía vieja."""

import asyncio
from random import Random
from typing import Any

import pytest

from taller.checking import App, Approx, Launch, Source, check, expect, frozen_after
from taller.services import Valkey

SECTION = "2-write-through"
CACHE_TTL = Random().randint(30, 200)


@pytest.fixture(scope="module")
def app_env(valkey_server: Valkey, source_server: Source) -> dict[str, str]:
    return {"REDIS_URL": valkey_server.url, **source_server.env, "CACHE_TTL": str(CACHE_TTL)}


def new_product(source: Source, rng: Random) -> str:
    """La ruta de un producto que la fuente tiene y que nadie ha pedido todavía."""
    product_id = str(rng.randrange(10**6))
    path = f"/products/{product_id}"
    source.records[path] = {
        "id": product_id,
        "name": f"té {rng.randrange(100)}",
        "price": rng.randint(100, 400),
        "version": rng.randint(1, 12),
    }
    return path


def new_price(rng: Random) -> int:
    return rng.randint(500, 900)


async def change(app: App, path: str, price: int, **options: Any) -> dict[str, Any]:
    response = await app.request("PUT", path, json={"price": price}, status=200, **options)
    product: dict[str, Any] = response.json()
    expect(product.get("price"), price, "el precio que contesta el PUT")
    return product


async def read(app: App, path: str, expected: dict[str, Any], what: str) -> None:
    expect((await app.get(path, status=200)).json(), expected, what)


@check(
    1,
    "Las lecturas repetidas no van a la fuente",
    todo=3,
    section=SECTION,
    hints=(
        "Primero la caché; si no está, la fuente, y guárdalo con store().",
        "Si todas van a la fuente, mira si store() llega a guardar algo: el guion del TODO 1 devuelve 1 cuando guarda.",
    ),
)
async def test_reads_are_cached(app: App, redis_server: Valkey, source: Source, rng: Random) -> None:
    path = new_product(source, rng)
    for _ in range(4):
        await read(app, path, source.records[path], "el producto")
    expect(source.count("GET", path), 1, "lecturas que recibe la fuente tras cuatro de los clientes")
    async with redis_server.client() as redis:
        lives = [await redis.pttl(key) / 1000 for key in await redis.keys()]
    expect(lives, [Approx(0, CACHE_TTL) for _ in lives], f"los segundos de vida de las claves (CACHE_TTL={CACHE_TTL})")
    longest = Approx(CACHE_TTL * 0.8, CACHE_TTL)
    expect(max(lives, default=0), longest, f"los segundos de vida de lo guardado (CACHE_TTL={CACHE_TTL})")


@check(
    2,
    "Tras un cambio se lee lo nuevo, en todos los procesos",
    todo=4,
    needs=("test_reads_are_cached",),
    section=SECTION,
    hints=(
        "El PUT va a la fuente y su respuesta, con la versión nueva, a la caché: store().",
        "Si write() llama a store() y se sigue leyendo lo viejo, mira el guion (TODO 1): ¿guarda cuando ya hay algo?",
        "Lo que guarda un proceso en su memoria no lo ve el otro: la caché va en Redis.",
    ),
)
async def test_change_is_seen(app: App, launch: Launch, redis_server: Valkey, source: Source, rng: Random) -> None:
    path = new_product(source, rng)
    source.records[path]["version"] = rng.randint(1, 6)  # todas las versiones, de una cifra
    async with launch(name="app 2") as second:
        apps = (app, second)
        for each in apps:
            await read(each, path, source.records[path], "el producto")
        for turn in range(3):
            changed = await change(apps[turn % 2], path, new_price(rng))
            expect(changed, source.records[path], "lo que contesta el PUT")
            asked = source.count("GET", path)
            for each in (*apps, *apps):
                await read(each, path, changed, "el producto, después del cambio")
            expect(source.count("GET", path) - asked, Approx(0, 1), "lecturas que recibe la fuente tras el cambio")


@check(
    3,
    "De la versión 9 se pasa a la 10: son números",
    todo=1,
    needs=("test_change_is_seen",),
    section="comparar-y-guardar-de-una-vez",
    hints=(
        "Lo que da HGET y lo que llega en ARGV son textos, y como textos «9» es mayor que «10».",
        "tonumber(…) a los dos lados de la comparación.",
    ),
)
async def test_versions_are_numbers(app: App, redis_server: Valkey, source: Source, rng: Random) -> None:
    path = new_product(source, rng)
    source.records[path]["version"] = 8
    await read(app, path, source.records[path], "el producto")
    for _ in range(3):
        changed = await change(app, path, new_price(rng))
        await read(app, path, changed, f"el producto, que va por la versión {changed.get('version')}")


@check(
    4,
    "De dos escrituras cruzadas queda la más reciente",
    todo=1,
    points=2,
    needs=("test_change_is_seen",),
    section="dos-escrituras-que-se-cruzan",
    hints=(
        "La primera en llegar a la fuente es la última en llegar a la caché, y pisa a la segunda.",
        "Guarda solo si tu versión es mayor que la que hay, y que comparar y guardar sea una operación: Lua.",
        "Comparar en Python con un GET y luego un SET deja un hueco entre los dos.",
    ),
)
async def test_crossed_writes(app: App, launch: Launch, redis_server: Valkey, source: Source, rng: Random) -> None:
    path = new_product(source, rng)
    async with launch(name="app 2") as second:
        await read(app, path, source.records[path], "el producto")
        held = source.hold("PUT")
        early = asyncio.create_task(change(app, path, new_price(rng), within=3.0))
        await held.arrived()
        late = await change(second, path, new_price(rng))
        held.release()
        await early
        for each in (app, second):
            await read(each, path, late, "el producto, que acabó en su versión más reciente")


@check(
    5,
    "Una lectura lenta no resucita lo viejo",
    todo=3,
    points=2,
    needs=("test_change_is_seen",),
    section="una-lectura-lenta",
    hints=(
        "Una lectura fue a la fuente antes del cambio y vuelve después: lo que trae ya es viejo.",
        "Rellenar la caché también es escribir en ella: la misma regla que al cambiar, store(), y no un HSET sin más.",
        "Si borras la clave al escribir, quien rellena debe comprobar que nadie ha escrito desde que empezó a leer.",
    ),
)
async def test_slow_reader(app: App, launch: Launch, redis_server: Valkey, source: Source, rng: Random) -> None:
    path = new_product(source, rng)
    async with launch(name="app 2") as second:
        held = source.hold("GET")
        slow = asyncio.create_task(app.get(path, status=200, within=3.0))
        await held.arrived()
        changed = await change(second, path, new_price(rng))
        held.release()
        await slow
        for each in (app, second):
            await read(each, path, changed, "el producto, que cambió mientras otro lo leía")


@check(
    6,
    "Un cambio que la fuente no acepta no lo ve nadie",
    todo=4,
    points=2,
    needs=("test_reads_are_cached",),
    section="primero-la-fuente",
    hints=(
        "La fuente es la que sabe. Si escribes antes en la caché, se ve un precio que quizá no exista nunca.",
        "Primero la fuente; si falla, ask() lanza el 502 y la caché no se ha tocado.",
    ),
)
async def test_rejected_change(app: App, redis_server: Valkey, source: Source, rng: Random) -> None:
    path = new_product(source, rng)
    before = dict(source.records[path])
    await read(app, path, before, "el producto")
    source.fail_next(1)
    held = source.hold("PUT")
    failing = asyncio.create_task(app.request("PUT", path, json={"price": new_price(rng)}, status=502, within=3.0))
    await held.arrived()
    await read(app, path, before, "el producto, mientras la fuente decide")
    held.release()
    await failing
    await read(app, path, before, "el producto, después de que la fuente rechace el cambio")


@check(
    7,
    "De lo que no existe no se guarda nada",
    todo=4,
    needs=("test_reads_are_cached",),
    section="primero-la-fuente",
    hints=(
        "Un PUT de algo que no existe es un 404, y en la caché no debe quedar ni un «null».",
        "ask() ya lanza el 404: no lo captures para guardarlo.",
    ),
)
async def test_missing(app: App, redis_server: Valkey, source: Source, rng: Random) -> None:
    path = new_product(source, rng)
    product = source.records.pop(path)
    await app.request("PUT", path, json={"price": new_price(rng)}, status=404)
    await app.get(path, status=404)
    source.records[path] = product
    await read(app, path, product, "el producto, recién creado")


@check(
    8,
    "Comparar y guardar son una sola operación",
    todo=1,
    points=2,
    needs=("test_crossed_writes",),
    section="comparar-y-guardar-de-una-vez",
    hints=(
        "Los dos miran la versión guardada antes de que ninguno haya escrito: los dos creen ser el más reciente.",
        "Entre mirar la versión y guardar no puede pasar nada: las dos cosas, en el guion Lua.",
    ),
)
async def test_compared_and_stored_at_once(
    app: App, launch: Launch, redis_server: Valkey, source: Source, rng: Random
) -> None:
    path = new_product(source, rng)
    async with launch(name="app 2") as second:
        for each in (app, second):
            await read(each, path, source.records[path], "el producto")
        for stage in range(3):
            held = source.hold("PUT")
            early = asyncio.create_task(change(app, path, new_price(rng), within=3.0))
            await held.arrived()
            redis_server.pause()
            held.release()
            # El primero se queda quieto entre dos de sus órdenes a Redis mientras el segundo hace las suyas.
            async with frozen_after(stage, app, redis_server):
                late = await change(second, path, new_price(rng))
            await early
            for each in (app, second):
                await read(each, path, late, "el producto, en su versión más reciente")
