"""Controles de 10.4: que con varios procesos, y con lo que se rompa, no se pierda nada de lo prometido."""

import asyncio
import operator
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from random import Random

import pytest
from plaza_people import Client, Event, Person, everyone, flood, message, some_id, some_text

from taller.checking import App, Approx, Launch, Link, Mismatch, check, eventually, expect, patience, transcript
from taller.services import Postgres, Valkey

WHOLE = "104-la-aplicación-integrada"
PROMISES = "lo-que-promete"

RATE, BURST, TRIES = 5, 10, 60
# Lo que puede tardar en llegar algo cuando Redis no ayuda.
HEARD_SECONDS = 3.0
# Más que lo que tarda cada proceso en volver a mirar la base.
OUTAGE_SECONDS = 1.5
GUESTS = 5
FLOOD = 25


@pytest.fixture(scope="module")
def app_env(postgres_server: Postgres, redis_link: Link) -> dict[str, str]:
    return {
        "DATABASE_URL": postgres_server.url,
        "REDIS_URL": redis_link.url,
        "PLAZA_MESSAGES_PER_SECOND": str(RATE),
    }


@pytest.fixture(scope="module")
def second_env(valkey_server: Valkey) -> dict[str, str]:
    return {"REDIS_URL": valkey_server.url}


@pytest.fixture
async def redis(valkey_server: Valkey, redis_link: Link, app: App, second: App) -> AsyncIterator[Valkey]:
    """Redis, que el control puede romper; al empezar lo tienen los dos procesos y, al acabar, vuelve a estar."""
    for each in (app, second):
        await has_everything(each)
    yield valkey_server
    redis_link.let_go()
    valkey_server.resume()
    await valkey_server.start()


async def has_everything(app: App) -> None:
    """Espera, sin exigirlo, a que ese proceso diga que está listo: el control anterior puede haberle quitado Redis."""
    mark = len(transcript.entries)
    with suppress(Mismatch):
        await app.poll("/health/ready", lambda ready: ready.status_code == 200, expecting="200")
    del transcript.entries[mark:]


@pytest.fixture
async def database(postgres_server: Postgres) -> AsyncIterator[Postgres]:
    yield postgres_server
    await postgres_server.start()


async def kill(server: Valkey | Postgres) -> None:
    transcript.note(f"muere {server.name}")
    await server.kill()


async def start(server: Valkey | Postgres) -> None:
    await server.start()
    transcript.note(f"{server.name} está otra vez en marcha")


async def talk(room: int, talkers: list[tuple[Person, Client]], listeners: list[Client], rng: Random, seq: int) -> None:
    """Cada cual dice algo, por turno, y todos lo oyen en ese orden a partir de `seq`."""
    expected = []
    for number, (person, client) in enumerate(talkers, seq):
        text = some_text(rng)
        await client.say(room, text, some_id(rng), seq=number)
        expected.append(message(person, room, number, text))
    for client in listeners:
        await client.hears(expected, HEARD_SECONDS)


@asynccontextmanager
async def finding_redis_again(*apps: App) -> AsyncIterator[None]:
    """En el bloque, Redis se va y vuelve; al salir, espera a que cada proceso lo haya vuelto a encontrar."""
    before = [await reconnects(app) for app in apps]
    yield
    for app, count in zip(apps, before, strict=True):
        expecting = f"plaza_redis_reconnects_total con una más en {app.name}"
        await eventually(partial(reconnects, app), partial(operator.lt, count), expecting, within=3.0)


