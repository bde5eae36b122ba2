"""Controles de 10.1: que un mensaje llegue a todos, en orden, una vez, y que quien se corta no pierda nada."""

import asyncio
import operator
from collections.abc import Iterator
from functools import partial
from random import Random

import pytest
from plaza_people import Client, Person, everyone, flood, message, some_id, some_text

from taller.checking import ANY, App, Link, Matching, check, eventually, expect, transcript
from taller.services import Postgres, Valkey

CHAT = "101-el-chat"
PROMISES = "lo-que-promete"
PROTOCOL = "el-protocolo"

HISTORY = 6
OUTBOX = 100_000
SEND_SECONDS = 0.3
# Más mensajes largos de los que caben en los búferes del núcleo y en la bandeja juntos.
FLOOD = 60


@pytest.fixture(scope="module")
def app_env(database_link: Link, redis_link: Link) -> dict[str, str]:
    """«app»: bandeja pequeña y sin prisa por enviar."""
    return {
        "DATABASE_URL": database_link.url,
        "REDIS_URL": redis_link.url,
        "PLAZA_HISTORY_EVENTS": str(HISTORY),
        "PLAZA_MESSAGES_PER_SECOND": "1000",
        "PLAZA_OUTBOX_BYTES": str(OUTBOX),
        "PLAZA_SEND_SECONDS": "30",
    }


@pytest.fixture(scope="module")
def second_env(postgres_server: Postgres, valkey_server: Valkey) -> dict[str, str]:
    """«app 2»: bandeja enorme y poca paciencia."""
    return {
        "DATABASE_URL": postgres_server.url,
        "REDIS_URL": valkey_server.url,
        "PLAZA_OUTBOX_BYTES": str(10**9),
        "PLAZA_SEND_SECONDS": str(SEND_SECONDS),
    }


@pytest.fixture
def links(database_link: Link, redis_link: Link) -> Iterator[tuple[Link, Link]]:
    """Los cables de «app» con PostgreSQL y con Redis; al acabar el control, sueltos."""
    yield database_link, redis_link
    database_link.let_go()
    redis_link.let_go()


async def say_all(client: Client, room: int, rng: Random, count: int) -> None:
    """Dice varias cosas sin esperar a los recibos, y los recoge todos."""
    for _ in range(count):
        await client.order("send", room=room, text=some_text(rng), client_id=some_id(rng))
    for _ in range(count):
        await client.take("ack", {"room": room})


@check(
    1,
    "Lo que se dice recibe su recibo, se guarda y llega a todos, también a quien lo dice",
    todo=15,
    points=2,
    section=CHAT,
    hints=(
        "El camino: chat.py lo recibe, journal.py lo guarda, el bus lo anuncia, feed.py lo reparte y hub.py lo envía.",
        "Si no llega ni «joined», nadie vacía la bandeja: TODO 12. «unavailable» es el código de partida de 13 y 15.",
        "El recibo lleva client_id, room, seq e id: los tres últimos son los del Ack que devuelve append().",
    ),
)
async def test_talk(app: App, people: list[Person], rng: Random) -> None:
    ana, luis, _ = people
    room = await ana.create_room(app)
    async with everyone(room, (ana, app), (luis, app)) as (talker, listener):
        expected = []
        for seq in range(1, 4):
            text, client_id = some_text(rng), some_id(rng)
            ack = await talker.say(room, text, client_id, seq=seq)
            expected.append(message(ana, room, seq, text, id=ack["id"], client_id=client_id))
        for client in (talker, listener):
            await client.hears(expected)
    saved = [{key: value for key, value in each.items() if key != "type"} for each in expected]
    expect(await luis.history(app, room), saved, "lo guardado en la sala")


