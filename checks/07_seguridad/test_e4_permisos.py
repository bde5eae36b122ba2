"""Controles de 7.4: lo que puede cada uno, al entrar, al publicar y cuando se le quita con la conexión abierta."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

import pytest
from redis.asyncio import Redis

from taller.checking import App, Link, Mismatch, check, expect, link_to, patience
from taller.services import Valkey
from taller.wire import WebSocketClient, transcript

SECTION = "permisos-por-sala"
ADMIN = f"jefa-{Random().randrange(10**6)}"


@pytest.fixture(scope="module")
async def redis_link(valkey_server: Valkey) -> AsyncIterator[Link]:
    """El cable de «app», que el control puede sujetar; «app 2» va por el suyo."""
    async with link_to(valkey_server.url) as link:
        yield link


@pytest.fixture(scope="module")
def app_env(redis_link: Link) -> dict[str, str]:
    return {"REDIS_URL": redis_link.url, "ADMIN": ADMIN}


@pytest.fixture(scope="module")
def second_env(valkey_server: Valkey) -> dict[str, str]:
    return {"REDIS_URL": valkey_server.url}


@pytest.fixture
def link(redis_link: Link, redis_server: Valkey) -> Iterator[Link]:
    yield redis_link
    redis_link.let_go()


def new_room(rng: Random, letter: str = "") -> str:
    return f"sala-{rng.randrange(10**6)}{letter}"


def new_text(rng: Random) -> str:
    return f"hola {rng.randrange(10**6)} ñ€"


async def grant(app: App, room: str, **roles: str) -> None:
    for user, role in roles.items():
        path = f"/rooms/{room}/members/{user}"
        await app.request("PUT", path, json={"role": role}, headers={"X-User": ADMIN}, client="admin", status=204)


async def revoke(app: App, room: str, user: str) -> None:
    path = f"/rooms/{room}/members/{user}"
    await app.request("DELETE", path, headers={"X-User": ADMIN}, client="admin", status=204)


@asynccontextmanager
async def connected(app: App, *users: str) -> AsyncIterator[list[WebSocketClient]]:
    async with AsyncExitStack() as stack:
        opened = [app.websocket("/ws", name=user, headers={"X-User": user}) for user in users]
        yield [await stack.enter_async_context(client) for client in opened]


async def join(client: WebSocketClient, *rooms: str) -> None:
    for room in rooms:
        await client.exchange({"type": "join", "room": room}, {"type": "joined", "room": room})


def forbidden(room: str) -> dict[str, Any]:
    return {"type": "error", "reason": "forbidden", "room": room}


async def publish(client: WebSocketClient, room: str, text: str) -> None:
    await client.send_json({"type": "publish", "room": room, "text": text})


async def receive(room: str, user: str, text: str, *clients: WebSocketClient) -> None:
    for client in clients:
        await client.expect({"type": "message", "room": room, "user": user, "text": text})


async def is_heard(room: str, text: str, speaker: WebSocketClient, *others: WebSocketClient) -> None:
    await publish(speaker, room, text)
    await receive(room, speaker.name, text, speaker, *others)


@check(
    1,
    "Los miembros entran y se oyen, en todos los procesos",
    todo=4,
    section=SECTION,
    hints=(
        "handle() recibe cada suceso publicado en Redis: ponlo en el buzón de quienes están en esa sala.",
        "join() sienta a quien es miembro y se lo dice en su buzón.",
        "Cada sala es de los suyos: lo que se publica en una no llega a otra.",
    ),
)
async def test_members_talk(app: App, second: App, redis_server: Valkey, rng: Random) -> None:
    here, there = new_room(rng), new_room(rng, "b")
    await grant(app, here, ana="writer", luis="reader")
    await grant(app, there, eva="writer")
    async with connected(app, "ana", "eva") as (ana, eva), connected(second, "luis") as (luis,):
        await join(ana, here)
        await join(luis, here)
        await join(eva, there)
        for _ in range(2):
            await is_heard(here, new_text(rng), ana, luis)
        await is_heard(there, new_text(rng), eva)


@check(
    2,
    "Solo administra quien administra",
    todo=3,
    needs=("test_members_talk",),
    section=SECTION,
    hints=(
        "revoke() quita al usuario del hash: después, ya no puede entrar.",
        "require_admin ya está escrito: no lo quites.",
    ),
)
async def test_admin(app: App, redis_server: Valkey, rng: Random) -> None:
    room = new_room(rng)
    await grant(app, room, ana="writer")
    path = f"/rooms/{room}/members"
    for user in ("ana", "luis", ADMIN.upper()):
        who = {"X-User": user}
        await app.request("PUT", f"{path}/luis", json={"role": "writer"}, headers=who, client=user, status=403)
        await app.request("DELETE", f"{path}/ana", headers=who, client=user, status=403)
    await grant(app, room, luis="reader")
    await revoke(app, room, "ana")
    async with connected(app, "ana", "luis") as (ana, luis):
        await ana.exchange({"type": "join", "room": room}, forbidden(room))
        await join(luis, room)


@check(
    3,
    "Quien no es miembro ni entra ni oye, y la conexión sigue",
    todo=1,
    points=2,
    needs=("test_members_talk",),
    section="al-entrar",
    hints=(
        "Antes de sentar a nadie, mira su papel: None es que no es miembro.",
        "A quien no puede no se le sienta: si se le sienta y luego se le contesta el error, oye igual.",
        "Ser miembro de una sala no lo es de las demás; y de una que no existe no lo es nadie.",
    ),
)
async def test_join_needs_membership(app: App, redis_server: Valkey, rng: Random) -> None:
    mine, theirs = new_room(rng), new_room(rng, "b")
    await grant(app, mine, ana="writer", luis="reader")
    await grant(app, theirs, eva="writer")
    async with connected(app, "luis", "eva") as (luis, eva):
        await luis.exchange({"type": "join", "room": theirs}, forbidden(theirs))
        await luis.exchange({"type": "join", "room": new_room(rng, "c")}, {"type": "error", "reason": "forbidden"})
        await join(luis, mine)
        await join(eva, theirs)
        await is_heard(theirs, new_text(rng), eva)
        async with connected(app, "ana") as (ana,):
            await join(ana, mine)
            await is_heard(mine, new_text(rng), ana, luis)


@check(
    4,
    "Para publicar hay que poder en ese momento",
    todo=2,
    points=3,
    needs=("test_members_talk",),
    section="en-cada-mensaje",
    hints=(
        "Lo que podía al entrar no es lo que puede ahora: mira su papel cada vez que publica.",
        "«reader» lee y no publica; y haber entrado, o no, no cambia nada: «fuera» puede publicar y no está dentro.",
        'if await self.role(room, seat.user) == "writer": …',
    ),
)
async def test_publish_needs_writer(app: App, redis_server: Valkey, rng: Random) -> None:
    room = new_room(rng)
    await grant(app, room, ana="writer", luis="reader", testigo="writer", fuera="writer")
    async with connected(app, "ana", "luis", "eva", "testigo", "fuera") as (ana, luis, eva, witness, outside):
        for client in (ana, luis, witness):
            await join(client, room)
        for intruder in (luis, eva):
            await intruder.exchange({"type": "publish", "room": room, "text": "no debo"}, forbidden(room))
        # Con la conexión abierta cambian los papeles, y cuenta el de ahora.
        await grant(app, room, luis="writer", ana="reader")
        await is_heard(room, new_text(rng), luis, ana, witness)
        await ana.exchange({"type": "publish", "room": room, "text": "ya no debo"}, forbidden(room))
        await is_heard(room, new_text(rng), witness, ana, luis)
        await publish(outside, room, "sin entrar")
        await receive(room, "fuera", "sin entrar", ana, luis, witness)


@check(
    5,
    "Quitar el permiso vale para las conexiones abiertas, en todos los procesos",
    todo=3,
    points=3,
    needs=("test_join_needs_membership", "test_publish_needs_writer"),
    section="con-la-conexión-abierta",
    hints=(
        "Quien ya estaba dentro sigue recibiendo: nadie ha dicho a su conexión que ya no es miembro.",
        "Su conexión puede estar en otro proceso: publica un «removed» en CHANNEL, y que lo atienda handle().",
        "Solo de esa sala, y solo a esa persona: sigue conectada y en las demás, y los otros siguen dentro.",
        "Por el mismo canal que los mensajes: así, lo que se publica después llega después.",
    ),
)
async def test_revocation(app: App, second: App, redis_server: Valkey, rng: Random) -> None:
    here, there = new_room(rng), new_room(rng, "b")
    for room in (here, there):
        await grant(app, room, ana="writer", luis="writer")
    async with connected(app, "luis", "ana") as (luis, ana), connected(second, "luis") as (luis_far,):
        for client in (luis, ana, luis_far):
            await join(client, here, there)
        await revoke(second, here, "luis")
        await is_heard(here, new_text(rng), ana)
        text = new_text(rng)
        await publish(ana, there, text)
        for client in (luis, luis_far):
            await client.expect({"type": "removed", "room": here})
        await receive(there, "ana", text, ana, luis, luis_far)
        await luis.exchange({"type": "publish", "room": here, "text": "¿sigo?"}, forbidden(here))
        await luis_far.exchange({"type": "join", "room": here}, forbidden(here))
        await is_readmitted(app, here, luis, ana)


async def is_readmitted(app: App, room: str, member: WebSocketClient, other: WebSocketClient) -> None:
    """Vuelve a ser miembro: por la misma conexión puede entrar otra vez, y oye una vez cada mensaje."""
    await grant(app, room, **{member.name: "reader"})
    await join(member, room)
    for text in ("uno", "dos"):
        await is_heard(room, text, other, member)


@check(
    6,
    "Lo revocado durante un corte con Redis se cumple al volver",
    todo=5,
    points=2,
    needs=("test_revocation",),
    section="cuando-el-aviso-se-pierde",
    hints=(
        "Pub/Sub no guarda nada: si la conexión estaba cortada, el «removed» no llega nunca.",
        "Al volver a suscribirse, el proceso mira otra vez los permisos de quienes tiene dentro: recheck().",
    ),
)
async def test_lost_revocation(app: App, redis_server: Valkey, rng: Random) -> None:
    room = new_room(rng)
    await grant(app, room, ana="writer", luis="reader")
    async with connected(app, "ana", "luis") as (ana, luis), redis_server.client() as redis:
        await join(ana, room)
        await join(luis, room)
        await cut_and_remove(redis, room, "luis")
        await luis.expect({"type": "removed", "room": room}, within=2.0)
        await talks_again(ana, room)
        await luis.exchange({"type": "join", "room": room}, forbidden(room))


async def cut_and_remove(redis: Redis, room: str, user: str) -> None:
    """Otro proceso le quita el permiso justo cuando este no oye: lo que publique no llega."""
    transcript.add("control", "Redis", "redis", f"corta Pub/Sub y, de una vez, HDEL room:{room}:roles {user}")
    async with redis.pipeline(transaction=True) as at_once:
        at_once.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        at_once.hdel(f"room:{room}:roles", user)
        *_, removed = await at_once.execute()
    expect(removed, 1, f"el papel de {user} en el hash room:{room}:roles (1: estaba)")


async def talks_again(client: WebSocketClient, room: str) -> None:
    """Quien sigue siendo miembro sigue oyendo; hay un plazo para que el proceso vuelva a estar suscrito."""
    deadline = asyncio.get_running_loop().time() + patience(2.0)
    while asyncio.get_running_loop().time() < deadline:
        try:
            await is_heard(room, "¿se oye?", client)
        except Mismatch:
            continue
        return
    raise Mismatch("que quien sigue siendo miembro vuelva a oír lo que se publica", "nada en 2 s")


@check(
    7,
    "Mientras se le quita el permiso, no se cuela",
    todo=3,
    points=2,
    needs=("test_revocation",),
    section="al-entrar",
    hints=(
        "El control sujeta el cable con Redis a mitad de un «join» o de un DELETE, y mientras tanto pasa lo demás.",
        "Primero deja de ser miembro y después se dice: al revés, entre las dos cosas puede volver a entrar.",
        "En join(), el papel se mira con self.role(), que vuelve a preguntar si han echado a alguien mientras tanto.",
    ),
)
async def test_no_gap(link: Link, app: App, second: App, rng: Random) -> None:
    room, other = new_room(rng), new_room(rng, "b")
    for each in (room, other):
        await grant(app, each, ana="writer", luis="reader")
    async with connected(app, "ana") as (near,), connected(second, "ana") as (far,):
        for client in (near, far):
            await join(client, room, other)
        await leaves_while_joining(link, (app, second), room, (far, near))
        await joins_while_leaving(link, (app, second), other, (far, near))


# «app», que va por el cable, y «app 2»; y las conexiones de Ana, con la de «app 2» delante.
Apps = tuple[App, App]
Anas = tuple[WebSocketClient, WebSocketClient]


async def leaves_while_joining(link: Link, apps: Apps, room: str, anas: Anas) -> None:
    """Redis ya le ha dicho a «app» que Luis es miembro cuando, por «app 2», deja de serlo."""
    async with connected(apps[0], "luis") as (luis,):
        held = link.hold_reply_to("HGET")
        await luis.send_json({"type": "join", "room": room})
        await held.arrived()
        await revoke(apps[1], room, "luis")
        await is_heard(room, "¿se oye?", *anas)
        held.release()
        answer = await luis.expect({"room": room})
        await publish(anas[0], room, "sin Luis")
        if answer.get("type") == "joined":
            await luis.expect({"type": "removed", "room": room})
        else:
            expect(answer, forbidden(room), "lo que se contesta a quien ya no es miembro")
        await receive(room, "ana", "sin Luis", *anas)


async def joins_while_leaving(link: Link, apps: Apps, room: str, anas: Anas) -> None:
    """Por «app» están echando a Luis, y aún no se ha hecho, cuando entra por «app 2»."""
    held = link.hold_request("HDEL")
    revoking = asyncio.create_task(revoke(apps[0], room, "luis"))
    await held.arrived_unless(revoking)
    # Los canales de Redis van por orden: lo que se hubiera dicho ya lo han oído los dos procesos.
    await is_heard(room, "¿se oye?", *anas)
    async with connected(apps[1], "luis") as (luis,):
        answer = await luis.exchange({"type": "join", "room": room}, {"room": room})
        held.release()
        await revoking
        await publish(anas[0], room, "sin Luis")
        if answer.get("type") == "joined":
            await luis.expect({"type": "removed", "room": room})
