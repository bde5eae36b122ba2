"""Controles de 8.4: el rastro de cada mensaje en la salida de la app, y su salud con Redis vivo, muerto y congelado."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest

from taller.checking import ANY, App, Launch, Matching, Mismatch, check, expect, patience, transcript
from taller.services import Valkey
from taller.wire import WebSocketClient

LOGS = "registros-que-se-pueden-seguir"
TRAVEL = "un-identificador-que-viaja"
HEALTH = "vivo-no-es-dispuesto"

OWN_ID = Matching(r"[A-Za-z0-9-]{8,64}", "un identificador de 8 a 64 letras, cifras o guiones")
DONE = ["message_received", "task_started", "task_finished", "event_sent"]

Line = dict[str, Any]


@pytest.fixture(scope="module")
def app_env(valkey_server: Valkey) -> dict[str, str]:
    return {"REDIS_URL": valkey_server.url}


def new_id(rng: Random) -> str:
    return f"pedido-{rng.randrange(16**8):08x}"


def new_text(rng: Random) -> str:
    return f"texto privado {rng.randrange(10**9)}"


async def lines(app: App) -> list[Line]:
    """Los objetos JSON que ha escrito la app, con su `event`; el resto de su salida no cuenta."""
    found = []
    for line in (await app.log()).splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and "event" in record:
            found.append(record)
    return found


async def trail(app: App, request_id: str, events: list[str]) -> list[Line]:
    """Las líneas de un mensaje, cuando ya están las de `events`, en ese orden y ninguna más.

    Raises:
        Mismatch: falta o sobra alguna.
    """

    def complete(found: list[Line]) -> bool:
        return len(found) >= len(events)

    found = await until(app, lambda line: line.get("request_id") == request_id, complete)
    told = [line["event"] for line in found]
    if told != events:
        others = Counter(line["event"] for line in await lines(app) if line.get("request_id") != request_id)
        elsewhere = [event for event in events if event not in told and others[event]]
        rest = f"; hay {', '.join(elsewhere)} con otro request_id, o sin él" if elsewhere else ""
        raise Mismatch(
            f"con request_id {request_id}, las líneas {', '.join(events)}", f"{', '.join(told) or '—'}{rest}"
        )
    return found


async def until(app: App, mine: Callable[[Line], bool], ready: Callable[[list[Line]], bool]) -> list[Line]:
    """Las líneas que son `mine` cuando ya están `ready`; si no llegan a estarlo, las que haya."""
    deadline = asyncio.get_running_loop().time() + patience(1.0)
    while True:
        found = [line for line in await lines(app) if mine(line)]
        if ready(found) or asyncio.get_running_loop().time() > deadline:
            for line in found:
                transcript.add(app.name, "terminal", "log", json.dumps(line, ensure_ascii=False))
            return found
        await asyncio.sleep(0.01)


async def send(client: WebSocketClient, text: str, request_id: Any, answered: Any = None) -> str:
    """Envía un mensaje y devuelve el identificador con que se acepta."""
    message = {"text": text} if request_id is None else {"text": text, "request_id": request_id}
    accepted = await client.exchange(message, {"type": "accepted", "request_id": answered or request_id or OWN_ID})
    found: str = accepted["request_id"]
    return found


def well_formed(line: Line, level: str) -> None:
    expect(line, {"level": level, "timestamp": ANY, "request_id": ANY}, f"la línea de {line['event']}")
    try:
        moment = datetime.fromisoformat(str(line["timestamp"]).replace("Z", "+00:00"))
    except ValueError as error:
        raise Mismatch("un timestamp ISO 8601, como 2026-11-05T10:31:07.123456Z", repr(line["timestamp"])) from error
    if moment.utcoffset() != timedelta(0):
        raise Mismatch("un timestamp en UTC, acabado en Z o en +00:00", repr(line["timestamp"]))


@check(
    1,
    "Cada mensaje que llega deja una línea JSON con nivel, hora e identificador",
    todo=3,
    section=LOGS,
    hints=(
        "Un registro que solo se puede leer a ojo no se puede filtrar: cada línea es un objeto JSON.",
        "El orden de los processors importa: el que convierte en JSON va el último.",
        'merge_contextvars, add_log_level, TimeStamper(fmt="iso", utc=True), format_exc_info y JSONRenderer().',
    ),
)
async def test_json_lines(app: App, redis_server: Valkey, rng: Random) -> None:
    request_id, text = new_id(rng), new_text(rng) + " ñ€"
    async with app.websocket("/ws") as client:
        await send(client, text, request_id)

    line = await received(app, request_id)
    well_formed(line, "info")
    expect(line.get("length"), len(text), "length, los caracteres del texto")


async def received(app: App, request_id: str) -> Line:
    """La línea de message_received de un mensaje."""

    def mine(line: Line) -> bool:
        return line["event"] == "message_received" and line.get("request_id") == request_id

    found = await until(app, mine, bool)
    if not found:
        shown = [line for line in (await app.log()).splitlines() if "message_received" in line][-1:]
        raise Mismatch(f"una línea JSON con message_received y request_id {request_id}", *(shown or ["ninguna"]))
    return found[0]


@check(
    2,
    "Sin identificador, o con uno que no vale, el servidor pone el suyo",
    todo=2,
    needs=("test_json_lines",),
    section=TRAVEL,
    hints=(
        "Lo que trae el cliente acaba en tus registros: solo se acepta lo que tiene la forma debida.",
        "match mira el principio, y $ deja pasar un salto de línea final: fullmatch los mira enteros.",
        "uuid.uuid4().hex, distinto para cada mensaje.",
    ),
)
async def test_own_id(app: App, redis_server: Valkey, rng: Random) -> None:
    good = new_id(rng)
    bad = ["corto", "x" * 65, f"{good}\n", f"{good} y algo más", f'{good}","level":"error', "ñandú-ñandú", ""]
    given = []
    async with app.websocket("/ws") as client:
        for request_id in (None, *bad, None):
            given.append(await send(client, new_text(rng), request_id, OWN_ID))
        await send(client, new_text(rng), "A-1" + "z" * 61)
    if repeated := [one for one, times in Counter(given).items() if times > 1]:
        raise Mismatch("un identificador distinto para cada mensaje", f"se repite {repeated[0]}")
    for request_id in given[:2]:
        await received(app, request_id)


@check(
    3,
    "El mismo identificador sigue al mensaje por el WebSocket, la tarea y el flujo SSE",
    todo=4,
    points=3,
    needs=("test_json_lines",),
    section=TRAVEL,
    hints=(
        "El obrero arrancó con la app: lo que ligaste al contexto en el WebSocket no le llega.",
        "El identificador viaja dentro del Job y del Result: vuélvelo a ligar al otro lado.",
        "En run, with bound_contextvars(request_id=job.request_id); en results, request_id=result.request_id.",
    ),
)
async def test_trail(app: App, redis_server: Valkey, rng: Random) -> None:
    request_id = new_id(rng)
    async with app.sse("/events", name="lector 1") as one, app.sse("/events", name="lector 2") as other:
        async with app.websocket("/ws") as client:
            await send(client, new_text(rng), request_id)
        for stream in (one, other):
            await stream.expect({"request_id": request_id}, event="done")
        found = await trail(app, request_id, [*DONE, "event_sent"])
    for line in found:
        well_formed(line, "info")
    seconds = found[2].get("seconds")
    expect(isinstance(seconds, float | int) and 0 <= seconds < 5, True, f"seconds ({seconds!r}), un número de segundos")


@check(
    4,
    "Con muchos mensajes a la vez, ninguna línea lleva el identificador de otro",
    todo=4,
    points=2,
    needs=("test_trail",),
    section=TRAVEL,
    hints=(
        "Una variable global con «el identificador de ahora» es la de quien llegó el último.",
        "Lo que ligas con bind_contextvars y no desligas sigue ahí para el siguiente que use la misma tarea.",
        "with bound_contextvars(…): lo pone al entrar y lo quita al salir, y cada tarea tiene el suyo.",
    ),
)
async def test_not_mixed(app: App, redis_server: Valkey, rng: Random) -> None:
    each = 6
    async with app.sse("/events", name="lector") as stream, app.websocket("/ws") as ana, app.websocket("/ws") as luis:
        sent = {client: [new_id(rng) for _ in range(each)] for client in (ana, luis)}
        # Con Redis parado, todos los trabajos están a medias a la vez.
        redis_server.pause()
        try:
            for pair in zip(*sent.values(), strict=True):
                await asyncio.gather(
                    *(send(client, new_text(rng), one) for client, one in zip(sent, pair, strict=True))
                )
        finally:
            redis_server.resume()
        ids = [one for mine in sent.values() for one in mine]
        for _ in ids:
            await stream.event(expecting="un evento por cada mensaje")
        for request_id in ids:
            await trail(app, request_id, DONE)


@check(
    5,
    "Lo que falla deja su traza y su identificador, sin el texto del mensaje; y el obrero sigue",
    todo=4,
    points=2,
    needs=("test_trail",),
    section="lo-que-no-se-escribe",
    hints=(
        "log.error dice que algo falló; log.exception dice además qué y dónde.",
        "Las trazas con variables locales (dict_tracebacks) y anotar «todo el mensaje» guardan lo que no deben.",
        "Captura en run, anota task_failed y vuelve: si la excepción sale del bucle, ese obrero no trabaja más.",
    ),
)
async def test_failure(launch: Launch, redis_server: Valkey, rng: Random) -> None:
    failing, fine = [new_id(rng) for _ in range(5)], new_id(rng)
    texts = [new_text(rng) for _ in range(6)]
    async with launch() as app, app.sse("/events", name="lector") as stream, app.websocket("/ws") as client:
        await redis_server.kill()
        for request_id, text in zip(failing, texts, strict=False):
            await send(client, text, request_id)
            await stream.expect({"request_id": request_id}, event="failed")
        for request_id in failing:
            found = await trail(app, request_id, ["message_received", "task_started", "task_failed", "event_sent"])
            well_formed(found[2], "error")
            if not re.search(r"[a-z]Error\b", str(found[2].get("exception", ""))):
                expected = "exception, con el nombre de la clase de la excepción (ConnectionError)"
                raise Mismatch(expected, repr(found[2].get("exception"))[:200])
        await redis_server.start()
        await send(client, texts[-1], fine)
        await stream.expect({"request_id": fine}, event="done")
        written = await app.log()
        if told := [text for text in texts if text in written]:
            raise Mismatch("que el texto de los mensajes no salga en los registros", f"sale «{told[0]}»")


@check(
    6,
    "Con Redis muerto o congelado el proceso está vivo, y lo dice enseguida",
    todo=6,
    points=2,
    section=HEALTH,
    hints=(
        "live pregunta si hay que reiniciar este proceso. ¿Reiniciarlo arregla Redis?",
        "Si live depende de Redis, un Redis caído hace que se reinicien todos los procesos a la vez.",
        'return {"status": "alive"}: que conteste ya es la respuesta.',
    ),
)
async def test_live(launch: Launch, redis_server: Valkey) -> None:
    async with launch(env={"READY_SECONDS": "3"}) as app:
        await app.get("/health/live", status=200)
        redis_server.pause()
        try:
            # Mientras alguien pregunta si está dispuesto, que tarda, los demás no esperan.
            asking = asyncio.create_task(app.get("/health/ready", within=4.0))
            for _ in range(4):
                await app.get("/health/live", status=200)
        finally:
            redis_server.resume()
        await asking
        await redis_server.kill()
        await app.get("/health/live", status=200)


@check(
    7,
    "Está dispuesto mientras Redis contesta; si no, 503 a tiempo; y cuando vuelve, otra vez",
    todo=7,
    points=2,
    section=HEALTH,
    hints=(
        "Un Redis muerto da un error en el acto; uno congelado acepta la conexión y no contesta: hace falta un plazo.",
        "async with asyncio.timeout(READY_SECONDS): await desk.redis.ping()",
        "Pregunta cada vez: lo que era verdad al arrancar puede no serlo ahora.",
    ),
)
async def test_ready(launch: Launch, redis_server: Valkey, rng: Random) -> None:
    limit = round(rng.uniform(0.1, 0.2), 2)
    async with launch(env={"READY_SECONDS": str(limit)}) as app:
        await app.get("/health/ready", status=200)
        redis_server.pause()
        try:
            await app.get("/health/ready", status=503, within=limit + 0.6)
        finally:
            redis_server.resume()
        await back(app)
        await redis_server.kill()
        await app.get("/health/ready", status=503, within=limit + 0.6)
        await redis_server.start()
        await back(app)


async def back(app: App) -> None:
    await app.poll(
        "/health/ready", lambda answer: answer.status_code == 200, expecting="que /health/ready vuelva a 200"
    )