@check(
    2,
    "Quien no está en la sala, o está silenciado, no dice nada",
    todo=15,
    needs=("test_talk",),
    section=PROTOCOL,
    hints=(
        "Ser miembro no basta: esa conexión tiene que haber entrado. self._require_joined(command.room) lo exige.",
        "APPEND no guarda lo de quien está silenciado; self._why_not() dice por qué, y el error es el que devuelva.",
        "Lo que no se guarda no gasta número: el siguiente mensaje es el seq siguiente.",
    ),
)
async def test_who_may_talk(app: App, people: list[Person], rng: Random) -> None:
    ana, luis, _ = people
    room = await ana.create_room(app, luis)
    async with ana.connect(app, room) as talker, luis.connect(app) as other:
        for text in (some_text(rng), some_text(rng)):
            client_id = some_id(rng)
            await other.order("send", room=room, text=text, client_id=client_id)
            await other.refused("not_joined", re="send", room=room, client_id=client_id)
        await other.join(room)
        body = {"username": luis.name, "minutes": 5, "reason": "prueba"}
        await ana.request(app, "POST", f"/api/rooms/{room}/mutes", 201, json=body)
        await other.order("send", room=room, text=some_text(rng), client_id=some_id(rng))
        await other.refused("muted", re="send", room=room)
        text = some_text(rng)
        await talker.say(room, text, some_id(rng), seq=1)
        await other.hears([message(ana, room, 1, text)])


@check(
    3,
    "El mismo client_id es un solo mensaje, y siempre el mismo recibo",
    todo=13,
    points=2,
    needs=("test_talk",),
    section=PROMISES,
    hints=(
        "Quien no recibe su recibo repite igual: por otro proceso, y quizá con otro texto.",
        "Lo que APPEND no devuelve puede estar guardado ya: ALREADY lo busca por persona y client_id.",
        "El client_id es de cada persona: el mismo en dos personas son dos mensajes. Y lo repetido no gasta número.",
    ),
)
async def test_once(app: App, second: App, people: list[Person], rng: Random) -> None:
    ana, luis, _ = people
    room = await ana.create_room(app)
    async with everyone(room, (ana, app), (ana, second), (luis, app)) as (here, there, other):
        first, client_id = some_text(rng), some_id(rng)
        ack = await here.say(room, first, client_id, seq=1)
        for client in (here, there):
            await client.say(room, some_text(rng), client_id, seq=1, id=ack["id"])
        theirs = some_text(rng)
        await other.say(room, theirs, client_id, seq=2)
        text, client_id = some_text(rng), some_id(rng)
        acks = await asyncio.gather(*(client.say(room, text, client_id, seq=3) for client in (here, there)))
        expect(acks[1]["id"], acks[0]["id"], "el id del segundo recibo, a la vez por los dos procesos")
        expected = [message(ana, room, 1, first), message(luis, room, 2, theirs), message(ana, room, 3, text)]
        for client in (here, there, other):
            await client.hears(expected)
    expect(len(await ana.history(app, room)), len(expected), "cuántos mensajes hay guardados")


@check(
    4,
    "Hablen los que hablen y por donde hablen, todos oyen lo mismo, en el mismo orden y sin huecos",
    todo=13,
    points=2,
    needs=("test_talk",),
    section=PROMISES,
    hints=(
        "Hablan tres a la vez, por dos procesos: los números los da PostgreSQL, con el candado de LOCK_ROOMS.",
        "Un número que se toma antes de guardar se pierde si no se guarda; uno que se cuenta en memoria se repite.",
        "_take() reparte por su número lo que llega de los demás procesos: si no suma uno al anterior, aún no toca.",
    ),
)
async def test_order(app: App, second: App, people: list[Person], rng: Random) -> None:
    ana, luis, eva = people
    room, each = await ana.create_room(app), 15
    async with everyone(room, (ana, app), (luis, second), (eva, app), (eva, second)) as clients:
        await asyncio.gather(*(say_all(client, room, rng, each) for client in clients[:3]))
        heard = [await client.numbered(3 * each) for client in clients]
    numbers = list(range(1, 3 * each + 1))
    for client, events in zip(clients, heard, strict=True):
        expect([event["seq"] for event in events], numbers, f"los seq que oye {client.socket.name}")
        same = [event["id"] for event in heard[0]]
        expect([event["id"] for event in events], same, f"los id que oye {client.socket.name}, como los demás")


