"""Controles de 10.3: que el tablero diga la verdad de todos los procesos, también a quien lee despacio."""

import asyncio
from collections.abc import Callable
from random import Random

import pytest
from plaza_people import Client, Event, Number, Person, run_sql, some_id, some_text

from taller.checking import App, Approx, Launch, Matching, Mismatch, check, expect, patience, transcript
from taller.services import Postgres, Valkey
from taller.wire import SseClient
from taller.wire.compare import difference, show

BOARD = "103-el-tablero"
PROMISES = "lo-que-promete"

PATH = "/events/dashboard"
SECONDS = Approx(0.0001, 60)
# Deprisa, para que se acumulen: ocupan 600 KiB, y en los búferes de camino caben unos 300.
FAST, MISSED, KEPT = "0.003", 300, 220


@pytest.fixture(scope="module")
def app_env(postgres_server: Postgres, valkey_server: Valkey) -> dict[str, str]:
    return {
        "DATABASE_URL": postgres_server.url,
        "REDIS_URL": valkey_server.url,
        "PLAZA_MESSAGES_PER_SECOND": "1000",
        "PLAZA_SAMPLE_SECONDS": "0.2",
    }


@pytest.fixture(autouse=True)
async def no_tasks(postgres_server: Postgres, schema: None) -> None:
    await run_sql(postgres_server, "DELETE FROM tasks")


async def sample(stream: SseClient, within: float = 2.0) -> Event:
    """La siguiente muestra."""
    event = await stream.event(within, expecting="un evento «metrics»")
    expect(event.event, "metrics", "el nombre del evento")
    found: Event = event.json()
    return found


async def until(stream: SseClient, accepts: Callable[[Event], bool], expecting: str, within: float = 5.0) -> Event:
    """La primera muestra que `accepts` acepte; en la transcripción solo queda la última."""
    deadline, mark = asyncio.get_running_loop().time() + patience(within), len(transcript.entries)
    while True:
        del transcript.entries[mark:]
        found = await sample(stream)
        if accepts(found):
            return found
        if asyncio.get_running_loop().time() > deadline:
            raise Mismatch(expecting, f"tras {within:g} s, la última muestra es {show(found)}")


async def shows(stream: SseClient, expected: Event, when: str) -> Event:
    """Lee el tablero hasta que una muestra cumpla `expected`."""
    expecting = f"el tablero, {when}: {show(expected)}"
    return await until(stream, lambda found: difference(expected, found) is None, expecting)


async def say(client: Client, room: int, rng: Random, count: int = 1) -> None:
    for _ in range(count):
        await client.say(room, some_text(rng), some_id(rng))


async def queue_up(database: Postgres, count: int) -> None:
    """Añade `count` tareas en espera, que nadie va a hacer."""
    transcript.note(f"hay {count} tareas más en espera")
    await run_sql(
        database,
        "INSERT INTO tasks (user_id, name, payload, enqueue_after) "
        """SELECT (SELECT min(id) FROM users), 'notify', '{"message": 0}', now() + interval '1 hour' """
        f"FROM generate_series(1, {count})",
    )


@check(
    1,
    "Cada muestra lleva lo de cada proceso y el total, con los nombres de /metrics",
    todo=31,
    points=2,
    section=BOARD,
    within=10.0,
    hints=(
        "Si no llega ni «joined» ni el recibo, falta la etapa 10.1: python3 curso.py comprobar 10.1",
        "nest() hace de las etiquetas objetos: connections.websocket. Vale para cada proceso y para el total.",
        "Si no llega ninguna muestra, mira si _compose() falla: sin mensajes, delivery_p99_seconds es null.",
    ),
)
async def test_sample(app: App, people: list[Person], rng: Random) -> None:
    ana, luis, _ = people
    room, count = await ana.create_room(app), rng.randint(2, 5)
    async with luis.stream(app, PATH) as stream, ana.connect(app, room) as talker, luis.connect(app):
        before = (await sample(stream))["total"].get("messages_published_total", 0)
        await say(talker, room, rng, count)
        counted = {
            "connections": {"websocket": Number(2), "sse": Number(1)},
            "messages_published_total": Number(before + count),
            "tasks_queued": Number(0),
        }
        found = await shows(stream, {"total": counted, "alerts": []}, "con dos WebSockets y un flujo")
        expect(list(found["workers"]), [Matching(r"web-\S+", "web-…")], "los nombres de workers, con un proceso")
        expect(list(found["workers"].values()), [counted], "lo de ese proceso")


