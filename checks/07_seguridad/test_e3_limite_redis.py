"""Controles de 7.3: un solo límite para todos los procesos, con la cuenta y el reloj en Redis."""

import asyncio
import math
import time
from collections import Counter
from contextlib import AsyncExitStack
from random import Random
from typing import Any

import httpx
import pytest

from taller.checking import ANY, App, Approx, Launch, Mismatch, check, expect, patience
from taller.services import Valkey
from taller.wire import transcript

SECTION = "un-límite-para-todos-los-procesos"
LIMIT = Random().randint(4, 6)
WINDOW = 30.0
WORKERS = 4
EACH = 20


@pytest.fixture(scope="module")
def app_env(valkey_server: Valkey) -> dict[str, str]:
    return {
        "REDIS_URL": valkey_server.url,
        "REDIS_TIMEOUT": str(patience(1.0)),
        "LIMIT": str(LIMIT),
        "WINDOW_SECONDS": str(WINDOW),
    }


def someone(rng: Random) -> str:
    return f"{rng.choice(['ana', 'luis', 'eva', 'iñigo'])}-{rng.randrange(10**6)}"


async def send(app: App, user: str, status: Any) -> httpx.Response:
    return await app.post("/messages", json={"user": user, "text": "¡hola!"}, status=status, within=2.0)


async def accepted(app: App, user: str, remaining: Any) -> None:
    response = await send(app, user, 202)
    expect(response.json(), {"remaining": remaining}, "la respuesta al mensaje aceptado")


async def stopped(app: App, user: str, retry_after: Any = ANY) -> float:
    """Un 429 que dice lo mismo de sus dos maneras; devuelve los segundos."""
    response = await send(app, user, 429)
    expect(response.json(), {"retry_after": retry_after}, "la respuesta al mensaje rechazado")
    wait = float(response.json()["retry_after"])
    header = response.headers.get("retry-after", "(falta)")
    expect(header, str(math.ceil(wait)), f"la cabecera Retry-After de quien debe esperar {wait:g} s")
    return wait


@check(
    1,
    "Se aceptan LIMIT mensajes de cada usuario; al siguiente, 429 con cuándo volver",
    todo=1,
    points=2,
    section=SECTION,
    hints=(
        "Hacen falta los tres TODO, por su orden: el guion, ask() y la ruta.",
        "El guion devuelve {1, cuántos caben} o {0, microsegundos}: ask() lo convierte en una Decision.",
        "Cada usuario tiene su clave: limit:{user}. Y cada mensaje, su nombre dentro del conjunto ordenado.",
        "Retry-After va en segundos enteros: math.ceil(retry_after).",
    ),
)
async def test_limit(app: App, redis_server: Valkey, rng: Random) -> None:
    one, other = someone(rng), someone(rng) + "b"
    before = time.monotonic()
    await accepted(app, one, LIMIT - 1)
    after = time.monotonic()
    for taken in range(2, LIMIT + 1):
        await accepted(app, one, LIMIT - taken)
    asked = time.monotonic()
    wait = await stopped(app, one)
    bounds = Approx(before + WINDOW - time.monotonic() - 0.005, after + WINDOW - asked + 0.005)
    expect(wait, bounds, "retry_after, según cuándo se aceptó el primero")
    await accepted(app, other, LIMIT - 1)


@check(
    2,
    "El límite es uno, en todos los procesos y en el que acaba de arrancar",
    todo=2,
    points=2,
    needs=("test_limit",),
    section=SECTION,
    hints=(
        "Lo que un proceso guarda en su memoria no lo ve el de al lado, y se pierde cuando termina.",
        "La clave solo puede depender del usuario: nada que cambie de un proceso a otro.",
    ),
)
async def test_every_worker(app: App, launch: Launch, redis_server: Valkey, rng: Random) -> None:
    user, before = someone(rng), LIMIT // 2
    for taken in range(1, before + 1):
        await accepted(app, user, LIMIT - taken)
    async with launch(name="app 2") as newborn:
        for taken in range(before + 1, LIMIT + 1):
            await accepted((newborn, app)[taken % 2], user, LIMIT - taken)
        await stopped(newborn, user)
        await stopped(app, user)


@check(
    3,
    "Ochenta a la vez por cuatro procesos: pasan LIMIT",
    todo=1,
    points=3,
    needs=("test_every_worker",),
    section="mirar-y-apuntar-a-la-vez",
    hints=(
        "Todos miran cuántos hay, todos ven que caben y todos apuntan: entre mirar y apuntar se cuelan los demás.",
        "Un guion Lua se ejecuta entero antes que cualquier otra orden: cuenta y apunta en el mismo.",
    ),
)
async def test_at_once(app: App, launch: Launch, redis_server: Valkey, rng: Random) -> None:
    async with AsyncExitStack() as stack:
        others = [stack.enter_async_context(launch(name=f"app {number}")) for number in range(2, WORKERS + 1)]
        workers = [app, *await asyncio.gather(*others)]
        body = {"user": someone(rng), "text": "¡hola!"}
        bursts = (worker.burst("POST", "/messages", EACH, json=body, within=3.0) for worker in workers)
        responses = [response for burst in await asyncio.gather(*bursts) for response in burst]
    counted = Counter(response.status_code for response in responses)
    expect(dict(counted), {202: LIMIT, 429: WORKERS * EACH - LIMIT}, "cuántas respuestas de cada código")