@check(
    5,
    "El que llega antes de tiempo espera a su turno",
    todo=14,
    points=2,
    needs=("test_talk",),
    section=PROMISES,
    hints=(
        "El control sujeta el PUBLISH de «app»: por el bus llega el mensaje 2 antes que el 1.",
        "room.seen es el último repartido. El siguiente es room.seen + 1; uno posterior se guarda en room.early.",
        "self._drain(room_id, room) reparte lo que ya tiene delante todo lo anterior: no lo tires ni lo adelantes.",
    ),
)
async def test_early(links: tuple[Link, Link], app: App, second: App, people: list[Person], rng: Random) -> None:
    ana, luis, eva = people
    _, redis = links
    room, first, then = await ana.create_room(app), some_text(rng), some_text(rng)
    async with everyone(room, (ana, app), (luis, second), (eva, second)) as (late, early, listener):
        held = redis.hold_request(first)
        await late.say(room, first, some_id(rng), seq=1)
        await held.arrived()
        await early.say(room, then, some_id(rng), seq=2)
        # Va por el mismo bus y detrás: cuando llega, el 2 ya ha llegado.
        await early.order("typing", room=room)
        await listener.take("typing", {"user": luis.name})
        held.release()
        expected = [message(ana, room, 1, first), message(luis, room, 2, then)]
        for client in (listener, early, late):
            await client.hears(expected)


@check(
    6,
    "Nada se confirma ni se cuenta antes de estar guardado, y lo confirmado sobrevive a kill -9",
    todo=13,
    points=3,
    needs=("test_talk",),
    section=PROMISES,
    within=10.0,
    hints=(
        "El control sujeta el COMMIT: mientras tanto nadie puede haber recibido ni el recibo ni el mensaje.",
        "Espera a append() antes de contestar: lo que va en create_task() contesta de lo que aún no ha pasado.",
        "_append() corre dentro de la transacción: lo que publiques ahí se cuenta antes del COMMIT.",
    ),
)
async def test_saved_first(links: tuple[Link, Link], app: App, second: App, people: list[Person], rng: Random) -> None:
    ana, luis, _ = people
    database, _ = links
    room, text, client_id = await ana.create_room(app), some_text(rng), some_id(rng)
    async with everyone(room, (ana, app), (luis, second)) as (talker, listener):
        held = database.hold_request("COMMIT", after=text)
        await talker.order("send", room=room, text=text, client_id=client_id)
        await held.arrived()
        await listener.hears_nothing("con el COMMIT sujeto")
        await talker.stays_silent("con el COMMIT sujeto")
        held.release()
        ack = await talker.take("ack", {"client_id": client_id, "seq": 1})
        await app.kill()
        expected = message(ana, room, 1, text, id=ack["id"], client_id=client_id)
        await listener.hears([expected])
    expect([each["id"] for each in await luis.history(second, room)], [ack["id"]], "lo guardado tras kill -9")


@check(
    7,
    "Lo que se junta para una conexión sale en una trama",
    todo=12,
    section=PROTOCOL,
    hints=(
        "Treinta ping en una trama dejan treinta pong en la bandeja antes de que nadie la vacíe.",
        'Una trama por suceso son treinta escrituras; "\\n".join(self._outbox), una.',
    ),
)
async def test_one_frame(app: App, people: list[Person], rng: Random) -> None:
    async with people[0].connect(app) as client:
        count = rng.randint(25, 35)
        await client.socket.send("\n".join(['{"type":"ping"}'] * count))
        for _ in range(count):
            await client.take("pong")
        expect(client.frames <= 3, True, f"que {count} respuestas quepan en 3 tramas (han sido {client.frames})")


