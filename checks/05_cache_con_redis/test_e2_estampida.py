"""Controles de 5.2: de doscientas peticiones que fallan a la vez en la caché, una va a la fuente."""

import asyncio
from collections import Counter
from contextlib import suppress
from random import Random
from typing import Any

import pytest

from taller.checking import App, Approx, Launch, Mismatch, Source, check, expect, frozen_after, let_it_go_on, patience
from taller.services import Valkey

SECTION = "la-estampida"
LOCK_SECONDS = Random().randint(20, 40)


@pytest.fixture(scope="module")
def app_env(valkey_server: Valkey, source_server: Source) -> dict[str, str]:
    limits = {"LOCK_SECONDS": str(LOCK_SECONDS), "WAIT_SECONDS": "20"}
    return {"REDIS_URL": valkey_server.url, **source_server.env, **limits}


def new_product(source: Source, rng: Random) -> tuple[str, dict[str, Any]]:
    """La ruta y el contenido de un producto que la fuente tiene y que nadie ha pedido todavía."""
    product_id = str(rng.randrange(10**6))
    product = {"id": product_id, "name": f"té {rng.randrange(100)}", "price": rng.randint(100, 900)}
    path = f"/products/{product_id}"
    source.records[path] = product
    return path, product


def lock_of(path: str) -> str:
    return f"lock:product:{path.removeprefix('/products/')}"


async def stampede(source: Source, path: str, apps: list[App], each: int, within: float = 3.0) -> dict[str, int]:
    """Muchas peticiones en cada proceso mientras la fuente retiene la primera; cuántas acaban con cada código."""
    held = source.hold()
    bursts = [asyncio.create_task(app.burst("GET", path, each, within=within)) for app in apps]
    await held.arrived(within=3.0)
    # La fuente no contesta hasta que los dos procesos han tenido ocasión de atender todas las peticiones.
    for app in apps:
        await let_it_go_on(app)
    held.release()
    responses = [response for burst in await asyncio.gather(*bursts) for response in burst]
    return dict(Counter(str(response.status_code) for response in responses))


def one_call(source: Source, path: str, times: int = 1) -> None:
    expect(source.count("GET", path), times, f"peticiones de {path} que recibe la fuente")


@check(
    1,
    "Treinta peticiones a la vez, una a la fuente",
    todo=3,
    section=SECTION,
    hints=(
        "Todas fallan en la caché antes de que la primera haya vuelto de la fuente: hay que ponerse de acuerdo.",
        "Quien consigue el permiso carga; quien no, espera un poco y vuelve a mirar la caché.",
        "Si nadie consigue el permiso, mira el TODO 1: SET con nx=True devuelve algo solo si la clave estaba libre.",
    ),
)
async def test_one_call(app: App, redis_server: Valkey, source: Source, rng: Random) -> None:
    path, product = new_product(source, rng)
    expect(await stampede(source, path, [app], 30), {"200": 30}, "las respuestas, por código")
    expect((await app.get(path, status=200)).json(), product, "el producto")
    one_call(source, path)


@check(
    2,
    "Ochenta peticiones en dos procesos, una a la fuente",
    within=10.0,
    todo=1,
    points=2,
    needs=("test_one_call",),
    section="un-permiso-en-redis",
    hints=(
        "Un asyncio.Lock solo lo ven las peticiones de su proceso: el permiso tiene que estar en Redis.",
        "SET clave valor NX PX: mirar si está libre y quedársela es una sola operación.",
    ),
)
async def test_two_workers(app: App, second: App, redis_server: Valkey, source: Source, rng: Random) -> None:
    path, _ = new_product(source, rng)
    apps = [app, second]
    # Con Redis detenido un instante, los dos procesos le preguntan por el producto a la vez.
    redis_server.pause()
    first = [asyncio.create_task(each.get(path, status=200, within=6.0)) for each in apps]
    for each in apps:
        await let_it_go_on(each)
    redis_server.resume()
    answers = await stampede(source, path, apps, 40, within=6.0)
    await asyncio.gather(*first)
    expect(answers, {"200": 80}, "las respuestas, por código")
    one_call(source, path)


