"""Controles de 9.3: apagarse sin dejar nada a medias, y que entrar y salir no deje nada."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import pytest
from farewells import EXIT_SECONDS, Farewell, publish, start_report

from taller.checking import (
    App,
    Launch,
    Mismatch,
    Rehearsal,
    check,
    eventually,
    expect,
    let_it_go_on,
    patience,
    transcript,
)
from taller.services import Valkey
from taller.wire import RawSocket

SIGNAL = "qué-hace-uvicorn-con-sigterm"
LIFESPAN = "el-sitio-es-el-lifespan"
TASKS = "las-tareas-se-cancelan-y-se-esperan"
STREAMS = "los-flujos-necesitan-su-propia-señal"
CONNECTIONS = "lo-que-abre-cada-conexión"

LONG = "30"
CYCLES = 200
AT_ONCE = 20


@pytest.fixture(scope="module")
def app_env(valkey_server: Valkey, shared_folder: Path) -> dict[str, str]:
    return {
        "REDIS_URL": valkey_server.url,
        "JOURNAL": str(shared_folder / "diario.txt"),
        "WORK_SECONDS": "0.2",
        "REPORT_SECONDS": LONG,
    }


def some_room(rng: Random) -> str:
    return f"sala-{rng.randrange(10**6)}"


@pytest.fixture(scope="module")
async def farewell(launch: Launch, shared_folder: Path, valkey_server: Valkey) -> AsyncIterator[Rehearsal[Farewell]]:
    async with AsyncExitStack() as stack:
        yield Rehearsal(Farewell(launch, shared_folder, valkey_server, stack).scene)


@check(
    1,
    "Lo publicado llega por WebSocket y por SSE, y el informe se hace aparte",
    todo=4,
    points=2,
    section=CONNECTIONS,
    hints=(
        "subscribed() se suscribe al canal room:{room} y entrega lo que llega.",
        "El WebSocket necesita dos cosas a la vez: forward(), en una tarea, y read_until_gone().",
        "Tasks.start() crea la tarea del informe; el POST no la espera.",
        "Si «ready» sale con Redis parado: espera a que confirme la suscripción, con pubsub.get_message(timeout=…).",
    ),
)
async def test_it_works(launch: Launch, redis_server: Valkey, rng: Random) -> None:
    room = some_room(rng)
    async with launch(env={"REPORT_SECONDS": "0.05"}) as app, redis_server.client(decode_responses=True) as redis:
        async with app.websocket(f"/ws/{room}") as websocket, app.sse(f"/events/{room}") as stream:
            await websocket.expect({"type": "ready"})
            await stream.expect({}, event="ready")
            for _ in range(2):
                text = f"texto {rng.randrange(10**6)} ñ€"
                await publish(app, room, text)
                await websocket.expect({"type": "message", "text": text})
                await stream.expect({"text": text}, event="message")
            await ready_waits_for_redis(app, redis_server, room)
        report_id = await start_report(app)
        key = f"report:{report_id}"
        await eventually(lambda: redis.get(key), lambda state: state == "done", f"que {key} diga «done»")


async def ready_waits_for_redis(app: App, server: Valkey, room: str) -> None:
    """Con Redis parado no hay suscripción, y quien recibiera «ready» se perdería lo que se publicase ya.

    La app tiene libre la conexión con la que acaba de publicar: pedir la suscripción no espera a nada.
    """
    server.pause()
    try:
        async with app.websocket(f"/ws/{room}", name="la que entra con Redis parado") as websocket:
            await let_it_go_on(app)
            if (early := await websocket.already_here()) is not None:
                raise Mismatch("que «ready» espere a que Redis confirme la suscripción", f"{early}, con Redis parado")
            server.resume()
            await websocket.expect({"type": "ready"})
    finally:
        server.resume()


@check(
    2,
    f"{CYCLES} conexiones que entran y se van no dejan descriptores, suscripciones ni conexiones con Redis",
    todo=5,
    points=3,
    needs=("test_it_works",),
    section=CONNECTIONS,
    within=15.0,
    hints=(
        "Quien solo envía no se entera de que el otro se ha ido hasta que envía: alguien tiene que leer.",
        "La suscripción se cierra en un finally, o con async with, también cuando el flujo acaba cancelado.",
        "Lo que hagas con await antes de cerrar se cancela, y el cierre no llega: cierra lo primero.",
    ),
)
async def test_cycles(launch: Launch, redis_server: Valkey, rng: Random) -> None:
    room = some_room(rng)
    async with launch() as app, redis_server.client() as redis:

        async def count_clients() -> int:
            return len(await redis.client_list())

        async def subscriptions() -> int:
            return sum(count for _, count in await redis.pubsub_numsub(f"room:{room}"))

        with transcript.summarized(f"{AT_ONCE} conexiones entran y se cortan, para calentar"):
            await come_and_go(app, room)
        await back_to(0, f"suscripciones a room:{room} (PUBSUB NUMSUB)", subscriptions)
        files, clients = await app.open_files(), await count_clients()
        with transcript.summarized(f"{CYCLES} conexiones, por WebSocket y por SSE, entran y se cortan"):
            for _ in range(CYCLES // AT_ONCE):
                await come_and_go(app, room)
        await back_to(0, f"suscripciones a room:{room} (PUBSUB NUMSUB)", subscriptions)
        await back_to(clients, "conexiones con Redis (CLIENT LIST)", count_clients)
        await back_to(files, "descriptores abiertos", app.open_files)


async def come_and_go(app: App, room: str) -> None:
    """Varias conexiones a la vez: entran, les llega `ready` y se cortan sin despedirse."""
    upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: eDNKSkhNYkRMMUV6TGtoOQ==\r\n"
    requests = [
        f"GET /ws/{room} HTTP/1.1\r\nHost: app\r\n{upgrade}Sec-WebSocket-Version: 13\r\n\r\n",
        f"GET /events/{room} HTTP/1.1\r\nHost: app\r\n\r\n",
    ]
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(app.raw()) for _ in range(AT_ONCE)]
        for number, raw in enumerate(sockets):
            await raw.send(requests[number % 2].encode())
        for raw in sockets:
            await until_ready(raw)


async def until_ready(raw: RawSocket) -> None:
    try:
        async with asyncio.timeout(patience(2.0)):
            await raw.reader.readuntil(b"ready")
    except (TimeoutError, asyncio.IncompleteReadError) as error:
        raise Mismatch("que cada conexión reciba «ready»", "nada en 2 s, o se cortó") from error


async def back_to(before: int | None, what: str, count: Callable[[], Awaitable[int | None]]) -> None:
    """Espera a que la cuenta vuelva a ser la de antes; donde no se puede contar (None), no espera nada."""
    if before is not None:
        await eventually(count, lambda now: (now or 0) <= before, f"{before} {what}, como cuando no había nadie")


@check(
    3,
    "Con SIGTERM, la petición en curso termina y recibe su respuesta",
    todo=3,
    points=2,
    needs=("test_it_works",),
    section=SIGNAL,
    within=20.0,
    hints=(
        "uvicorn ya espera a las peticiones en curso: basta con no estorbarle.",
        "Un manejador de señales tuyo sustituye al suyo; sys.exit en él corta las peticiones por la mitad.",
        "Y Redis se cierra al final, en el lifespan: la petición todavía lo usa.",
    ),
)
async def test_requests_finish(farewell: Rehearsal[Farewell], redis_server: Valkey, rng: Random) -> None:
    for guests in (await farewell.look()).guests:
        assert guests.order is not None
        response = await guests.order
        expect(response.status_code, 201, f"el código de la petición que {guests.app.name} tenía a medias")


@check(
    4,
    "Con SIGTERM, los WebSockets se cierran con 1012, los flujos acaban y el proceso termina solo",
    todo=6,
    points=3,
    needs=("test_it_works",),
    section=STREAMS,
    within=20.0,
    hints=(
        "uvicorn cierra los WebSockets con 1012; los flujos no los acaba nadie, y los espera.",
        "La respuesta de fastapi.sse no se entera de SIGTERM; sse_starlette.EventSourceResponse, sí.",
        "Si una función de WebSocket no lee, no se entera de que ha acabado y el proceso la espera para siempre.",
    ),
)
async def test_connections_end(farewell: Rehearsal[Farewell], redis_server: Valkey, rng: Random) -> None:
    for guests in (await farewell.look()).guests:
        if guests.exit:
            raise Mismatch(f"que {guests.app.name} termine en {EXIT_SECONDS:g} s tras SIGTERM", guests.exit)
        await guests.websocket.expect_close(1012)
        await guests.stream.ended()


@check(
    5,
    "Con SIGTERM, las tareas se cancelan y se esperan: todas dicen «interrupted»",
    todo=2,
    points=3,
    needs=("test_it_works",),
    section=TASKS,
    within=20.0,
    hints=(
        "Las que sigan diciendo «running» murieron con el proceso, sin tiempo de guardar lo suyo.",
        "cancel() solo pide: la tarea se entera en su siguiente await, y después necesita tiempo. Hay que esperarla.",
        "atexit se ejecuta cuando ya no hay bucle de eventos; el lifespan, cuando todavía lo hay.",
    ),
)
async def test_tasks_are_awaited(farewell: Rehearsal[Farewell], redis_server: Valkey, rng: Random) -> None:
    for guests in (await farewell.look()).guests:
        expect(guests.reports, ["interrupted"] * 2, f"lo que dicen en Redis los informes de {guests.app.name}")


@check(
    6,
    "El diario se cierra lo último, y está todo",
    todo=3,
    points=2,
    needs=("test_it_works",),
    section=LIFESPAN,
    within=20.0,
    hints=(
        "Lo que no se cierra no se guarda: el diario tiene un búfer, y SIGTERM acaba con el proceso.",
        "Las tareas escriben en él mientras se cancelan: se cierra después de esperarlas.",
        "Un AsyncExitStack cierra en el orden contrario al que apuntas: el diario se apunta el primero.",
        "Y sin ninguna tarea en marcha, asyncio.wait lanza ValueError: que no impida cerrar lo demás.",
    ),
)
async def test_journal(
    farewell: Rehearsal[Farewell], launch: Launch, shared_folder: Path, redis_server: Valkey, rng: Random
) -> None:
    for guests in (await farewell.look()).guests:
        lines = guests.journal.read_text(encoding="utf-8").splitlines() if guests.journal.exists() else []
        expect(lines[-1] if lines else None, "closed", f"la última línea del diario de {guests.app.name}")
        interrupted = [f"report {report_id} interrupted" for report_id in guests.report_ids]
        expect(sorted(lines[:-1]), sorted(["websocket closed", "stream closed", *interrupted]), "las demás líneas")
    quiet = shared_folder / "diario-sin-nadie.txt"
    async with launch(env={"JOURNAL": str(quiet)}, name="app sin nadie") as app:
        await app.terminate(EXIT_SECONDS)
    expect(quiet.read_text(encoding="utf-8"), "closed\n", "el diario de quien se apaga sin conexiones ni tareas")


@check(
    7,
    "Con dos procesos, apagar uno no lo nota la gente del otro",
    todo=3,
    points=2,
    needs=("test_it_works",),
    section=SIGNAL,
    within=20.0,
    hints=("Un proceso cierra lo suyo: sus conexiones, sus tareas. Los canales de Redis son de todos.",),
)
async def test_the_other_process(farewell: Rehearsal[Farewell], redis_server: Valkey, rng: Random) -> None:
    if (silence := (await farewell.look()).survivor_heard) is not None:
        raise silence


@check(
    8,
    "Una tarea que no acaba nunca no impide que el proceso termine",
    todo=2,
    points=2,
    needs=("test_it_works",),
    section=TASKS,
    within=10.0,
    hints=(
        "Con Redis mudo, el informe no consigue guardar lo suyo: si se le espera sin plazo, el proceso no termina.",
        "asyncio.wait(self.running, timeout=GRACE_SECONDS) vuelve al vencer el plazo, con lo que falte.",
    ),
)
async def test_grace(launch: Launch, redis_server: Valkey, rng: Random) -> None:
    async with launch(env={"GRACE_SECONDS": "0.1"}) as app:
        await start_report(app)
        redis_server.pause()
        try:
            await app.terminate(EXIT_SECONDS)
        finally:
            redis_server.resume()