@check(
    8,
    "Quien vuelve con su posición recibe justo lo que se perdió",
    todo=16,
    points=3,
    needs=("test_talk",),
    section=PROTOCOL,
    hints=(
        "Falta lo que hay después de position.seq y hasta head, con cambios y borrados, que también tienen número.",
        "journal.events_after() los da en orden y con el texto de hoy. Si no falta ninguno, recovered también es true.",
        "Sin posición no hay nada que recuperar: recovered es null, y no sigue nada.",
    ),
)
async def test_recover(app: App, people: list[Person], rng: Random) -> None:
    ana, luis, _ = people
    room = await ana.create_room(app)
    async with ana.connect(app, room) as talker:
        async with luis.connect(app) as listener:
            joined = await listener.join(room)
            expect(joined["recovered"], None, "recovered sin posición")
            position = {"epoch": joined["epoch"], "seq": 2}
            await say_all(talker, room, rng, 2)
            await listener.numbered(2)
        changed, ids = some_text(rng), [(await talker.say(room, "…", some_id(rng)))["id"] for _ in range(2)]
        await ana.request(app, "PATCH", f"/api/messages/{ids[0]}", json={"text": changed})
        await ana.request(app, "DELETE", f"/api/messages/{ids[1]}", 204)
        async with luis.connect(app) as listener:
            joined = await listener.join(room, position)
            expect([joined["seq"], joined["recovered"]], [6, True], "seq y recovered, al volver con el 2")
            missed = [
                message(ana, room, 3, changed, id=ids[0], edited_at=Matching()),
                message(ana, room, 4, "", id=ids[1], edited_at=ANY, deleted=True),
                {"type": "edited", "room": room, "seq": 5, "id": ids[0], "text": changed},
                {"type": "deleted", "room": room, "seq": 6, "id": ids[1], "text": ""},
            ]
            await listener.hears(missed)
            joined = await listener.join(room, {**position, "seq": 6})
            expect(joined["recovered"], True, "recovered cuando no falta nada")
            await listener.hears_nothing("cuando no falta nada")
            last = some_text(rng)
            await talker.say(room, last, some_id(rng), seq=7)
            await listener.hears([message(ana, room, 7, last)])


@check(
    9,
    "Cuando no se puede recuperar todo, se dice, y no se cuenta nada a medias",
    todo=16,
    points=2,
    needs=("test_recover",),
    section=PROTOCOL,
    hints=(
        "recovered: true promete que no falta nada. Con otra época, más allá de head o demasiado atrás, es false.",
        "Demasiado atrás es que falten más de settings.history_events: justo esos aún se pueden contar.",
        "Un límite en la consulta no basta: devuelve los primeros, calla los demás y nadie se entera.",
    ),
)
async def test_cannot_recover(app: App, people: list[Person], rng: Random) -> None:
    ana, luis, _ = people
    room, head = await ana.create_room(app), HISTORY + 2
    async with ana.connect(app, room) as talker, luis.connect(app) as listener:
        await say_all(talker, room, rng, head)
        epoch = (await listener.join(room))["epoch"]
        for position, why in (
            ({"epoch": epoch, "seq": 1}, f"faltan {HISTORY + 1}, y PLAZA_HISTORY_EVENTS es {HISTORY}"),
            ({"epoch": epoch, "seq": head + 1}, "aún no existe"),
            ({"epoch": "otra", "seq": head}, "la época es otra"),
        ):
            joined = await listener.join(room, position)
            expect(joined["recovered"], False, f"recovered, si {why}")
            await listener.hears_nothing(f"si {why}")
        joined = await listener.join(room, {"epoch": epoch, "seq": head - HISTORY})
        expect(joined["recovered"], True, f"recovered, si faltan justo {HISTORY}")
        events = await listener.numbered(HISTORY)
        expect([event["seq"] for event in events], list(range(3, head + 1)), "lo recuperado")


