"""Controles de 5.5: una sesión que no depende de la conexión ni del proceso, y que no se adivina."""

import math
from random import Random
from typing import Any

import pytest
from redis.asyncio import Redis

from taller.checking import App, Approx, Launch, Matching, Mismatch, check, expect, frozen_after
from taller.services import Valkey
from taller.wire import WebSocketClient

SECTION = "una-sesión-que-no-vive-en-la-conexión"
TTL = Random().randint(300, 1500)
TOKEN = Matching(description="un token")
UNKNOWN = {"type": "error", "reason": "unknown_session"}
TOKENS = 48
ENOUGH_BITS = 90


@pytest.fixture(scope="module")
def app_env(valkey_server: Valkey) -> dict[str, str]:
    return {"REDIS_URL": valkey_server.url, "SESSION_TTL": str(TTL)}


def product(rng: Random) -> str:
    return rng.choice(["pan", "té", "piñones", "café", "arroz"]) + str(rng.randrange(1000))


async def start(client: WebSocketClient) -> str:
    answer = await client.exchange({"type": "start"}, {"type": "session", "token": TOKEN, "cart": {}})
    token: str = answer["token"]
    return token


async def resume(client: WebSocketClient, token: str, cart: dict[str, int]) -> None:
    answer = await client.exchange({"type": "resume", "token": token}, {"type": "session", "token": token})
    same_cart(answer, cart, "el carrito de la sesión recuperada")


async def add(client: WebSocketClient, what: str, units: int, cart: dict[str, int]) -> None:
    """Añade y espera el carrito entero; `cart` es como estaba, y queda como debe estar."""
    cart[what] = cart.get(what, 0) + units
    answer = await client.exchange({"type": "add", "product": what, "units": units}, {"type": "cart"})
    same_cart(answer, cart, "el carrito")


def same_cart(answer: dict[str, Any], cart: dict[str, int], what: str) -> None:
    """Aquí un producto de más también es un error."""
    received = answer.get("cart")
    expect(received, cart, what)
    expect(sorted(received or {}), sorted(cart), "los productos del carrito")


async def unknown(client: WebSocketClient, message: dict[str, Any]) -> None:
    await client.exchange(message, UNKNOWN)
    await client.expect_close(1008)


@check(
    1,
    "Empieza una sesión y lleva el carrito",
    todo=4,
    section=SECTION,
    hints=(
        "El primer mensaje dice si es «start» o «resume»; los demás son «add», hasta que se vaya.",
        "El carrito lo da sessions.cart(token): suma las unidades de un producto que ya estaba.",
        "Cada sesión tiene su clave, con su token: dos clientes no comparten carrito.",
    ),
)
async def test_cart(app: App, redis_server: Valkey, rng: Random) -> None:
    async with app.websocket("/ws", name="Ana") as ana, app.websocket("/ws", name="Luis") as luis:
        carts: list[dict[str, int]] = [{}, {}]
        await start(ana)
        await start(luis)
        bread = product(rng)
        for client, cart in zip((ana, luis), carts, strict=True):
            for what in (bread, product(rng), bread):
                await add(client, what, rng.randint(1, 9), cart)


@check(
    2,
    "La sesión se recupera en otro proceso",
    todo=4,
    points=2,
    needs=("test_cart",),
    section=SECTION,
    hints=(
        "La conexión se corta y el cliente vuelve a otro proceso, que no ha visto nada: todo tiene que estar en Redis.",
        "Con «resume», el token es el que trae el mensaje, y se contesta con el carrito como estaba.",
    ),
)
async def test_resumes_elsewhere(app: App, launch: Launch, redis_server: Valkey, rng: Random) -> None:
    cart: dict[str, int] = {}
    async with launch(name="app 2") as second:
        async with app.websocket("/ws") as client:
            token = await start(client)
            await add(client, product(rng), rng.randint(1, 9), cart)
            await client.abort()
        for each in (second, app):
            async with each.websocket("/ws") as client:
                await resume(client, token, cart)
                await add(client, product(rng), rng.randint(1, 9), cart)


@check(
    3,
    "Lo contestado está guardado, aunque el proceso muera en ese instante",
    todo=3,
    points=2,
    needs=("test_resumes_elsewhere",),
    section=SECTION,
    hints=(
        "kill -9 no avisa: lo que ibas a guardar al cerrar la conexión no se guarda.",
        "Guarda primero y contesta después.",
    ),
)
async def test_survives_a_kill(app: App, launch: Launch, redis_server: Valkey, rng: Random) -> None:
    cart: dict[str, int] = {}
    async with launch(name="app 2") as dying:
        async with dying.websocket("/ws") as client:
            token = await start(client)
            for _ in range(rng.randint(1, 3)):
                await add(client, product(rng), rng.randint(1, 9), cart)
            await dying.kill()
        async with app.websocket("/ws") as client:
            await resume(client, token, cart)


@check(
    4,
    "El token no se puede adivinar",
    todo=1,
    points=2,
    needs=("test_cart",),
    section="el-token-es-la-llave",
    hints=(
        "Un contador, la hora o un uuid1 se adivinan: quien tiene uno tiene casi los demás.",
        "secrets.token_urlsafe(32) da 256 bits de azar del sistema operativo.",
    ),
)
async def test_token_cannot_be_guessed(app: App, redis_server: Valkey, rng: Random) -> None:
    tokens = []
    for _ in range(TOKENS):
        async with app.websocket("/ws") as client:
            tokens.append(await start(client))
    expect(len(set(tokens)), TOKENS, "tokens distintos")
    bits = varying_bits(tokens)
    if bits < ENOUGH_BITS:
        seen = f"{tokens[0]}, {tokens[1]}, {tokens[2]}…"
        raise Mismatch("tokens de 120 bits de azar", f"{TOKENS} en los que solo varían unos {bits:.0f} bits: {seen}")
    async with app.websocket("/ws") as client:
        guess = tokens[-1][:-1] + ("A" if tokens[-1][-1] != "A" else "B")
        await unknown(client, {"type": "resume", "token": guess})