@check(
    3,
    "Mirar si el permiso está libre y quedárselo es una sola operación",
    within=10.0,
    todo=1,
    points=2,
    needs=("test_two_workers",),
    section="un-permiso-en-redis",
    hints=(
        "Un proceso mira, ve que está libre y, antes de que lo coja, otro lo ha cogido: los dos creen que es suyo.",
        "EXISTS y después SET son dos órdenes, y entre ellas caben las de otros. SET con nx=True es una.",
        "SET con nx=True devuelve None si no lo ha conseguido: entonces toca esperar.",
    ),
)
async def test_taken_at_once(app: App, second: App, redis_server: Valkey, source: Source, rng: Random) -> None:
    await second.get(new_product(source, rng)[0], status=200)
    for stage in (1, 2):
        path, _ = new_product(source, rng)
        redis_server.pause()
        late = asyncio.create_task(second.get(path, status=200, within=4.0))
        held = source.hold()
        # El segundo se queda quieto entre dos de sus órdenes a Redis mientras el primero coge el permiso y carga.
        async with frozen_after(stage, second, redis_server):
            early = asyncio.create_task(app.get(path, status=200, within=4.0))
            # Si el permiso lo tiene el quieto, el primero no llegará a la fuente hasta que siga.
            with suppress(Mismatch):
                await held.arrived(within=0.25)
        await held.arrived()
        for _ in range(3):
            await let_it_go_on(second)
        one_call(source, path)
        held.release()
        await asyncio.gather(early, late)


@check(
    4,
    "Mientras se carga un producto, los demás no esperan",
    todo=1,
    needs=("test_one_call",),
    section="un-permiso-en-redis",
    hints=(
        "Cada producto tiene su permiso, lock:product:{id}: con uno para todos, el lento para a los rápidos.",
        "Si usas un asyncio.Lock, también uno por producto.",
    ),
)
async def test_others_do_not_wait(app: App, redis_server: Valkey, source: Source, rng: Random) -> None:
    (slow, _), (quick, product) = new_product(source, rng), new_product(source, rng)
    held = source.hold()
    loading = asyncio.create_task(app.get(slow, status=200, within=3.0))
    await held.arrived()
    response = await app.get(quick, status=200)
    expect(response.json(), product, "el otro producto")
    held.release()
    await loading


@check(
    5,
    "Un fallo de la fuente es de una petición; las demás lo intentan",
    todo=4,
    points=2,
    needs=("test_one_call",),
    section="cuando-la-carga-falla",
    hints=(
        "Veinte peticiones, y la fuente falla a la primera: un 502, y otra toma el relevo.",
        "Suelta el permiso en un finally: si solo lo sueltas cuando va bien, los demás esperan a que caduque.",
        "Si todas esperan el resultado de la misma tarea, todas heredan su error.",
    ),
)
async def test_failure(app: App, redis_server: Valkey, source: Source, rng: Random) -> None:
    path, _ = new_product(source, rng)
    source.fail_next(1)
    expect(await stampede(source, path, [app], 20), {"502": 1, "200": 19}, "las respuestas, por código")
    one_call(source, path, times=2)


@check(
    6,
    "Si el proceso que cargaba muere, otro toma el relevo",
    todo=1,
    points=2,
    needs=("test_two_workers",),
    section="un-permiso-en-redis",
    hints=(
        "Un proceso muerto no suelta nada: el permiso tiene que caducar solo.",
        "La caducidad va en el mismo SET (px=): si la pones después, puedes morir entre medias.",
    ),
)
async def test_dead_loader(app: App, launch: Launch, redis_server: Valkey, source: Source, rng: Random) -> None:
    path, product = new_product(source, rng)
    async with launch(name="app 2") as dying, redis_server.client() as redis:
        held = source.hold()
        lost = asyncio.create_task(dying.get(path, within=3.0))
        await held.arrived()
        await dying.kill()
        await asyncio.gather(lost, return_exceptions=True)
        left = await redis.pttl(lock_of(path)) / 1000
        lifetime = Approx(LOCK_SECONDS * 0.8, LOCK_SECONDS)
        expect(left, lifetime, f"los segundos que le quedan a {lock_of(path)} (LOCK_SECONDS={LOCK_SECONDS})")
        waiting = asyncio.create_task(app.get(path, status=200, within=3.0))
        # Es lo que hará Redis dentro de LOCK_SECONDS.
        await redis.pexpire(lock_of(path), 50)
        expect((await waiting).json(), product, "el producto")


