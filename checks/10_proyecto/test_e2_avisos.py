"""Controles de 10.2: que se entere quien no está mirando, una vez, y que se sepa por dónde."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from random import Random
from typing import Any

import pytest
from plaza_people import NUMBER, Event, Person, flood, run_sql, some_id, some_text

from taller.checking import App, Launch, Link, Matching, check, eventually, expect, link_to, transcript
from taller.services import Mailbox, Postgres, Valkey

NOTICES = "102-los-avisos"
PROMISES = "lo-que-promete"
PROTOCOL = "el-protocolo"

# Más de lo que cabe en los búferes del núcleo: quien no lo lea se queda con un envío a medias.
FLOOD = 25
SSE_SECONDS = 5.0


@pytest.fixture(scope="module")
def app_env(postgres_server: Postgres, redis_link: Link, smtp_server: Mailbox) -> dict[str, str]:
    return {
        "DATABASE_URL": postgres_server.url,
        "REDIS_URL": redis_link.url,
        "SMTP_URL": smtp_server.url,
        "PLAZA_EMAIL_AFTER_SECONDS": "60",
        "PLAZA_MESSAGES_PER_SECOND": "1000",
        "PLAZA_SEND_SECONDS": "1",
    }


@pytest.fixture
def link(redis_link: Link) -> Iterator[Link]:
    """El cable de la app con Redis; al acabar el control, suelto."""
    yield redis_link
    redis_link.let_go()


@pytest.fixture(autouse=True)
async def nothing_waiting(postgres_server: Postgres, schema: None) -> None:
    """Los avisos de otros controles, fuera: los que nadie llevó llegarían al conectarse."""
    await run_sql(postgres_server, "DELETE FROM notifications")


class Shift:
    """El obrero de los controles que no lo matan; se le manda a casa cuando estorbaría a otro."""

    def __init__(self, launch: Launch) -> None:
        self._launch, self._stack, self._working = launch, AsyncExitStack(), False

    async def begin(self) -> None:
        if not self._working:
            await self._stack.enter_async_context(self._launch.worker())
            self._working = True

    async def end(self) -> None:
        self._working = False
        await self._stack.aclose()


@pytest.fixture(scope="module")
async def shift(launch: Launch, schema: None) -> AsyncIterator[Shift]:
    shift = Shift(launch)
    yield shift
    await shift.end()


@pytest.fixture
async def worker(shift: Shift) -> None:
    await shift.begin()


@pytest.fixture
async def no_worker(shift: Shift) -> None:
    await shift.end()


async def inbox(person: Person, app: App, room: int) -> list[Event]:
    """Sus avisos de esa sala, del más antiguo al más nuevo."""
    notices = await person.request(app, "GET", "/api/notifications")
    return [notice for notice in reversed(notices) if notice["room"] == room]


async def notified(person: Person, app: App, room: int, count: int = 1, within: float = 4.0) -> list[Event]:
    """Espera a que tenga esos avisos de la sala; ni uno más."""
    expecting = f"{count} en la bandeja de entrada de {person.name} (sala {room})"
    found = await quietly(lambda: inbox(person, app, room), lambda now: len(now) >= count, expecting, within)
    expect(len(found), count, f"los avisos de {person.name} en la sala {room}")
    return found


async def delivered(person: Person, app: App, room: int, channel: str) -> None:
    """Espera a que el último aviso de la sala esté entregado, y por ese canal."""
    found = await quietly(
        lambda: inbox(person, app, room),
        lambda now: bool(now) and now[-1]["delivered_by"] is not None,
        f"que el aviso de {person.name} diga quién lo ha llevado (delivered_by)",
        SSE_SECONDS,
    )
    expect(found[-1]["delivered_by"], channel, "delivered_by")


async def done(person: Person, app: App, task: str) -> None:
    """Espera a que la tarea esté hecha."""
    await quietly(
        lambda: person.request(app, "GET", f"/api/tasks/{task}"),
        lambda state: bool(state["status"] == "done" and state["progress"] == 1),
        f"la tarea {task} hecha: status «done», progress 1",
        4.0,
    )


async def quietly(look: Any, accepts: Any, expecting: str, within: float) -> Any:
    """`eventually`, con solo la última petición en la transcripción."""
    mark = len(transcript.entries)

    async def look_again() -> Any:
        del transcript.entries[mark:]
        return await look()

    return await eventually(look_again, accepts, expecting, within)


def containing(text: str) -> Matching:
    return Matching(f"(?s).*{re.escape(text)}.*", f"un texto con «{text}»")


async def time_passes(database: Postgres) -> None:
    """Hace como si a las tareas pendientes se les hubiera pasado la hora: el relevo tiene que verlas."""
    transcript.note("pasa el plazo de las tareas sin hacer (tasks.enqueue_after)")
    await run_sql(database, "UPDATE tasks SET enqueue_after = now() WHERE status IN ('queued', 'running')")


async def lose_queue(server: Valkey) -> None:
    transcript.note("Redis pierde todo lo que guardaba, la cola también")
    async with server.client() as redis:
        await redis.flushall()


@check(
    1,
    "Se avisa a quien se menciona y es de la sala; a nadie más",
    todo=23,
    points=2,
    section=NOTICES,
    within=10.0,
    hints=(
        "Si no llega ni «joined» ni el recibo, falta la etapa 10.1: python3 curso.py comprobar 10.1",
        "notify() lee el mensaje con CAUSE e inserta con NOTIFY: una fila por cada persona a la que toca.",
        "author es quien escribe, que nunca se avisa; mentioned, lo que encuentra MENTION en el texto.",
    ),
)
async def test_mention(app: App, worker: None, people: list[Person], rng: Random) -> None:
    ana, luis, eva = people
    room = await ana.create_room(app, luis)
    async with ana.connect(app, room) as talker:
        text = f"{some_text(rng)}, @{luis.name}, @{ana.name} y @{eva.name}"
        ack = await talker.say(room, text, some_id(rng))
        notice = {"id": NUMBER, "kind": "mention", "room": room, "message": ack["id"], "text": containing(text)}
        found = await notified(luis, app, room)
        expect(found, [notice], f"la bandeja de entrada de {luis.name}")
        await done(luis, app, found[0]["task"])
        for person in (ana, eva):
            await notified(person, app, room, 0)
        await talker.say(room, f"correo@{luis.name} no es una mención", some_id(rng))
        last = await talker.say(room, f"@{luis.name}", some_id(rng))
        found = await notified(luis, app, room, 2)
        expect(found[1]["message"], last["id"], "el mensaje del segundo aviso")


@check(
    2,
    "En una sala directa se avisa a la otra persona, se la nombre o no",
    todo=23,
    needs=("test_mention",),
    section=NOTICES,
    within=10.0,
    hints=(
        'CAUSE dice si la sala es directa (direct): entonces kind es "direct", y no hace falta mención.',
        "NOTIFY avisa a todos los demás de la sala si :direct es true; si no, solo a los mencionados.",
    ),
)
async def test_direct(app: App, worker: None, people: list[Person], rng: Random) -> None:
    ana, luis, _ = people
    body = {"username": luis.name}
    room = (await ana.request(app, "POST", "/api/rooms/direct", 201, json=body))["id"]
    async with ana.connect(app, room) as talker:
        text = some_text(rng)
        ack = await talker.say(room, text, some_id(rng))
        found = await notified(luis, app, room)
        notice = {"kind": "direct", "message": ack["id"], "text": containing(text)}
        expect(found, [notice], f"la bandeja de entrada de {luis.name}")
        await done(ana, app, found[0]["task"])
        await notified(ana, app, room, 0)


@check(
    3,
    "A quien está conectado le llega por su WebSocket, y delivered_by lo dice",
    todo=21,
    points=2,
    needs=("test_mention",),
    section=NOTICES,
    within=10.0,
    hints=(
        "El obrero anuncia cada aviso con _announce(): lo oyen todos los procesos, y lo lleva el de la persona.",
        "await self._by_websocket(…) dice si ha salido; si ha salido, self._delivered(notification_id, …).",
    ),
)
async def test_by_websocket(app: App, second: App, worker: None, people: list[Person], rng: Random) -> None:
    ana, luis, _ = people
    room = await ana.create_room(app, luis)
    async with ana.connect(app, room) as talker, luis.connect(app) as here, luis.connect(second) as there:
        text = f"@{luis.name}: {some_text(rng)}"
        ack = await talker.say(room, text, some_id(rng))
        notice = {"kind": "mention", "room": room, "message": ack["id"], "text": containing(text)}
        for client in (here, there):
            await client.take("notification", notice, within=SSE_SECONDS)
        await delivered(luis, app, room, "websocket")


@check(
    4,
    "Solo un canal lo lleva: el flujo SSE, cuando no hay WebSocket en ningún proceso",
    todo=21,
    points=2,
    needs=("test_by_websocket",),
    section=NOTICES,
    within=10.0,
    hints=(
        "El WebSocket está en un proceso y el flujo en otro: el del flujo espera GRACE_SECONDS y vuelve a mirar.",
        "self._undelivered() da la fila si nadie la ha llevado aún, y None si ya está entregada.",
        "stream.offer(row) basta: cuando el suceso sale de verdad, live() apunta delivered_by.",
    ),
)
async def test_by_stream(app: App, second: App, worker: None, people: list[Person], rng: Random) -> None:
    ana, luis, _ = people
    room = await ana.create_room(app, luis)
    async with ana.connect(app, room) as talker, luis.stream(second, "/events/notifications") as stream:
        async with luis.connect(app) as client:
            ack = await talker.say(room, f"@{luis.name}: {some_text(rng)}", some_id(rng))
            await client.take("notification", {"message": ack["id"]}, within=SSE_SECONDS)
            await delivered(luis, app, room, "websocket")
        ack = await talker.say(room, f"@{luis.name}: {some_text(rng)}", some_id(rng))
        notice = {"kind": "mention", "room": room, "message": ack["id"], "delivered_by": None}
        event = await stream.expect(notice, SSE_SECONDS, event="notification")
        expect(event.id, str(event.json()["id"]), "el id del suceso, que es el del aviso")
        await delivered(luis, app, room, "sse")


@check(
    5,
    "Un WebSocket atascado no es una entrega: pasa al flujo",
    todo=21,
    points=3,
    needs=("test_by_stream",),
    section=PROMISES,
    within=12.0,
    hints=(
        "El cliente no lee: lo que se encola para él no sale. Encolar no es entregar.",
        "_by_websocket() espera a que salga, como mucho PLAZA_SEND_SECONDS, y devuelve False si no ha salido.",
        "Entonces le toca al flujo, aunque la persona siga teniendo un WebSocket abierto.",
    ),
)
async def test_stuck(app: App, worker: None, people: list[Person], rng: Random) -> None:
    ana, luis, _ = people
    room = await ana.create_room(app, luis)
    async with (
        ana.connect(app, room) as talker,
        luis.connect(app, room, buffer=4096) as stuck,
        luis.stream(app, "/events/notifications") as stream,
    ):
        stuck.socket.stop_reading()
        with transcript.summarized(f"{ana.name} dice {FLOOD} mensajes largos"):
            await flood(talker, room, rng, FLOOD)
        await talker.say(room, f"@{luis.name}", some_id(rng))
        await stream.expect({"kind": "mention", "room": room}, SSE_SECONDS, event="notification")
        await delivered(luis, app, room, "sse")


@check(
    6,
    "Si el obrero muere a mitad y la cola se pierde, el aviso llega igual, y es uno",
    todo=23,
    points=3,
    needs=("test_by_websocket",),
    section=PROMISES,
    within=12.0,
    hints=(
        "El control mata al obrero con el aviso ya guardado y sin anunciar; la tarea se quedó en «running».",
        "El relevo (TODO 22) vuelve a encolar las «queued» y las «running» a las que se les pasó la hora.",
        "source nombra la causa, siempre igual: así NOTIFY no inserta dos veces. Y hay que anunciar aunque no inserte.",
    ),
)
async def test_worker_dies(
    app: App,
    no_worker: None,
    launch: Launch,
    valkey_server: Valkey,
    postgres_server: Postgres,
    people: list[Person],
    rng: Random,
) -> None:
    ana, luis, _ = people
    room = await ana.create_room(app, luis)
    async with ana.connect(app, room) as talker, luis.connect(app) as client:
        async with link_to(valkey_server.url) as link, launch.worker(env={"REDIS_URL": link.url}) as worker:
            held = link.hold_request('"notification"')
            await talker.say(room, f"@{luis.name}", some_id(rng))
            await held.arrived(within=4.0)
            await worker.kill()
        await lose_queue(valkey_server)
        await time_passes(postgres_server)
        async with launch.worker():
            await client.take("notification", {"kind": "mention", "room": room}, within=SSE_SECONDS)
            await delivered(luis, app, room, "websocket")
            await notified(luis, app, room)


@check(
    7,
    "Lo que no llegó a encolarse lo encola el relevo",
    todo=22,
    points=2,
    needs=("test_mention",),
    section=PROMISES,
    within=12.0,
    hints=(
        "El control mata el proceso entre el COMMIT y el XADD: hay mensaje y hay tarea, y la cola no sabe nada.",
        "relay() no acaba: mira la tabla tasks, encola lo que tenga enqueue_after pasado, espera y repite.",
        'enqueue() quiere ids: [row["id"] for row in rows].',
    ),
)
async def test_never_queued(
    link: Link, app: App, second: App, worker: None, postgres_server: Postgres, people: list[Person], rng: Random
) -> None:
    ana, luis, _ = people
    room = await ana.create_room(app, luis)
    async with ana.connect(app, room) as talker:
        held = link.hold_request("XADD")
        await talker.say(room, f"@{luis.name}", some_id(rng))
        await held.arrived()
        await app.kill()
    await time_passes(postgres_server)
    await notified(luis, second, room)


@check(
    8,
    "Si nadie puede llevarlo, va por correo, una vez",
    todo=23,
    points=2,
    needs=("test_mention",),
    section=NOTICES,
    within=12.0,
    hints=(
        "El correo lo manda mail.py, cuando vence email_after: en NOTIFY, :wait segundos después de insertar.",
        "wait es shop.settings.email_after_seconds, que el control hace corto.",
        "Lo que un canal ha llevado no va por correo: para eso está _delivered().",
    ),
)
async def test_by_mail(
    app: App, no_worker: None, launch: Launch, mailbox: Mailbox, people: list[Person], rng: Random
) -> None:
    ana, luis, eva = people
    room = await ana.create_room(app, luis, eva)
    async with ana.connect(app, room) as talker, eva.connect(app) as present:
        text = f"@{eva.name} y @{luis.name}: {some_text(rng)}"
        await talker.say(room, text, some_id(rng))
        async with launch.worker(env={"PLAZA_EMAIL_AFTER_SECONDS": "1"}):
            await present.take("notification", {"room": room}, within=SSE_SECONDS)
            await delivered(luis, app, room, "email")
            await delivered(eva, app, room, "websocket")
    received = [list(mail.recipients) for mail in mailbox.messages]
    expect(received, [[f"{luis.name}@example.org"]], "a quién le ha llegado correo")