async def reconnects(app: App) -> float:
    """Las veces que ese proceso dice haber vuelto a encontrar Redis."""
    with transcript.summarized(f"GET /metrics en {app.name}"):
        text = (await app.get("/metrics", status=200)).text
    lines = [line for line in text.splitlines() if line.startswith("plaza_redis_reconnects_total")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


async def bus_works(room: int, person: Person, here: Client, there: Client) -> None:
    """Lo pasajero solo va por Redis: si cruza de un proceso a otro, los dos lo tienen."""
    await here.order("typing", room=room)
    await there.take("typing", {"room": room, "user": person.name})


async def insist(client: Client, room: int, rng: Random) -> list[Event]:
    """Dice cosas tan deprisa como puede; devuelve lo que le contestan: recibos, o errores por ir demasiado deprisa."""
    answers = []
    for _ in range(TRIES):
        await client.order("send", room=room, text=some_text(rng), client_id=some_id(rng))
    for _ in range(TRIES):
        answers.append(await client.answer())
    return answers


async def repeat(client: Client, room: int, text: str, client_id: str, expecting: str) -> None:
    """Repite lo mismo, cuando le digan, hasta que tiene recibo."""
    deadline = asyncio.get_running_loop().time() + patience(5.0)
    while True:
        await client.order("send", room=room, text=text, client_id=client_id)
        answer = await client.answer()
        if answer["type"] == "ack":
            return
        if asyncio.get_running_loop().time() > deadline:
            raise Mismatch(expecting, f"tras 5 s, {answer}")
        await asyncio.sleep(min(answer["retry_after"], 0.2))


async def within_limit(clients: list[Client], room: int, rng: Random, who: str) -> None:
    """Entre todos no pasan del límite ni se quedan cortos, y quien espera lo que le dicen acaba hablando."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    with transcript.summarized(f"{who} intenta decir {TRIES} cosas por cada conexión, sin parar"):
        answers = [each for some in await asyncio.gather(*(insist(c, room, rng) for c in clients)) for each in some]
    elapsed = loop.time() - started
    acks = [each for each in answers if each["type"] == "ack"]
    refusals = [each for each in answers if each["type"] == "error"]
    allowed = Approx(BURST, BURST + RATE * elapsed + 1)
    expect(len(acks), allowed, f"los recibos en {elapsed:.2f} s, con {RATE} por segundo y {BURST} de golpe")
    refused = {"code": "rate_limited", "re": "send", "room": room, "retry_after": Approx(0.001, 2 / RATE)}
    expect(refusals, [refused] * len(refusals), "los que no caben")
    await repeat(clients[0], room, some_text(rng), some_id(rng), "un recibo, para quien espera retry_after")


@check(
    1,
    "El límite es de cada persona, sume las conexiones y los procesos que sume",
    todo=41,
    points=2,
    section=WHOLE,
    within=15.0,
    hints=(
        "Si no llega ni «joined» ni el recibo, falta la etapa 10.1: python3 curso.py comprobar 10.1",
        "El guion TAKE cuenta en Redis, que es de todos. Sus ARGV: rate, burst y lo que pide cada clave.",
        "TAKE contesta dos valores por clave: cuántas concede y cuánto falta para la siguiente.",
    ),
)
async def test_one_limit(redis: Valkey, app: App, second: App, people: list[Person], rng: Random) -> None:
    eva = people[2]
    room = await eva.create_room(app)
    async with everyone(room, (eva, app), (eva, second)) as clients:
        await within_limit(clients, room, rng, f"{eva.name}, por dos procesos,")


@check(
    2,
    "Sin Redis se sigue hablando, y cada proceso pone su límite",
    todo=41,
    points=2,
    needs=("test_one_limit",),
    section=PROMISES,
    within=15.0,
    hints=(
        "Si Redis no está, take() no puede fallar: quien habla no tiene la culpa.",
        "Tampoco se puede conceder todo: self._take_locally(key, count) cuenta en este proceso.",
    ),
)
async def test_limit_alone(redis: Valkey, app: App, people: list[Person], rng: Random) -> None:
    eva = people[2]
    room = await eva.create_room(app)
    async with eva.connect(app, room) as client:
        await kill(redis)
        await within_limit([client], room, rng, eva.name)


@check(
    3,
    "Con Redis muerto, lo que se dice llega a todos los procesos, en orden y una vez",
    todo=43,
    points=3,
    needs=("test_limit_alone",),
    section=PROMISES,
    within=15.0,
    hints=(
        "Sin bus nadie avisa: run() llama a catch_up() cada segundo, y ahí se compara lo guardado con lo repartido.",
        "journal.heads(salas) da el último número guardado; si es mayor que room.seen, self._fill(room_id).",
        "run() solo pregunta mientras self.bus.healthy es False: al perder Redis hay que decirlo (TODO 42).",
    ),
)
async def test_redis_dies(redis: Valkey, app: App, second: App, people: list[Person], rng: Random) -> None:
    ana, luis, eva = people
    room = await ana.create_room(app)
    async with everyone(room, (ana, app), (luis, second), (eva, app), (eva, second)) as clients:
        here, there = (ana, clients[0]), (luis, clients[1])
        await talk(room, [here, there], clients, rng, 1)
        await kill(redis)
        # Habla un proceso cada vez: el otro solo puede enterarse mirando la base.
        await talk(room, [here], clients, rng, 3)
        await talk(room, [there, there, there], clients, rng, 4)


@check(
    4,
    "Cuando Redis vuelve, vacío, todo sigue sin que nadie reinicie nada",
    todo=42,
    points=2,
    needs=("test_redis_dies",),
    section=PROMISES,
    within=15.0,
    hints=(
        "_listen() dura lo que una conexión con Redis: cuando falla, se vuelve a llamar, las veces que haga falta.",
        "Entre un intento y otro se espera un poco, al azar: si no, todos los procesos llaman a la vez.",
    ),
)
async def test_redis_returns(redis: Valkey, app: App, second: App, people: list[Person], rng: Random) -> None:
    ana, luis, _ = people
    room = await ana.create_room(app)
    async with everyone(room, (ana, app), (luis, second)) as (here, there):
        async with finding_redis_again(app, second):
            await kill(redis)
            await talk(room, [(ana, here)], [here, there], rng, 1)
            await start(redis)
        await bus_works(room, ana, here, there)
        await talk(room, [(luis, there), (ana, here)], [here, there], rng, 2)


@check(
    5,
    "Un Redis que no contesta es como uno que no está",
    todo=42,
    points=2,
    needs=("test_redis_dies",),
    section=PROMISES,
    within=20.0,
    hints=(
        "Un Redis en pausa no da error: calla. El vigilante de _listen() lo nota, y _listen() lanza TimeoutError.",
        "Atrapa RedisError, OSError y TimeoutError: con una que falte, la tarea del bus muere y nadie se entera.",
    ),
)
async def test_redis_hangs(redis: Valkey, app: App, second: App, people: list[Person], rng: Random) -> None:
    ana, luis, _ = people
    room = await ana.create_room(app)
    async with everyone(room, (ana, app), (luis, second)) as (here, there):
        async with finding_redis_again(app, second):
            transcript.note("Redis se queda congelado")
            redis.pause()
            # Uno cada vez: lo que se oye en el otro proceso prueba que ha notado que Redis no está.
            await talk(room, [(ana, here)], [here, there], rng, 1)
            await talk(room, [(luis, there)], [here, there], rng, 2)
            redis.resume()
            transcript.note("Redis contesta otra vez")
        await bus_works(room, ana, here, there)


@check(
    6,
    "kill -9 entre guardar y anunciar: el hueco se nota y se rellena",
    todo=43,
    points=3,
    needs=("test_one_limit",),
    section=PROMISES,
    within=15.0,
    hints=(
        "El mensaje 1 tiene recibo y está guardado, y por el bus solo llega el 2: _take() lo guarda y pide rellenar.",
        "Aquí Redis está sano: catch_up() no puede dejarlo para cuando falte.",
        "catch_up({room_id}) es lo mismo, para una sala: journal.heads() y self._fill().",
    ),
)
async def test_killed(
    redis_link: Link, redis: Valkey, app: App, second: App, people: list[Person], rng: Random
) -> None:
    ana, luis, _ = people
    room, text, client_id = await ana.create_room(app), some_text(rng), some_id(rng)
    async with ana.connect(app, room) as talker, everyone(room, (luis, second), (ana, second)) as (other, again):
        held = redis_link.hold_request(text)
        ack = await talker.say(room, text, client_id, seq=1)
        await held.arrived()
        await app.kill()
        then = some_text(rng)
        await other.say(room, then, some_id(rng), seq=2)
        expected = [message(ana, room, 1, text), message(luis, room, 2, then)]
        for client in (other, again):
            await client.hears(expected, HEARD_SECONDS)
        await again.say(room, text, client_id, seq=1, id=ack["id"])
        await again.hears_nothing("al repetir lo que ya tenía recibo")


@check(
    7,
    "Sin Redis ni PostgreSQL se dice «unavailable»; cuando vuelve la base, repetir no duplica, y llega",
    todo=43,
    points=3,
    needs=("test_redis_dies",),
    section=PROMISES,
    within=25.0,
    hints=(
        "Con la base caída, catch_up() falla: si deja pasar el error, la tarea que mira cada segundo muere con él.",
        "is_away(error) distingue que PostgreSQL no esté de un error tuyo: solo lo primero se deja para luego.",
    ),
)
async def test_nothing_left(
    redis: Valkey, database: Postgres, app: App, second: App, people: list[Person], rng: Random
) -> None:
    ana, luis, _ = people
    room, text, client_id = await ana.create_room(app), some_text(rng), some_id(rng)
    async with everyone(room, (ana, app), (luis, second)) as (here, there):
        await kill(redis)
        await talk(room, [(ana, here)], [here, there], rng, 1)
        await kill(database)
        refusal = {"type": "error", "code": "unavailable", "client_id": client_id, "retry_after": Approx(0.001, 60)}
        back_at = asyncio.get_running_loop().time() + OUTAGE_SECONDS
        with transcript.summarized(f"{ana.name} lo intenta mientras PostgreSQL no está"):
            while asyncio.get_running_loop().time() < back_at:
                await here.order("send", room=room, text=text, client_id=client_id)
                expect(await here.answer(), refusal, "lo que contesta sin PostgreSQL")
                await asyncio.sleep(0.1)
        await start(database)
        await repeat(here, room, text, client_id, "un recibo, con PostgreSQL otra vez en marcha")
        for client in (here, there):
            await client.hears([message(ana, room, 2, text)], HEARD_SECONDS)
    saved = [each["client_id"] for each in await ana.history(second, room)]
    expect(saved.count(client_id), 1, "las veces que está guardado")


@check(
    8,
    "Con SIGTERM, cada conexión recibe un goodbye y 1012, no todas el mismo, y los flujos terminan",
    todo=44,
    points=2,
    section=WHOLE,
    within=15.0,
    hints=(
        "farewell() corre antes de que uvicorn cierre nada: es el momento de hablar con cada conexión.",
        "plaza.hub.tell(connection, dump(content), gone.set) lo encola, y gone se enciende cuando ha salido.",
        "Con el mismo retry_after_ms para todas, vuelven todas a la vez: random.randint(*RETURN_MS).",
    ),
)
async def test_goodbye(launch: Launch, people: list[Person], rng: Random) -> None:
    ana, luis, _ = people
    async with launch(name="app 3") as app, AsyncExitStack() as stack:
        guests = [await stack.enter_async_context(ana.connect(app)) for _ in range(GUESTS)]
        paths = ("/events/notifications", "/events/dashboard")
        streams = [await stack.enter_async_context(luis.stream(app, path)) for path in paths]
        leaving = asyncio.create_task(app.terminate(within=5.0))
        try:
            await all_told(guests)
            for stream in streams:
                await stream.ended(within=3.0)
            await leaving
        finally:
            leaving.cancel()


async def all_told(guests: list[Client]) -> None:
    """Cada conexión recibe su goodbye y después 1012."""
    waits = []
    for guest in guests:
        goodbye = await guest.take("goodbye", {"retry_after_ms": Approx(1, 60_000)})
        waits.append(goodbye["retry_after_ms"])
    if len(set(waits)) == 1:
        raise Mismatch("que no vuelvan todas a la vez (retry_after_ms al azar)", f"todas a los {waits[0]} ms")
    for guest in guests:
        await guest.socket.expect_close(1012, within=3.0)


@check(
    9,
    "Las conexiones atascadas no dejan a las demás sin despedida",
    todo=44,
    points=2,
    needs=("test_goodbye",),
    section=PROMISES,
    within=20.0,
    hints=(
        "Tres conexiones no leen: su goodbye no sale. Si lo esperas antes de pasar a la siguiente, a ella no le llega.",
        "Encola todos primero y espera después a todos: asyncio.gather().",
    ),
)
async def test_goodbye_to_all(launch: Launch, people: list[Person], rng: Random) -> None:
    ana, luis, eva = people
    async with launch(name="app 3", env={"PLAZA_MESSAGES_PER_SECOND": "1000"}) as app, AsyncExitStack() as stack:
        room = await ana.create_room(app)
        talker = await stack.enter_async_context(ana.connect(app, room))
        stuck = [await stack.enter_async_context(eva.connect(app, room, buffer=4096)) for _ in range(3)]
        guests = [await stack.enter_async_context(luis.connect(app)) for _ in range(GUESTS)]
        for client in stuck:
            client.socket.stop_reading()
        with transcript.summarized(f"{ana.name} dice {FLOOD} mensajes largos"):
            await flood(talker, room, rng, FLOOD)
        leaving = asyncio.create_task(app.terminate(within=5.0))
        try:
            await all_told(guests)
            for client in stuck:
                await client.socket.abort()
            await leaving
        finally:
            leaving.cancel()