@check(
    2,
    "El total suma todos los procesos vivos, y el que muere deja de contar",
    todo=31,
    points=3,
    needs=("test_sample",),
    section=BOARD,
    within=10.0,
    hints=(
        "everyone trae las muestras de cada proceso: el total es la suma, no las del que contesta ni las del último.",
        "_merge(everyone) suma por nombre y etiquetas.",
        "No guardes nada de una vez para otra: everyone ya no trae al que ha muerto.",
    ),
)
async def test_sum(launch: Launch, app: App, people: list[Person], rng: Random) -> None:
    ana, luis, eva = people
    room = await ana.create_room(app)
    async with luis.stream(app, PATH) as stream, ana.connect(app, room) as talker:
        async with launch(name="app 2") as second, eva.connect(second, room) as other, luis.connect(second, room):
            before = (await sample(stream))["total"].get("messages_published_total", 0)
            await say(talker, room, rng, 2)
            await say(other, room, rng, 3)
            both = {
                "connections": {"websocket": Number(3), "sse": Number(1)},
                "messages_published_total": Number(before + 5),
            }
            found = await shows(stream, {"total": both}, "con dos procesos")
            here = sorted(worker["connections"]["websocket"] for worker in found["workers"].values())
            expect(here, [Number(1), Number(2)], "los WebSockets de cada proceso")
            await second.kill()
        alone = {"connections": {"websocket": Number(1), "sse": Number(1)}}
        found = await shows(stream, {"total": alone}, "con un proceso muerto")
        expect(len(found["workers"]), 1, "cuántos procesos quedan en workers")


@check(
    3,
    "tasks_queued es la misma para todos, y no se suma",
    todo=31,
    points=2,
    needs=("test_sum",),
    section=BOARD,
    within=10.0,
    hints=(
        "Cada proceso mira la misma tabla y dice el mismo número: sumarlos cuenta cada tarea una vez por proceso.",
        "SHARED dice qué métricas son así, y _merge() ya las trata aparte.",
    ),
)
async def test_shared(app: App, second: App, postgres_server: Postgres, people: list[Person], rng: Random) -> None:
    count = rng.randint(5, 20)
    async with people[0].stream(app, PATH) as stream:
        await until(stream, lambda found: len(found["workers"]) == 2, "dos procesos en workers")
        await queue_up(postgres_server, count)
        each = {"tasks_queued": Number(count)}
        found = await until(
            stream,
            lambda found: all(difference(each, worker) is None for worker in found["workers"].values()),
            f"que cada proceso diga {count} en tasks_queued",
        )
        expect(found["total"], each, "el total")


@check(
    4,
    "Las tasas y los cuantiles son de ahora y de todos; sin datos, null",
    todo=31,
    points=2,
    needs=("test_sum",),
    section=BOARD,
    within=15.0,
    hints=(
        "_derive(merged) compara con la muestra anterior: dale las de todos, y llámala una vez por muestra.",
        "Lo que devuelve va en total, junto a lo demás: total | derived.",
        "Se habla por el otro proceso: si la tasa no se mueve, es la de este.",
    ),
)
async def test_rates(app: App, second: App, people: list[Person], rng: Random) -> None:
    ana, luis, _ = people
    room = await ana.create_room(app)
    quiet = {"messages_per_second": Number(0), "delivery_p50_seconds": None, "delivery_p99_seconds": None}
    busy = {"messages_per_second": Approx(0.1, 10**6), "delivery_p50_seconds": SECONDS, "delivery_p99_seconds": SECONDS}
    async with luis.stream(app, PATH) as stream, ana.connect(second, room) as talker:
        await shows(stream, {"total": quiet}, "en silencio")
        await say(talker, room, rng, 5)
        await shows(stream, {"total": busy}, "cuando alguien habla")
        found = await shows(stream, {"total": quiet}, "en silencio otra vez")
        expect(found["total"], {"cache_hit_ratio": None}, "la caché, cuando nadie la usa")