@check(
    4,
    "La ventana se desliza, y quien insiste no retrasa su momento",
    todo=1,
    points=2,
    needs=("test_limit",),
    section="un-conjunto-ordenado",
    hints=(
        "Un contador con caducidad (INCR y PEXPIRE) es una ventana fija: se vacía de golpe.",
        "Antes de contar, quita los que ya han salido: ZREMRANGEBYSCORE clave -inf (ahora - ventana).",
        "Apunta (ZADD) solo si cabe; lo rechazado no deja rastro.",
    ),
)
async def test_slides(launch: Launch, redis_server: Valkey, rng: Random) -> None:
    window, user, nagger = patience(0.4), someone(rng), someone(rng) + "b"
    async with launch(env={"WINDOW_SECONDS": str(window), "LIMIT": "3"}) as app:
        await asyncio.gather(slides(app, user, window), insists(app, nagger, window))


async def slides(app: App, user: str, window: float) -> None:
    """1 al principio y 2 más tarde: cuando el primero ya ha salido de la ventana cabe 1, no 2 ni 3."""
    await accepted(app, user, 2)
    # Aquí el tiempo es lo que se prueba.
    await asyncio.sleep(window * 0.6)
    await accepted(app, user, 1)
    await accepted(app, user, 0)
    await asyncio.sleep(window * 0.6)
    await accepted(app, user, 0)
    await stopped(app, user)


async def insists(app: App, user: str, window: float) -> None:
    """1 al principio, 2 más tarde y muchos rechazados: cuando el primero sale de la ventana cabe otro."""
    await accepted(app, user, 2)
    free_at = time.monotonic() + window
    await asyncio.sleep(window * 0.4)
    await accepted(app, user, 1)
    await accepted(app, user, 0)
    while time.monotonic() < free_at - window * 0.3:
        await stopped(app, user)
        await asyncio.sleep(0.05)
    await asyncio.sleep(free_at - time.monotonic())
    await accepted(app, user, ANY)


@check(
    5,
    "De quien no vuelve no queda nada en Redis",
    todo=1,
    needs=("test_limit",),
    section="un-conjunto-ordenado",
    hints=(
        "Cada clave que escribas necesita caducidad: PEXPIRE, en milisegundos, dentro del guion.",
        "Renuévala en cada mensaje aceptado: tiene que durar lo que el más nuevo.",
    ),
)
async def test_expires(app: App, redis_server: Valkey, rng: Random) -> None:
    for _ in range(3):
        user = someone(rng)
        await accepted(app, user, LIMIT - 1)
        await accepted(app, user, LIMIT - 2)
    async with redis_server.client(decode_responses=True) as redis:
        lives = {key: await redis.pttl(key) / 1000 async for key in redis.scan_iter()}
    transcript.add("control", "Redis", "redis", f"PTTL de cada clave, en segundos: {lives}")
    if not lives:
        raise Mismatch("alguna clave en Redis con la cuenta", "ninguna")
    for key, life in lives.items():
        expect(life, Approx(WINDOW / 2, WINDOW * 1.5), f"los segundos que le quedan a {key} (-0.001: no caduca)")


@check(
    6,
    "La hora es la de Redis",
    todo=1,
    points=2,
    needs=("test_slides",),
    section="la-hora-de-quién",
    hints=(
        "Redis ha tardado en atender al proceso: el mensaje cuenta desde que lo apunta Redis, no desde que se pidió.",
        "redis.call('TIME') dentro del guion da los segundos y los microsegundos de Redis. No mandes la hora en ARGV.",
    ),
)
async def test_clock(launch: Launch, redis_server: Valkey, rng: Random) -> None:
    window, user = patience(0.3), someone(rng)
    async with launch(env={"WINDOW_SECONDS": str(window), "LIMIT": "1"}) as app:
        await accepted(app, "otra persona", 0)
        async with redis_server.client() as redis:
            transcript.add("control", "Redis", "redis", f"CLIENT PAUSE: no atiende a nadie en {window * 0.7:.2f} s")
            await redis.client_pause(round(window * 700))
        # Se envía ahora, y Redis lo apunta cuando vuelve: cuenta hasta una ventana después de eso.
        await accepted(app, user, 0)
        await asyncio.sleep(window * 0.5)
        await stopped(app, user, Approx(0, window * 0.55))


@check(
    7,
    "Sin Redis, 503 y nada sin contar; cuando vuelve, todo sigue",
    todo=3,
    points=2,
    needs=("test_limit",),
    section="cuando-redis-no-está",
    hints=(
        "Sin Redis no se sabe si cabe: contesta 503 con Retry-After, en vez de dejar pasar o de romperte.",
        "Las órdenes a Redis lanzan RedisError u OSError: captúralas alrededor de limiter.ask().",
        "Un Redis nuevo no conoce el guion: register_script lo vuelve a enviar; con evalsha a mano, hazlo tú.",
    ),
)
async def test_redis_away(app: App, redis_server: Valkey, rng: Random) -> None:
    user = someone(rng)
    await accepted(app, user, LIMIT - 1)
    await redis_server.kill()
    for _ in range(2):
        response = await send(app, user, 503)
        expect(response.headers.get("retry-after", "(falta)"), "1", "la cabecera Retry-After del 503")
    await redis_server.start()
    await accepted(app, user, LIMIT - 1)
