"""Controles de 6.2: un cambio y su suceso van juntos, muera quien muera y cuando muera."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import asyncpg
import pytest
from order_stream import Stream

from taller.checking import (
    App,
    Launch,
    Link,
    Mismatch,
    SharedApp,
    check,
    expect,
    let_it_go_on,
    link_to,
    patience,
    transcript,
)
from taller.services import Postgres, Valkey

SECTION = "la-bandeja-de-salida"
RELAY_SECONDS = 0.02
# Lo que se le da al otro proceso para hacer lo que no debe; mira la bandeja varias veces en ese tiempo.
TEMPTATION = 8 * RELAY_SECONDS


@dataclass
class Links:
    """Los cables de «app», que el control puede sujetar; los demás procesos van por los suyos."""

    database: Link
    redis: Link


@pytest.fixture(scope="module")
async def all_links(postgres_server: Postgres, valkey_server: Valkey) -> AsyncIterator[Links]:
    async with link_to(postgres_server.url) as database, link_to(valkey_server.url) as redis:
        yield Links(database, redis)


@pytest.fixture(scope="module")
def second_env(postgres_server: Postgres, valkey_server: Valkey) -> dict[str, str]:
    return {"DATABASE_URL": postgres_server.url, "REDIS_URL": valkey_server.url}


@pytest.fixture(scope="module")
def app_env(all_links: Links) -> dict[str, str]:
    urls = {"DATABASE_URL": all_links.database.url, "REDIS_URL": all_links.redis.url}
    return {**urls, "RELAY_SECONDS": str(RELAY_SECONDS)}


@pytest.fixture
def links(all_links: Links, database: Postgres, redis_server: Valkey) -> Iterator[Links]:
    """Los cables, sueltos, hasta unos servidores vacíos."""
    yield all_links
    all_links.database.let_go()
    all_links.redis.let_go()


def new_id(rng: Random) -> str:
    return f"p{rng.randrange(10**8)}"


def new_change(rng: Random) -> dict[str, str]:
    return {"item": f"articulo {rng.randrange(1000)}", "status": rng.choice(["paid", "packed", "shipped", "returned"])}


async def put(app: App, order_id: str, body: dict[str, str], version: int) -> dict[str, Any]:
    """Cambia el pedido y devuelve el suceso que le corresponde."""
    response = await app.request("PUT", f"/orders/{order_id}", json=body, status=200, within=2.0)
    expect(response.json(), {"id": order_id, **body, "version": version}, "lo que contesta el PUT")
    return {"id": order_id, "version": version, "status": body["status"]}


@pytest.fixture
def stream(redis_server: Valkey) -> Stream:
    return Stream(redis_server)


async def give_up(*tasks: asyncio.Task[Any]) -> None:
    """Lo que estas peticiones iban a contestar ya no importa: han matado a quien contestaba."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@check(
    1,
    "Cada cambio acaba en el stream, una vez y por orden",
    todo=2,
    section=SECTION,
    hints=(
        "save() escribe el pedido y, en la misma transacción, una fila en outbox con su suceso.",
        "publish_pending() lee la bandeja por orden de id, publica cada suceso y lo borra de ella.",
        "relay() llama a publish_pending() una y otra vez: sin eso nada sale de la bandeja.",
    ),
)
async def test_published(links: Links, app: App, stream: Stream, rng: Random) -> None:
    ids, expected = [new_id(rng), new_id(rng) + "b"], []
    for version in (1, 2, 3):
        for order_id in ids:
            body = new_change(rng)
            expected.append(await put(app, order_id, body, version))
            got = (await app.get(f"/orders/{order_id}", status=200)).json()
            expect(got, {"id": order_id, **body, "version": version}, "GET del pedido")
            # De uno en uno: si alguno se publicara dos veces, el repetido estaría donde se espera al siguiente.
            await stream.becomes(expected, "los sucesos del stream `orders`")
    await app.get(f"/orders/{new_id(rng)}x", status=404)


@check(
    2,
    "Muere antes del COMMIT: ni cambio ni suceso",
    todo=1,
    points=2,
    needs=("test_published",),
    section="por-qué-no-hay-un-orden-bueno",
    hints=(
        "El control sujeta el COMMIT y mata tu app: PostgreSQL deshace lo que estaba a medias.",
        "Lo publicado ya no se puede deshacer: en esa transacción no se habla con Redis.",
    ),
)
async def test_killed_before_commit(links: Links, app: App, shared_app: SharedApp, stream: Stream, rng: Random) -> None:
    order_id, other = new_id(rng), new_id(rng) + "b"
    held = links.database.hold_request("COMMIT", after=order_id)
    changing = asyncio.create_task(put(app, order_id, new_change(rng), 1))
    await held.arrived_unless(changing)
    # Quien lo escribe todo en una sola orden no envía ningún COMMIT: su cambio ya está hecho, y no muere a medias.
    expected = [] if held.is_here else [await changing]
    await app.kill()
    await give_up(changing)
    again = await shared_app.get()
    if held.is_here:
        await again.get(f"/orders/{order_id}", status=404)
    expected.append(await put(again, other, new_change(rng), 1))
    await stream.becomes(expected, "los sucesos, tras morir antes del COMMIT y cambiar otro pedido")


