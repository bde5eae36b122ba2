"""Controles de 6.1: un cambio llega a todas partes, y nadie que lea después lee lo de antes."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from taller.checking import App, Approx, Link, OneOf, check, expect, let_it_go_on, link_to, patience, transcript
from taller.services import Mailbox, Postgres, Valkey
from taller.wire import SseClient, WebSocketClient

ORDER = "el-orden-correcto"
STALE = "el-orden-de-los-apuntes"


@dataclass
class Links:
    """Los cables de «app», que el control puede sujetar; «app 2» va por los suyos, que nadie toca."""

    database: Link
    redis: Link
    mail: Link


@pytest.fixture(scope="module")
async def all_links(postgres_server: Postgres, valkey_server: Valkey, smtp_server: Mailbox) -> AsyncIterator[Links]:
    async with (
        link_to(postgres_server.url) as database,
        link_to(valkey_server.url) as redis,
        link_to(smtp_server.url) as mail,
    ):
        yield Links(database, redis, mail)


@pytest.fixture(scope="module")
def app_env(all_links: Links) -> dict[str, str]:
    return {"DATABASE_URL": all_links.database.url, "REDIS_URL": all_links.redis.url, "SMTP_URL": all_links.mail.url}


@pytest.fixture(scope="module")
def second_env(postgres_server: Postgres, valkey_server: Valkey, smtp_server: Mailbox) -> dict[str, str]:
    return {"DATABASE_URL": postgres_server.url, "REDIS_URL": valkey_server.url, "SMTP_URL": smtp_server.url}


@pytest.fixture
def links(all_links: Links, database: Postgres, redis_server: Valkey, mailbox: Mailbox) -> Iterator[Links]:
    """Los cables, sueltos, hasta unos servidores vacíos."""
    yield all_links
    for link in (all_links.database, all_links.redis, all_links.mail):
        link.let_go()


def new_order(rng: Random) -> dict[str, str]:
    return {"item": f"articulo-{rng.randrange(10**6)}", "email": f"c{rng.randrange(10**6)}@example.com"}


async def create(app: App, new: dict[str, str]) -> dict[str, Any]:
    """Un pedido recién creado, tal como lo contesta el POST."""
    response = await app.post("/orders", json=new, status=201)
    order: dict[str, Any] = response.json()
    expect(order, {"id": Approx(1, 10**9), "item": new["item"], "status": "received", "version": 1}, "el pedido nuevo")
    return order


async def change(app: App, order: dict[str, Any], status: str) -> dict[str, Any]:
    response = await app.request("PUT", f"/orders/{order['id']}/status", json={"status": status}, status=200)
    changed: dict[str, Any] = response.json()
    expect(changed, following(order, status), "lo que contesta el PUT")
    return changed


def following(order: dict[str, Any], status: str) -> dict[str, Any]:
    """El pedido después del cambio de estado."""
    return {**order, "status": status, "version": order["version"] + 1}


async def read(app: App, order: dict[str, Any], when: str) -> None:
    got = (await app.get(f"/orders/{order['id']}", status=200)).json()
    expect(got, order, f"GET /orders/{order['id']} en {app.name}, {when}")


def news(order: dict[str, Any]) -> dict[str, Any]:
    return {"type": "order", "id": order["id"], "version": order["version"]}


# Un WebSocket y un flujo SSE en cada proceso, y en cuál está cada uno.
Listener = WebSocketClient | SseClient
Audience = list[tuple[App, Listener]]


async def hears(listener: Listener, order: dict[str, Any], within: float = 1.5) -> None:
    if isinstance(listener, SseClient):
        await listener.expect(news(order), within, event="order")
    else:
        await listener.expect(news(order), within)


async def all_hear(people: Audience, order: dict[str, Any]) -> None:
    for _, listener in people:
        await hears(listener, order)


@asynccontextmanager
async def audience(*apps: App) -> AsyncIterator[Audience]:
    async with AsyncExitStack() as stack:
        people: Audience = []
        for app in apps:
            ws = await stack.enter_async_context(app.websocket("/ws", name=f"navegador en {app.name}"))
            await ws.expect({"type": "ready"})
            sse = await stack.enter_async_context(app.sse("/events", name=f"tablero en {app.name}"))
            await sse.expect({}, event="ready")
            people += [(app, ws), (app, sse)]
        yield people


@check(
    1,
    "Un pedido se crea, se cambia y se lee, en cualquier proceso",
    todo=1,
    section="2-la-api-actualiza-la-base-de-datos",
    hints=(
        "PUT contesta el pedido ya cambiado, con la versión siguiente; GET lo lee por cualquiera de los dos procesos.",
        "Si tras el cambio se lee lo de antes, sale de la caché: en tell(), lo primero es ponerla al día (TODO 5).",
        "Si a la vez llegan varios PUT, cada uno suma uno: que lo haga el UPDATE, no Python.",
        "values(status=status, version=OrderRow.version + 1).returning(OrderRow), dentro de sessions.begin().",
    ),
)
async def test_orders(links: Links, app: App, second: App, rng: Random) -> None:
    order = await create(app, new_order(rng))
    for each, status in ((second, "preparing"), (app, "shipped")):
        await read(app, order, "antes del cambio")
        order = await change(each, order, status)
        await read(second, order, "después del cambio")
    at_once = await app.burst("PUT", f"/orders/{order['id']}/status", 8, json={"status": "delivered"}, within=3.0)
    versions = sorted(response.json().get("version") for response in at_once if response.status_code == 200)
    expect(versions, list(range(4, 12)), "las versiones que contestan 8 PUT a la vez")
    await app.get(f"/orders/{order['id'] + 1000}", status=404)
    await app.request("PUT", f"/orders/{order['id'] + 1000}/status", json={"status": "shipped"}, status=404)


@check(
    2,
    "Lo leído sale de la caché, y caduca",
    todo=2,
    needs=("test_orders",),
    section="7-la-caché",
    hints=(
        "PostgreSQL está congelado: un pedido que ya se ha leído se tiene que poder leer igual.",
        "read() empieza por recall(), y lo que ha tenido que buscar lo guarda con keep(); que no exista, no.",
    ),
)
async def test_cached(
    links: Links, app: App, second: App, database: Postgres, redis_server: Valkey, rng: Random
) -> None:
    order = await create(app, new_order(rng))
    await app.get(f"/orders/{order['id'] + 1}", status=404)  # si los números van seguidos, el del próximo
    await read(app, await create(second, new_order(rng)), "recién creado, y antes un 404")
    async with redis_server.client() as redis:
        transcript.note("Redis se queda vacío, como si todo hubiera caducado")
        await redis.flushall()
        await read(app, order, "con la caché vacía")
        lives = [await redis.pttl(key) for key in await redis.keys()]
        expect(lives, [Approx(1, 300_000) for _ in lives], "los ms de vida de cada clave de Redis (CACHE_TTL=300)")
    database.pause()
    transcript.note("PostgreSQL se queda congelado")
    try:
        for each in (app, second):
            await read(each, order, "con PostgreSQL congelado")
    finally:
        database.resume()


@check(
    3,
    "Se enteran los WebSockets y los flujos SSE de todos los procesos",
    todo=4,
    points=2,
    needs=("test_orders",),
    section="4-redis-pubsub-avisa-a-todos-los-procesos",
    hints=(
        "Quien hace el cambio no ve los WebSockets del otro proceso: el suceso va y vuelve por Redis.",
        "publish() hace PUBLISH; listen() entrega al hub lo que llega; tell() llama a publish(), también si es nuevo.",
        "Si alguien lo recibe dos veces: tu proceso oye también lo que publica él; no lo entregues además a mano.",
        "redis.publish() devuelve una corrutina: sin await no publica nada, y background.add_task no la espera.",
    ),
)
async def test_everyone_hears(links: Links, app: App, second: App, rng: Random) -> None:
    async with audience(app, second) as people:
        for each in (app, second):
            order = await create(each, new_order(rng))
            await all_hear(people, order)
            for other, status in ((second, "preparing"), (app, "shipped")):
                order = await change(other, order, status)
                await all_hear(people, order)


@check(
    4,
    "Quien lee al recibir el suceso no lee lo de antes",
    todo=5,
    points=3,
    needs=("test_everyone_hears",),
    section=STALE,
    hints=(
        "El control sujeta la respuesta al PUBLISH: lo que tu app haga después aún no ha pasado, y hay quien ya lee.",
        "Cuando el suceso sale, todo lo que un cliente puede leer tiene que ser ya lo nuevo.",
        "COMMIT, después la caché, y solo entonces PUBLISH.",
    ),
)
async def test_fresh_on_arrival(links: Links, app: App, second: App, rng: Random) -> None:
    async with audience(app, second) as people:
        order = await create(app, new_order(rng))
        await all_hear(people, order)
        for status in ("preparing", "shipped"):
            await read(second, order, "antes del cambio")
            held = links.redis.hold_reply_to("PUBLISH")
            changing = asyncio.create_task(change(app, order, status))
            order = following(order, status)
            for each, listener in people:
                await hears(listener, order)
                await read(each, order, "al recibir el suceso")
            held.release()
            await changing


@check(
    5,
    "Quien lee cuando el PUT ha contestado no lee lo de antes",
    todo=5,
    points=2,
    needs=("test_orders",),
    section=ORDER,
    hints=(
        "El control sujeta el cable con Redis: si el PUT contesta así, la caché se ha dejado para luego.",
        "Lo que va en background se hace después de contestar: la caché no puede ir ahí.",
    ),
)
async def test_fresh_on_answer(links: Links, app: App, second: App, rng: Random) -> None:
    order = await create(app, new_order(rng))
    await read(second, order, "antes del cambio")
    held = links.redis.hold_request("")
    changing = asyncio.create_task(change(app, order, "shipped"))
    order = following(order, "shipped")
    await held.arrived_unless(changing)
    await let_it_go_on(app)
    if changing.done():
        await changing
        await read(second, order, "cuando el PUT ya ha contestado")
    held.release()
    await changing
    for each in (second, app):
        await read(each, order, "cuando el PUT ya ha contestado")


@check(
    6,
    "Lo que aún no se ha confirmado no lo lee nadie, y no deja rastro",
    todo=5,
    points=2,
    needs=("test_orders",),
    section=ORDER,
    hints=(
        "El control sujeta el COMMIT, y mientras tanto otro proceso lee: ha de leer lo de antes.",
        "Y lo que ese otro lector deje en la caché no puede sobrevivir al cambio.",
        "La caché se toca después del COMMIT: al salir del bloque sessions.begin(), no dentro.",
    ),
)
async def test_nothing_before_commit(links: Links, app: App, second: App, rng: Random) -> None:
    order = await create(app, new_order(rng))
    held = links.database.hold_request("COMMIT")
    changing = asyncio.create_task(change(app, order, "shipped"))
    await held.arrived_unless(changing)
    if held.is_here:
        await read(second, order, "con el cambio sin confirmar")
    held.release()
    order = await changing
    for each in (second, app):
        await read(each, order, "con el cambio ya confirmado")


@check(
    7,
    "Una lectura lenta no deja en la caché lo que leyó antes del cambio",
    todo=2,
    points=2,
    needs=("test_cached",),
    section="el-lector-lento",
    hints=(
        "Alguien pregunta a PostgreSQL antes del cambio, y la respuesta le llega después.",
        "Guardar lo leído también es escribir: keep() compara versiones; un SET o un HSET a secas, no.",
        "Si el cambio borra la caché en vez de guardar lo nuevo (TODO 5), no queda ninguna versión con que comparar.",
    ),
)
async def test_slow_reader(links: Links, app: App, second: App, redis_server: Valkey, rng: Random) -> None:
    order = await create(second, new_order(rng))
    async with redis_server.client() as redis:
        transcript.note("Redis se queda vacío, como si todo hubiera caducado")
        await redis.flushall()
    held = links.database.hold_reply(order["item"])
    reading = asyncio.create_task(app.get(f"/orders/{order['id']}", status=200, client="lector lento"))
    await held.arrived()
    after = await change(second, order, "shipped")
    held.release()
    expect((await reading).json(), OneOf(order, after), "lo que recibe el lector lento")
    for each in (second, app):
        await read(each, after, "tras el cambio y la lectura lenta")


@check(
    8,
    "El correo llega, y no hace esperar a nadie",
    todo=5,
    points=2,
    # No de test_everyone_hears: con el suceso detrás del correo, ese control pasa o no según lo que tarde el correo.
    needs=("test_orders",),
    section="3-el-trabajo-en-segundo-plano",
    hints=(
        "El servidor de correo está mudo: la app tiene que contestar igual, y el suceso, llegar a todos.",
        "background.add_task(send_mail, row) lo deja para después de contestar.",
        "Las tareas de background van una detrás de otra: lo que vaya detrás del correo espera al correo.",
    ),
)
async def test_mail_is_last(links: Links, app: App, mailbox: Mailbox, rng: Random) -> None:
    async with audience(app) as people:
        new = new_order(rng)
        held = links.mail.hold_request(new["email"])
        order = await create(app, new)
        await all_hear(people, order)
        await held.arrived()
        held.release()
        await received(mailbox, new["email"], [f"Pedido {order['id']}: received"])
        order = await change(app, order, "shipped")
        await all_hear(people, order)
        await received(mailbox, new["email"], [f"Pedido {order['id']}: {status}" for status in ("received", "shipped")])


async def received(mailbox: Mailbox, address: str, expected: list[str]) -> None:
    """Espera a que le hayan llegado a esa dirección los correos de esos asuntos; los de otros controles no cuentan."""
    found: list[str] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(patience(2.0)):
            async for mails in mailbox.changes():
                found = [mail.subject for mail in mails if address in mail.recipients]
                if len(found) >= len(expected):
                    break
    expect(found, expected, f"los asuntos de los correos a {address}")