@check(
    5,
    "Lo que pasa de su umbral es una alerta, y lo que llega justo, no",
    todo=31,
    needs=("test_shared",),
    section=BOARD,
    within=10.0,
    hints=(
        "ALERTS dice el umbral de cada una: está en total o entre lo que da _derive().",
        "Hay alerta si value > threshold; y mientras dure, en cada muestra.",
    ),
)
async def test_alerts(app: App, second: App, postgres_server: Postgres, people: list[Person], rng: Random) -> None:
    async with people[0].stream(app, PATH) as stream:
        await queue_up(postgres_server, 100)
        found = await shows(stream, {"total": {"tasks_queued": Number(100)}}, "con 100 tareas")
        expect(found["alerts"], [], "las alertas, con 100 tareas y un umbral de 100")
        more = rng.randint(1, 9)
        await queue_up(postgres_server, more)
        found = await shows(stream, {"total": {"tasks_queued": Number(100 + more)}}, f"con {100 + more} tareas")
        alert = {"metric": "tasks_queued", "value": Number(100 + more), "threshold": Number(100)}
        expect(found["alerts"], [alert], "las alertas")


@check(
    6,
    "Quien deja de leer no acumula: al volver recibe lo último",
    todo=32,
    points=3,
    needs=("test_sample",),
    section=PROMISES,
    within=25.0,
    hints=(
        "Con un envío parado, tu generador está parado en su yield: lo que cambie entonces no hay que guardarlo.",
        "await vitals.changed.wait() y enviar vitals.latest. Una cola por lector guarda también lo que ya es viejo.",
    ),
)
async def test_newest_only(launch: Launch, postgres_server: Postgres, people: list[Person], rng: Random) -> None:
    _, luis, eva = people
    async with launch(env={"PLAZA_SAMPLE_SECONDS": FAST}) as app, eva.stream(app, PATH, buffer=4096) as slow:
        # Quien no pide nada no lee nada.
        async with luis.stream(app, PATH) as stream:
            with transcript.summarized(f"pasan {MISSED} muestras, y {eva.name} no lee ninguna"):
                for _ in range(MISSED):
                    await sample(stream)
            await queue_up(postgres_server, 1)
            await shows(stream, {"total": {"tasks_queued": Number(1)}}, "con una tarea")
        stale = 0
        with transcript.summarized(f"{eva.name} vuelve a leer"):
            while not (await sample(slow))["total"]["tasks_queued"]:
                stale += 1
    if stale > KEPT:
        raise Mismatch(
            f"de las {MISSED} muestras que se perdió, como mucho las que ya estaban de camino", f"{stale}, todas viejas"
        )


@check(
    7,
    "Sin Redis el tablero sigue, con este proceso; y con SIGTERM el flujo termina",
    todo=32,
    points=2,
    needs=("test_sample",),
    section=PROMISES,
    within=15.0,
    hints=(
        "end_streams() pone vitals.closed y despierta a todos: el bucle tiene que mirarlo.",
        "Un flujo que no acaba impide que el proceso termine: uvicorn lo espera para siempre.",
    ),
)
async def test_end(launch: Launch, valkey_server: Valkey, people: list[Person], rng: Random) -> None:
    async with launch() as app, people[0].stream(app, PATH) as stream:
        await sample(stream)
        transcript.note("muere Redis")
        await valkey_server.kill()
        try:
            expecting = "que en workers quede solo este proceso"
            await until(stream, lambda found: len(found["workers"]) == 1, expecting)
            alone = {"connections": {"sse": Number(1)}, "tasks_queued": Number(0)}
            await shows(stream, {"total": alone}, "sin Redis")
            await app.terminate(within=5.0)
            await stream.ended(clean=True)
        finally:
            await valkey_server.start()