@check(
    10,
    "Lo que se dice mientras alguien vuelve le llega una vez",
    todo=16,
    points=2,
    needs=("test_recover",),
    section=PROMISES,
    hints=(
        "El control sujeta la vuelta a medias, y otro proceso dice algo: llega por la sala y está también en la base.",
        "La respuesta cuenta hasta head; desde ahí, la sala. Un suceso con seq mayor que head no es de los perdidos.",
    ),
)
async def test_meanwhile(links: tuple[Link, Link], app: App, second: App, people: list[Person], rng: Random) -> None:
    ana, luis, _ = people
    _, redis = links
    room, said, meanwhile = await ana.create_room(second), some_text(rng), some_text(rng)
    async with ana.connect(second, room) as talker, luis.connect(app) as listener:
        epoch = (await listener.join(room))["epoch"]
        await listener.order("leave", room=room)
        await talker.say(room, said, some_id(rng), seq=1)
        held = redis.hold_request(f"members:{room}")
        await listener.order("join", room=room, position={"epoch": epoch, "seq": 0})
        await held.arrived()
        await talker.say(room, meanwhile, some_id(rng), seq=2)
        held.release()
        await listener.take("joined", {"seq": 1, "recovered": True})
        await listener.hears([message(ana, room, 1, said), message(ana, room, 2, meanwhile)])
        await listener.hears_nothing("después de recuperar")


@check(
    11,
    "Una bandeja que se desborda cierra esa conexión, y a los demás no se les nota",
    todo=11,
    points=2,
    needs=("test_talk",),
    section=PROMISES,
    within=10.0,
    hints=(
        "Alguien deja de leer: lo suyo se acumula en su bandeja, y sin tope acaba con la memoria del proceso.",
        "push() suma los bytes, len(text.encode()); si pasa de settings.outbox_bytes, self.close(TOO_SLOW).",
        "No tires lo que no cabe: quien lo pierde no se entera. Cerrada con 4008, vuelve y lo recupera.",
    ),
)
async def test_overflow(app: App, people: list[Person], rng: Random) -> None:
    await stall(app, people, rng)


@check(
    12,
    "Un envío que no acaba cierra esa conexión, aunque en su bandeja quepa todo",
    todo=12,
    points=2,
    needs=("test_talk",),
    section=PROMISES,
    within=10.0,
    hints=(
        "websocket.send_text() espera a que el cliente lea; si no lee, espera para siempre.",
        "async with asyncio.timeout(self.settings.send_seconds): si vence, self.close(TOO_SLOW) y fuera del bucle.",
        "Probar otra vez no sirve: la trama ha podido salir a medias.",
    ),
)
async def test_send_deadline(second: App, people: list[Person], rng: Random) -> None:
    await stall(second, people, rng)


async def stall(app: App, people: list[Person], rng: Random) -> None:
    """Una persona deja de leer mientras otra habla mucho: se la expulsa con 4008, y la tercera lo oye todo."""
    ana, luis, eva = people
    room = await ana.create_room(app)
    slow_ones, closed = "plaza_slow_consumers_total", 'plaza_disconnects_total{code="4008"}'
    before = {name: await metric(app, name) for name in (slow_ones, closed)}
    async with (
        everyone(room, (ana, app), (luis, app)) as (talker, listener),
        eva.connect(app, room, buffer=4096) as slow,
    ):
        slow.socket.stop_reading()
        with transcript.summarized(f"{ana.name} dice {FLOOD} mensajes largos, y {luis.name} los oye"):
            _, heard = await asyncio.gather(flood(talker, room, rng, FLOOD), listener.numbered(FLOOD))
        expect([event["seq"] for event in heard], list(range(1, FLOOD + 1)), "los seq que oye quien sí lee")
        await goes_up(app, slow_ones, before)
        # Si aún está a tiempo, al leer recibe el 4008; si no, ya le han colgado.
        slow.socket.resume_reading()
        with transcript.summarized(f"{eva.name} lee lo atrasado"):
            await slow.drain()
        await goes_up(app, closed, before)


async def goes_up(app: App, name: str, before: dict[str, float]) -> None:
    """Espera a que esa métrica suba en uno."""
    await eventually(partial(metric, app, name), partial(operator.eq, before[name] + 1), f"{name} con una más", 3.0)


async def metric(app: App, name: str) -> float:
    """Lo que dice `/metrics` de ese proceso; 0 si no dice nada."""
    with transcript.summarized("GET /metrics"):
        text = (await app.get("/metrics", status=200)).text
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))
