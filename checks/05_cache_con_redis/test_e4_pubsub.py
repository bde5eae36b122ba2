"""Controles de 5.4: lo que se publica llega a los WebSockets de todos los procesos, también tras un corte."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

import pytest
from redis.asyncio import Redis

from taller.checking import App, Approx, Launch, Matching, Mismatch, check, eventually, expect, patience
from taller.services import Valkey
from taller.wire import WebSocketClient, transcript

SECTION = "3-pubsub-para-eventos-en-tiempo-real"
EVENT_ID = Matching(r"\d+-\d+", "un identificador del Stream, como 1690-0")


@pytest.fixture(scope="module")
def app_env(valkey_server: Valkey) -> dict[str, str]:
    return {"REDIS_URL": valkey_server.url}


def new_topic(rng: Random) -> str:
    return f"tema-{rng.randrange(10**6)}"


def new_text(rng: Random) -> str:
    return f"suceso {rng.randrange(10**6)} ñ€"


@asynccontextmanager
async def followers(topic: str, apps: dict[str, App]) -> AsyncIterator[list[WebSocketClient]]:
    """Un WebSocket ya dispuesto por cada nombre de `apps`, en la app que se dice."""
    async with AsyncExitStack() as stack:
        clients = []
        for name, app in apps.items():
            clients.append(await stack.enter_async_context(app.websocket(f"/topics/{topic}/ws", name=name)))
            await clients[-1].expect({"type": "ready"}, within=2.0)
        yield clients


async def post(app: App, topic: str, text: str) -> str:
    response = await app.post(f"/topics/{topic}", json={"text": text}, status=202)
    expect(response.json(), {"id": EVENT_ID}, "la respuesta al POST")
    event_id: str = response.json()["id"]
    return event_id


async def announce(redis: Redis, topic: str, text: str) -> str:
    """Lo que hace otro programa para publicar: escribir en el Stream y avisar por el canal."""
    event_id = await write(redis, topic, text)
    transcript.add("otro programa", "Redis", "redis", f"PUBLISH topic:{topic}")
    await redis.publish(f"topic:{topic}", json.dumps({"id": event_id, "text": text}))
    return event_id


async def write(redis: Redis, topic: str, text: str) -> str:
    transcript.add("otro programa", "Redis", "redis", f"XADD topic:{topic} * text {text}")
    return str((await redis.xadd(f"topic:{topic}", {"text": text})).decode())


async def receive(clients: list[WebSocketClient], event_id: Any, text: str, within: float = 1.0) -> None:
    for client in clients:
        await client.expect({"type": "event", "id": event_id, "text": text}, within=within)


@check(
    1,
    "Publica en el Stream y en el canal, para que lo entienda cualquier programa",
    todo=1,
    section=SECTION,
    hints=(
        "Primero XADD, que da el identificador; después PUBLISH, que lo lleva.",
        'El mensaje del canal es JSON con los dos campos, {"id": …, "text": …}: json.dumps().',
        "El Stream y el canal se llaman igual, topic:{tema}.",
    ),
)
async def test_published(app: App, redis_server: Valkey, rng: Random) -> None:
    topic, text = new_topic(rng), new_text(rng)
    async with redis_server.client() as redis, redis.pubsub() as channel:
        await channel.subscribe(f"topic:{topic}")
        event_id = await post(app, topic, text)
        stored = [(key.decode(), fields) for key, fields in await redis.xrange(f"topic:{topic}")]
        expect(stored, [(event_id, {b"text": text.encode()})], f"lo que guarda el Stream topic:{topic}")
        message = await eventually(
            lambda: channel.get_message(ignore_subscribe_messages=True),
            lambda message: message is not None,
            f"un mensaje en el canal topic:{topic}",
        )
        expect(as_json(message), {"id": event_id, "text": text}, f"el mensaje que llega por el canal topic:{topic}")


def as_json(message: Any) -> Any:
    """Lo que trae un mensaje de Pub/Sub; si no es JSON, tal cual."""
    try:
        return json.loads(message["data"])
    except ValueError:
        return repr(message["data"])


@check(
    2,
    "Al entrar en un tema, el proceso se suscribe a su canal",
    todo=2,
    needs=("test_published",),
    section="una-suscripción-por-proceso",
    hints=(
        "join() apunta el buzón del WebSocket al tema y, si es el primero, se suscribe al canal topic:{tema}.",
        "«ready» sale cuando join() ha terminado: si lanza una excepción, el WebSocket se cierra sin decirlo.",
    ),
)
async def test_joins(app: App, redis_server: Valkey, rng: Random) -> None:
    topic = new_topic(rng)
    async with followers(topic, {"Ana": app}), redis_server.client() as redis:
        [(_, counted)] = await redis.pubsub_numsub(f"topic:{topic}")
        expect(counted, Approx(1, 9), f"suscripciones al canal topic:{topic}, tras el «ready» de Ana")


@check(
    3,
    "Lo publicado llega a quien sigue el tema, y a nadie más",
    todo=4,
    needs=("test_joins",),
    section=SECTION,
    hints=(
        "catch_up() lee del Stream lo que va detrás de topic.last y lo pone en cada buzón del tema.",
        "Con cada suceso repartido, topic.last avanza; si no, el siguiente aviso los repite todos.",
        "listen() se queda esperando hasta que join() lo despierta: self.subscribed.set().",
    ),
)
async def test_delivered(app: App, redis_server: Valkey, rng: Random) -> None:
    here, there = new_topic(rng), new_topic(rng) + "b"
    async with followers(here, {"Ana": app, "Luis": app}) as near, followers(there, {"Eva": app}) as far:
        for _ in range(3):
            text = new_text(rng)
            await receive(near, await post(app, here, text), text)
        text = new_text(rng)
        await receive(far, await post(app, there, text), text)


@check(
    4,
    "Quien entra no recibe lo que se publicó antes",
    todo=2,
    needs=("test_delivered",),
    section=SECTION,
    hints=(
        "Al suscribirse llega un mensaje «subscribe», y catch_up() reparte lo que hay detrás de topic.last.",
        'El Topic empieza en el último identificador del Stream (XREVRANGE, count=1); o en "0-0", si está vacío.',
    ),
)
async def test_no_history(app: App, redis_server: Valkey, rng: Random) -> None:
    topic = new_topic(rng)
    for _ in range(2):
        await post(app, topic, new_text(rng))
    async with followers(topic, {"Ana": app}) as ana:
        text = new_text(rng)
        await receive(ana, await post(app, topic, text), text)


@check(
    5,
    "Llega a los WebSockets de todos los procesos, lo publique quien lo publique",
    todo=1,
    points=2,
    needs=("test_delivered",),
    section=SECTION,
    hints=(
        "Un proceso no ve los WebSockets del otro: todo suceso pasa por Redis, también los propios.",
        "publish() no reparte nada por su cuenta: escribe y avisa, y el aviso llega a todos, también a este proceso.",
        "Otro programa publica con XADD y PUBLISH: no des por hecho que todo entra por tu POST.",
    ),
)
async def test_two_workers(app: App, launch: Launch, redis_server: Valkey, rng: Random) -> None:
    topic = new_topic(rng)
    async with (
        launch(name="app 2") as second,
        followers(topic, {"Ana": app, "Luis": second}) as everyone,
        redis_server.client() as redis,
    ):
        for publisher in (app, second, app):
            text = new_text(rng)
            await receive(everyone, await post(publisher, topic, text), text)
        for _ in range(3):
            text = new_text(rng)
            await receive(everyone, await announce(redis, topic, text), text)
        stored = await redis.xrange(f"topic:{topic}")
        expect(len(stored), 6, f"sucesos que guarda el Stream topic:{topic}")


@check(
    6,
    "Esperar a Pub/Sub no para el proceso",
    todo=2,
    section="el-oyente-de-los-apuntes-detiene-el-proceso",
    hints=(
        "Con alguien suscrito y sin que pase nada, el proceso tiene que seguir atendiendo lo demás.",
        "El pubsub del cliente síncrono bloquea el bucle de eventos; el de redis.asyncio se recorre con async for.",
    ),
)
async def test_idle_is_free(launch: Launch, redis_server: Valkey, rng: Random) -> None:
    topic = new_topic(rng)
    async with launch() as app, followers(topic, {"Ana": app}) as (ana,):
        for _ in range(3):
            await app.get("/ping", status=200)
        async with followers(topic, {"Luis": app}) as (luis,):
            text = new_text(rng)
            await receive([ana, luis], await post(app, topic, text), text)


@check(
    7,
    "Una conexión de Pub/Sub por proceso y una suscripción por tema",
    todo=2,
    points=2,
    needs=("test_two_workers",),
    section="una-suscripción-por-proceso",
    hints=(
        "Mil WebSockets no son mil suscripciones: el proceso se suscribe una vez y reparte él.",
        "Un solo objeto pubsub para todo el proceso: cada uno es una conexión con Redis.",
        "Solo se suscribe quien encuentra el tema vacío.",
    ),
)
async def test_one_subscription(app: App, launch: Launch, redis_server: Valkey, rng: Random) -> None:
    topics = [new_topic(rng), new_topic(rng) + "b"]
    async with launch(name="app 2") as second, AsyncExitStack() as stack:
        people = {"Ana": app, "Luis": app, "Eva": second, "Hugo": second}
        inside = [await stack.enter_async_context(followers(topic, people)) for topic in topics]
        async with redis_server.client() as redis:
            counted = await redis.pubsub_numsub(*(f"topic:{topic}" for topic in topics))
            expect([times for _, times in counted], [2, 2], "suscripciones a cada tema, con dos procesos")
            connections = await redis.client_list(_type="pubsub")
            expect(len(connections), 2, "conexiones de Pub/Sub que ve Redis, con dos procesos y dos temas")
            for topic, clients in zip(topics, inside, strict=True):
                text = new_text(rng)
                await receive(clients, await announce(redis, topic, text), text)


@check(
    8,
    "Se da de baja cuando se va el último, y no antes",
    todo=3,
    points=2,
    needs=("test_delivered",),
    section="una-suscripción-por-proceso",
    hints=(
        "Una suscripción que nadie escucha sigue costando: Redis manda cada suceso y el proceso lo tira.",
        "Al irse uno, quedan otros: solo cuando el conjunto queda vacío se llama a unsubscribe().",
        "También se va quien desaparece sin despedirse: leave() se llama en un finally.",
    ),
)
async def test_unsubscribes(app: App, redis_server: Valkey, rng: Random) -> None:
    topic = new_topic(rng)
    async with redis_server.client() as redis:
        for _ in range(2):
            async with followers(topic, {"Ana": app, "Luis": app}) as (ana, luis):
                await ana.abort()
                text = new_text(rng)
                await receive([luis], await post(app, topic, text), text)
                await expect_subscriptions(redis, topic, 1)
                await luis.close()
                await expect_subscriptions(redis, topic, 0)


async def expect_subscriptions(redis: Redis, topic: str, times: int) -> None:
    """Hay un plazo para que la app vea que se han ido."""
    deadline = asyncio.get_running_loop().time() + patience(1.0)
    while True:
        [(_, counted)] = await redis.pubsub_numsub(f"topic:{topic}")
        if counted == times:
            return
        if asyncio.get_running_loop().time() > deadline:
            raise Mismatch(f"suscripciones a topic:{topic}: {times}", f"{counted}, un segundo después")


@check(
    9,
    "Lo publicado durante un corte llega después, por orden y sin repetir",
    todo=4,
    points=3,
    needs=("test_two_workers",),
    section="el-hueco-que-no-se-ve",
    hints=(
        "Redis corta la conexión, se publican tres sucesos y redis-py se vuelve a suscribir sin decir nada.",
        "La única señal es otro mensaje de tipo «subscribe»: al recibirlo, lee del Stream lo que falta.",
        "Recuerda el último identificador repartido; XRANGE con min='(' + ese identificador da los siguientes.",
    ),
)
async def test_gap_is_filled(app: App, redis_server: Valkey, rng: Random) -> None:
    topic = new_topic(rng)
    async with followers(topic, {"Ana": app, "Luis": app}) as clients, redis_server.client() as redis:
        text = new_text(rng)
        last = await announce(redis, topic, text)
        await receive(clients, last, text)
        time, _, serial = last.partition("-")
        missed = {f"{time}-{int(serial) + turn}": new_text(rng) for turn in (1, 2, 3)}
        transcript.add(
            "control", "Redis", "redis", "corta las conexiones de Pub/Sub y publica tres sucesos, de una vez"
        )
        async with redis.pipeline(transaction=True) as at_once:
            at_once.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            for event_id, text in missed.items():
                at_once.xadd(f"topic:{topic}", {"text": text}, id=event_id)
                at_once.publish(f"topic:{topic}", json.dumps({"id": event_id, "text": text}))
            await at_once.execute()
        for event_id, text in missed.items():
            await receive(clients, event_id, text, within=3.0)
        text = new_text(rng)
        await receive(clients, await announce(redis, topic, text), text)


@check(
    10,
    "Cuando Redis se reinicia, los WebSockets siguen y no pierden nada",
    todo=4,
    points=2,
    needs=("test_gap_is_filled",),
    section="el-hueco-que-no-se-ve",
    hints=(
        "Con Redis caído, escuchar lanza RedisError: si nadie la captura, la tarea muere y ya no llega nada.",
        "Insiste hasta que vuelva: al reconectar, pubsub se suscribe de nuevo a lo que tenía.",
    ),
    within=8.0,
)
async def test_restart(app: App, redis_server: Valkey, rng: Random) -> None:
    topic = new_topic(rng)
    async with followers(topic, {"Ana": app}) as clients:
        async with redis_server.client() as redis:
            text = new_text(rng)
            await receive(clients, await announce(redis, topic, text), text)
        await redis_server.kill()
        for _ in range(3):
            await app.get("/ping", status=200)
        # Con la app detenida, Redis vuelve y recibe un suceso antes de que ella pueda suscribirse.
        await app.pause()
        await redis_server.start()
        async with redis_server.client() as redis:
            text = new_text(rng)
            event_id = await announce(redis, topic, text)
            app.resume()
            await receive(clients, event_id, text, within=4.0)
            text = new_text(rng)
            await receive(clients, await announce(redis, topic, text), text)
        text = new_text(rng)
        await receive(clients, await post(app, topic, text), text)