@check(
    7,
    "Quien tarda demasiado no suelta el permiso de otra",
    todo=2,
    points=2,
    needs=("test_failure", "test_two_workers"),
    section="soltar-solo-lo-que-es-tuyo",
    hints=(
        "El permiso de la primera caducó, y ahora lo tiene otra: si la primera lo borra, entra una tercera.",
        "Mira de quién es antes de borrarlo, y que mirar y borrar sea una sola operación: por eso RELEASE es Lua.",
        "El valor de la clave es un token al azar, distinto en cada intento: uno fijo no dice de quién es.",
    ),
)
async def test_only_the_owner_releases(
    app: App, second: App, redis_server: Valkey, source: Source, rng: Random
) -> None:
    path, _ = new_product(source, rng)
    async with redis_server.client() as redis:
        source.fail_next(1)
        slow, other = source.hold(), source.hold()
        late = asyncio.create_task(app.get(path, status=502, within=3.0))
        await slow.arrived()
        # Es lo que hará Redis dentro de LOCK_SECONDS.
        await redis.delete(lock_of(path))
        loading = asyncio.create_task(second.get(path, status=200, within=3.0))
        await other.arrived()
        slow.release()
        await late
        if not await redis.exists(lock_of(path)):
            raise Mismatch(f"que {lock_of(path)} siga siendo de la segunda", "la primera lo ha borrado al terminar")
        third = asyncio.create_task(app.get(path, status=200, within=3.0))
        await let_it_go_on(app)
        one_call(source, path, times=2)
        other.release()
        await asyncio.gather(loading, third)
        one_call(source, path, times=2)


@check(
    8,
    "Quien espera demasiado contesta 503",
    todo=3,
    needs=("test_one_call",),
    section="cuando-la-carga-falla",
    hints=(
        "Nadie espera para siempre: pasados WAIT_SECONDS, HTTPException(503).",
        "Calcula el plazo al empezar, con time.monotonic(), y míralo en cada vuelta.",
        "El plazo es de quien espera: quien ya tiene el permiso carga, aunque la fuente tarde más que WAIT_SECONDS.",
    ),
)
async def test_wait_has_a_limit(app: App, launch: Launch, redis_server: Valkey, source: Source, rng: Random) -> None:
    # De las que esperan, unas esperan a otro proceso, y otras, a una petición del suyo.
    far, near = new_product(source, rng), new_product(source, rng)
    async with launch(env={"WAIT_SECONDS": str(patience(0.1))}, name="app 2") as impatient:
        holds, loading = [], []
        for loader, (path, _) in ((app, far), (impatient, near)):
            holds.append(source.hold())
            loading.append(asyncio.create_task(loader.get(path, status=200, within=3.0)))
            await holds[-1].arrived()
        waiting = [path for path, _ in (far, near)] * 2
        await asyncio.gather(*(impatient.get(path, status=503, within=2.0) for path in waiting))
        for held in holds:
            held.release()
        # Quien carga no espera a otras: le da igual cuánto tarde la fuente.
        for task, (_, product) in zip(loading, (far, near), strict=True):
            expect((await task).json(), product, "el producto que sí se cargaba")


@check(
    9,
    "Quien consigue el permiso mira otra vez la caché",
    todo=4,
    points=2,
    needs=("test_two_workers",),
    section="un-permiso-en-redis",
    hints=(
        "Entre que falló en la caché y consiguió el permiso, otro proceso lo ha cargado y lo ha soltado.",
        "Lo primero, con el permiso en la mano: self.recall(). Solo si sigue sin estar, self.fetch().",
    ),
)
async def test_looks_again(app: App, second: App, redis_server: Valkey, source: Source, rng: Random) -> None:
    await second.get(new_product(source, rng)[0], status=200)
    for stage in range(3):
        path, _ = new_product(source, rng)
        redis_server.pause()
        late = asyncio.create_task(second.get(path, status=200, within=4.0))
        # El segundo se queda quieto entre dos de sus órdenes a Redis mientras el primero lo carga.
        async with frozen_after(stage, second, redis_server):
            early = asyncio.create_task(app.get(path, status=200, within=4.0))
            # Si el quieto tiene el permiso, no acabará hasta que siga.
            await asyncio.wait([early], timeout=patience(0.1))
        await asyncio.gather(early, late)
        one_call(source, path)


@check(
    10,
    "Quien espera a otro proceso, descansa entre pregunta y pregunta",
    todo=3,
    needs=("test_two_workers",),
    section=SECTION,
    hints=(
        "Mientras otro carga, un bucle que no espera pregunta a Redis miles de veces por segundo.",
        "Entre mirada y mirada a la caché: await asyncio.sleep(POLL_SECONDS).",
    ),
)
async def test_rests(app: App, second: App, redis_server: Valkey, source: Source, rng: Random) -> None:
    path, _ = new_product(source, rng)
    held = source.hold()
    loading = asyncio.create_task(app.get(path, status=200, within=3.0))
    await held.arrived()
    waiting = asyncio.create_task(second.get(path, status=200, within=3.0))
    await let_it_go_on(second)
    await second.rests("mientras espera a que cargue otro proceso")
    held.release()
    await asyncio.gather(loading, waiting)