@check(
    3,
    "Muere justo al confirmar: el cambio y el suceso, los dos o ninguno",
    todo=1,
    points=2,
    needs=("test_published",),
    section=SECTION,
    hints=(
        "El control deja pasar el COMMIT y mata tu app antes de que le llegue la respuesta.",
        "Si el cambio y su suceso se confirman con dos COMMIT, entre uno y otro cabe una muerte.",
        "upsert() y session.add(OutboxRow(…)), dentro del mismo sessions.begin().",
    ),
)
async def test_killed_at_commit(links: Links, app: App, shared_app: SharedApp, stream: Stream, rng: Random) -> None:
    order_id, body = new_id(rng), new_change(rng)
    held = links.database.hold_reply_to("COMMIT", after=order_id)
    changing = asyncio.create_task(put(app, order_id, body, 1))
    await held.arrived_unless(changing)
    await app.kill()
    await give_up(changing)
    again = await shared_app.get()
    exists = (await again.get(f"/orders/{order_id}")).status_code == 200
    expected = [{"id": order_id, "version": 1, "status": body["status"]}] if exists else []
    # Uno más, de otro pedido: cuando sale, lo anterior ya tenía que haber salido.
    expected.append(await put(again, f"{order_id}b", new_change(rng), 1))
    state = "está" if exists else "no está"
    await stream.becomes(expected, f"los sucesos, cuando el pedido de quien murió {state} en PostgreSQL", repeats=True)


@check(
    4,
    "Muere entre el COMMIT y el suceso: lo publica el siguiente",
    todo=2,
    points=3,
    needs=("test_published",),
    section=SECTION,
    hints=(
        "El control sujeta el XADD y mata tu app: lo confirmado y sin publicar tiene que seguir en PostgreSQL.",
        "Publicar después del COMMIT y sin bandeja deja el suceso en la memoria del proceso: muere con él.",
        "En publish_pending, primero publicar y después confirmar el borrado; al revés, lo borrado se pierde.",
    ),
)
async def test_killed_after_commit(links: Links, app: App, shared_app: SharedApp, stream: Stream, rng: Random) -> None:
    order_id = new_id(rng)
    held = links.redis.hold_request("XADD")
    bodies = [new_change(rng) for _ in range(3)]
    changing = [asyncio.create_task(put(app, order_id, bodies[0], 1))]
    await held.arrived()
    for version, body in enumerate(bodies[1:], start=2):
        changing.append(asyncio.create_task(put(app, order_id, body, version)))
        await asyncio.wait(changing[-1:], timeout=patience(0.3))
    await app.kill()
    await give_up(*changing)
    again = await shared_app.get()
    stored = (await again.get(f"/orders/{order_id}", status=200)).json()
    versions = range(1, stored["version"] + 1)
    expected = [
        {"id": order_id, "version": version, "status": body["status"]}
        for version, body in zip(versions, bodies, strict=False)
    ]
    await stream.becomes(expected, f"los sucesos de un pedido que va por la versión {stored['version']}", repeats=True)


@check(
    5,
    "Sin Redis se sigue vendiendo; cuando vuelve, se publica todo y por orden",
    todo=3,
    points=2,
    needs=("test_published",),
    section="cuando-redis-no-está",
    hints=(
        "Con Redis muerto, PUT contesta igual: solo escribe en PostgreSQL.",
        "relay() recibe RedisError: si nadie la captura, la tarea muere y ya no sale nada de la bandeja.",
        "Los de un mismo pedido, uno detrás de otro: con gather() llegan en cualquier orden.",
    ),
)
async def test_redis_away(links: Links, app: App, redis_server: Valkey, stream: Stream, rng: Random) -> None:
    order_id = new_id(rng)
    await redis_server.kill()
    transcript.note("Redis ha muerto")
    expected = [await put(app, order_id, new_change(rng), version) for version in range(1, 15)]
    await redis_server.start()
    transcript.note("Redis vuelve, vacío")
    await stream.becomes(expected, "los sucesos, cuando Redis vuelve", within=3.0)