def varying_bits(tokens: list[str]) -> float:
    """Cuánto varían unos tokens, letra a letra; se queda corto, porque la muestra es pequeña."""
    return sum(math.log2(len(set(letters))) for letters in zip(*tokens, strict=False))


@check(
    5,
    "Una sesión que no existe se rechaza y no deja nada en Redis",
    todo=2,
    needs=("test_cart",),
    section="el-token-es-la-llave",
    hints=(
        "PEXPIRE devuelve 0 si la clave no existe: entonces la sesión no existe, y es UnknownSession.",
        "No crees una sesión con el token que trae el cliente: la llave la haces tú.",
    ),
)
async def test_unknown_session(app: App, redis_server: Valkey, rng: Random) -> None:
    for token in (rng.randbytes(16).hex(), "", "1"):
        async with app.websocket("/ws") as client:
            await unknown(client, {"type": "resume", "token": token})
    await nothing_in(redis_server)


@check(
    6,
    "La sesión caduca, y usarla alarga su vida",
    todo=2,
    points=2,
    needs=("test_resumes_elsewhere",),
    section="caducar-sin-que-nadie-limpie",
    hints=(
        "Toda clave de una sesión tiene caducidad desde que se crea: quien cierra la pestaña no avisa.",
        "Cada mensaje, y cada «resume», vuelve a ponerla en SESSION_TTL.",
    ),
)
async def test_expires(app: App, redis_server: Valkey, rng: Random) -> None:
    cart: dict[str, int] = {}
    async with redis_server.client() as redis:
        async with app.websocket("/ws") as client:
            token = await start(client)
            await lives_fully(redis, "al empezar")
            await nearly_expired(redis)
            await add(client, product(rng), 1, cart)
            await lives_fully(redis, "tras un «add»")
        await nearly_expired(redis)
        async with app.websocket("/ws") as client:
            await resume(client, token, cart)
            await lives_fully(redis, "tras un «resume»")
            await nearly_expired(redis)
            await add(client, product(rng), 1, cart)
            await lives_fully(redis, "tras otro «add»")


async def nearly_expired(redis: Redis) -> None:
    """Deja todas las claves con la mitad de su vida, como si hubiera pasado el tiempo."""
    for key in await redis.keys():
        await redis.pexpire(key, TTL * 500)


async def lives_fully(redis: Redis, when: str) -> None:
    lives = [await redis.pttl(key) / 1000 for key in await redis.keys()]
    if not lives:
        raise Mismatch(f"la sesión en Redis {when}", "ninguna clave")
    expected = [Approx(TTL * 0.9, TTL) for _ in lives]
    expect(lives, expected, f"segundos de vida de cada clave {when} (SESSION_TTL={TTL})")


@check(
    7,
    "Si caduca con la conexión abierta, no resucita a medias",
    todo=3,
    points=2,
    needs=("test_expires",),
    section="caducar-sin-que-nadie-limpie",
    hints=(
        "HINCRBY crea la clave si no existe: una sesión caducada volvería, sin caducidad y sin lo que tenía.",
        "Antes de sumar, renueva: si la sesión ya no está, es UnknownSession.",
    ),
)
async def test_no_zombies(app: App, redis_server: Valkey, rng: Random) -> None:
    async with app.websocket("/ws") as client, redis_server.client() as redis:
        await start(client)
        await add(client, product(rng), 1, {})
        # Es lo que hará Redis dentro de SESSION_TTL.
        await redis.flushall()
        await unknown(client, {"type": "add", "product": product(rng), "units": 1})
    await nothing_in(redis_server)


async def nothing_in(redis_server: Valkey) -> None:
    async with redis_server.client() as redis:
        expect([key.decode() for key in await redis.keys()], [], "las claves que quedan en Redis")


@check(
    8,
    "Dos conexiones de la misma sesión no se pisan",
    todo=3,
    points=2,
    needs=("test_resumes_elsewhere",),
    section="sumar-en-redis-no-en-python",
    hints=(
        "Leer el carrito, sumar en Python y escribirlo entero borra lo que la otra conexión añadió entre medias.",
        "HINCRBY suma en Redis: cada producto es un campo del hash y nadie lee para escribir.",
    ),
)
async def test_two_connections(app: App, launch: Launch, redis_server: Valkey, rng: Random) -> None:
    bread, rice = product(rng), product(rng) + "b"
    async with (
        launch(name="app 2") as second,
        app.websocket("/ws", name="móvil") as phone,
        second.websocket("/ws", name="portátil") as laptop,
    ):
        await resume(laptop, await start(phone), {})
        for stage in range(3):
            redis_server.pause()
            await phone.send_json({"type": "add", "product": bread, "units": 1})
            async with frozen_after(stage, app, redis_server):
                await laptop.exchange({"type": "add", "product": bread, "units": 1}, {"type": "cart"})
            await phone.expect({"type": "cart"}, within=2.0)
        await add(laptop, rice, 3, {bread: 6})