@check(
    6,
    "Por orden, esté donde esté cada fila",
    todo=2,
    needs=("test_published",),
    section=SECTION,
    hints=(
        "Una tabla no tiene orden: PostgreSQL aprovecha los huecos de lo borrado, y lo nuevo puede quedar delante.",
        "Si importa el orden, se pide: order_by(OutboxRow.id).",
    ),
)
async def test_asks_for_the_order(links: Links, app: App, database: Postgres, stream: Stream, rng: Random) -> None:
    before, between, order_id = new_id(rng), new_id(rng) + "b", new_id(rng) + "c"
    held = links.redis.hold_request("XADD")
    expected = [await put(app, before, new_change(rng), 1)]
    await held.arrived()
    expected.append(await put(app, between, new_change(rng), 1))
    again = links.redis.hold_request(between)
    held.release()
    await again.arrived()
    expected.append(await put(app, order_id, new_change(rng), 1))
    # El hueco de lo primero, ya borrado, queda libre para lo último: delante de lo que espera.
    await vacuum(database)
    expected.append(await put(app, order_id, new_change(rng), 2))
    again.release()
    await stream.becomes(expected, "los sucesos, con huecos en la bandeja")


async def vacuum(database: Postgres) -> None:
    """Lo que PostgreSQL hace por su cuenta cada cierto tiempo."""
    transcript.note("PostgreSQL hace limpieza: VACUUM")
    connection = await asyncpg.connect(database.url)
    try:
        # Solo las tablas de la app: limpiar también el catálogo de PostgreSQL tarda mucho más.
        tables = await connection.fetchval("SELECT string_agg(format('%I', relname), ', ') FROM pg_stat_user_tables")
        await connection.execute(f"VACUUM {tables}")
    finally:
        await connection.close()


@check(
    7,
    "Con dos procesos, ni se adelantan ni se repiten",
    todo=2,
    points=2,
    needs=("test_published",),
    section="un-solo-cartero",
    hints=(
        "Un proceso tiene a medias la versión 1 de un pedido; el otro no puede publicar mientras la 2, ni la 1.",
        "FOR UPDATE SKIP LOCKED reparte las filas entre los dos: rápido, pero desordenado.",
        "Que solo uno vacíe la bandeja: pg_try_advisory_xact_lock(RELAY_LOCK), y quien no lo consigue no lee nada.",
    ),
)
async def test_one_relay(links: Links, app: App, shared_second: SharedApp, stream: Stream, rng: Random) -> None:
    order_id = new_id(rng)
    held = links.redis.hold_request("XADD")
    first = asyncio.create_task(put(app, order_id, new_change(rng), 1))
    await held.arrived()
    # Hasta aquí estaba sola: la primera versión la tiene ella a medias.
    second = await shared_second.get()
    then = await put(second, order_id, new_change(rng), 2)
    if ahead := await stream.tempted(TEMPTATION):
        raise Mismatch("que nadie publique mientras otro tiene un suceso a medias", f"app 2 publicó {ahead}")
    held.release()
    await stream.becomes([await first, then], "los sucesos de las dos versiones")


@check(
    8,
    "Lo que se confirma tarde también sale",
    todo=2,
    points=2,
    needs=("test_published",),
    section="lo-que-se-confirma-tarde",
    hints=(
        "El que entró antes en la bandeja se confirma después: su id es menor que el de otro que ya se publicó.",
        "Recordar «voy por el 7» y seguir desde ahí se salta al 6. Lo pendiente es lo que queda en la tabla.",
        "Si no cuadra la versión: la del suceso es la que devuelve upsert(); la leída antes puede ser de otro cambio.",
    ),
)
async def test_late_commit(links: Links, app: App, second: App, stream: Stream, rng: Random) -> None:
    early, late = new_id(rng), new_id(rng) + "b"
    held = links.database.hold_request("COMMIT", after=early)
    changing = asyncio.create_task(put(app, early, new_change(rng), 1))
    await held.arrived_unless(changing)
    expected = [await put(second, late, new_change(rng), 1)]
    if not held.is_here:
        expected.insert(0, await changing)
    await stream.becomes(expected, "los sucesos, con un cambio sin confirmar")
    # El mismo pedido, otra vez: tiene que esperar a que el cambio de antes se confirme.
    behind = asyncio.create_task(put(second, early, new_change(rng), 2))
    for _ in range(3):
        await let_it_go_on(second)
    held.release()
    if len(expected) == 1:
        expected.append(await changing)
    expected.append(await behind)
    await stream.becomes(expected, "los sucesos, con todo confirmado")


@check(
    9,
    "Cuando no hay nada que publicar, descansa",
    todo=3,
    needs=("test_published",),
    section=SECTION,
    hints=(
        "Un `while True` que no espera a nada pregunta a PostgreSQL miles de veces por segundo, y ocupa un procesador.",
        "Si publish_pending() no ha movido nada, o ha fallado: await asyncio.sleep(RELAY_SECONDS).",
    ),
)
async def test_rests(links: Links, launch: Launch, rng: Random) -> None:
    async with launch(env={"RELAY_SECONDS": "2"}, name="app que mira cada 2 s") as app:
        await put(app, new_id(rng), new_change(rng), 1)
        await app.rests("con la bandeja vacía")
