"""Lo que Plaza promete, con su libro de cuentas: qué se confirmó y qué vio cada cual, pase lo que pase."""

import asyncio
import contextlib
import importlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from plaza_client import Person, Reader, Writer, events, of_type, plain_http, send, until
from plaza_town import PROJECT, Process, Town, answers, free_port, town, uvicorn_arguments
from sqlalchemy.exc import DBAPIError
from websockets.asyncio.client import ClientConnection

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(90)]
RATE = 20
MESSAGES = 25
PAUSE = 0.06
# Lo que dura la avería: más de lo que el bus tolera sin oír nada.
SILENT_SECONDS = 2.5


@pytest.fixture(scope="module")
def plaza(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("plaza")
    with town(folder, webs=2, PLAZA_MESSAGES_PER_SECOND=RATE, PLAZA_EMAIL_AFTER_SECONDS=2) as plaza:
        yield plaza


@pytest.fixture
def names() -> Iterator[str]:
    """Nombres que nadie ha usado."""
    return (f"p{time.monotonic_ns() // 1000 % 10**9}_{number}" for number in range(100))


@pytest.fixture
async def owner(plaza: Town, names: Iterator[str]) -> Person:
    return await Person(next(names), plaza.bases).sign_up()


@pytest.fixture
async def room(owner: Person) -> int:
    return int((await owner.request("POST", "/api/rooms", json={"name": "sala"})).raise_for_status().json()["id"])


@contextlib.asynccontextmanager
async def reading(readers: list[Reader]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(reader.read()) for reader in readers]
    try:
        async with asyncio.timeout(10):
            for reader in readers:
                await reader.ready.wait()
        yield
    finally:
        for task in tasks:
            task.cancel()
        # Con plazo: en Python 3.11 una cancelación se puede perder por el camino.
        await asyncio.wait(tasks, timeout=5)


async def kill_a_web(plaza: Town) -> None:
    await asyncio.to_thread(plaza.webs[0].kill)
    await asyncio.to_thread(plaza.webs[0].start)


async def restart_a_web(plaza: Town) -> None:
    seconds = await asyncio.to_thread(plaza.webs[1].terminate)
    assert seconds < 5
    await asyncio.to_thread(plaza.webs[1].start)


async def restart_redis(plaza: Town) -> None:
    await asyncio.to_thread(plaza.restart, plaza.valkey)


async def pause_redis(plaza: Town) -> None:
    plaza.pause(plaza.valkey)
    await asyncio.sleep(SILENT_SECONDS)
    plaza.resume(plaza.valkey)


async def restart_postgres(plaza: Town) -> None:
    await asyncio.to_thread(plaza.restart, plaza.postgres)


FAULTS = [kill_a_web, restart_a_web, restart_redis, pause_redis, restart_postgres]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_what_was_acknowledged_everyone_sees_once_and_in_order(
    plaza: Town, names: Iterator[str], room: int, fault: Callable[[Town], Awaitable[None]]
) -> None:
    people = [await Person(next(names), plaza.bases).sign_up() for _ in range(4)]
    writers = [Writer(person, room, MESSAGES, PAUSE) for person in people[:2]]
    readers = [Reader(person, room) for person in people[2:]]
    async with reading(readers):
        writing = [asyncio.create_task(writer.write()) for writer in writers]
        async with asyncio.timeout(20):
            while sum(len(writer.acks) for writer in writers) < MESSAGES // 2:
                await asyncio.sleep(0.02)
        await fault(plaza)
        async with asyncio.timeout(40):
            await asyncio.gather(*writing)
        said = sorted((seq, client_id) for writer in writers for client_id, seq in writer.acks.items())
        assert [seq for seq, _ in said] == list(range(1, 2 * MESSAGES + 1))
        async with asyncio.timeout(15):
            while any(len(reader.seen) < len(said) for reader in readers):
                await asyncio.sleep(0.02)
    for reader in readers:
        assert reader.seen == said
        assert reader.lost == 0


async def test_what_a_process_saved_and_did_not_live_to_announce_is_seen(plaza: Town, owner: Person, room: int) -> None:
    """Con el bus sano y sin que nadie más hable: de ese mensaje solo sabe la base de datos."""
    readers = [Reader(owner, room), Reader(owner, room)]
    async with reading(readers):
        async with owner.socket() as socket:
            await send(socket, type="join", room=room)
            await send(socket, type="send", room=room, text="hola", client_id="antes")
            await until(socket, of_type("ack"))
        await asyncio.to_thread(plaza.do, save_without_announcing(plaza, room, "después"))
        async with asyncio.timeout(15):
            while any(len(reader.seen) < 2 for reader in readers):
                await asyncio.sleep(0.02)
    assert [reader.seen for reader in readers] == [[(1, "antes"), (2, "después")]] * 2


async def test_what_was_saved_without_redis_is_told_as_soon_as_it_is_found(
    plaza: Town, owner: Person, room: int, tmp_path: Path
) -> None:
    """Los demás tienen su bus sano, así que no miran la base hasta dentro de un rato: hay que avisarles."""
    door = free_port()
    env = {**plaza.env, "REDIS_URL": f"redis://127.0.0.1:{door}"}
    web = Process(uvicorn_arguments(port := free_port()), PROJECT, env, tmp_path / "apartada.log")
    base = f"http://127.0.0.1:{port}"
    web.ready = lambda: answers(f"{base}/health/live")
    try:
        await asyncio.to_thread(web.start)
        async with owner.socket() as socket:
            await send(socket, type="join", room=room)
            await send(socket, type="send", room=room, text="hola", client_id="antes")
            path = f"/api/messages/{(await until(socket, of_type('ack')))['id']}"
            apart = Person(owner.name, [base], owner.token)
            (await apart.request("PATCH", path, json={"text": "adiós"})).raise_for_status()
            with pytest.raises(TimeoutError):
                await until(socket, of_type("edited"), within=0.5)
            async with tunnel(door, plaza.valkey.url):
                assert (await until(socket, of_type("edited"), within=4))["text"] == "adiós"
    finally:
        web.kill()


@contextlib.asynccontextmanager
async def tunnel(port: int, url: str) -> AsyncIterator[None]:
    """En el bloque, quien llama a `port` habla con el servidor de `url`."""

    joined = set[asyncio.Task[None]]()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(urlsplit(url).path)
        try:
            await asyncio.gather(pipe(reader, back), pipe(there, writer))
        finally:
            for end in (back, writer):
                end.close()
                with contextlib.suppress(OSError):
                    await end.wait_closed()

    def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        joined.add(asyncio.create_task(join(reader, writer)))

    async with await asyncio.start_server(keep, "127.0.0.1", port) as server:
        yield
        server.close()
        for task in joined:
            task.cancel()
        await asyncio.gather(*joined, return_exceptions=True)


async def save_without_announcing(plaza: Town, room: int, client_id: str) -> None:
    """Lo que deja en la base de datos un proceso que muere justo después de guardar."""
    connection = await asyncpg.connect(plaza.postgres.url)
    try:
        async with connection.transaction():
            await connection.execute("UPDATE rooms SET last_seq = last_seq + 1 WHERE id = $1", room)
            await connection.execute(
                "INSERT INTO messages (room_id, seq, user_id, client_id, text) "
                "SELECT id, last_seq, user_id, $2, 'hola' FROM rooms JOIN members ON room_id = id WHERE id = $1",
                room,
                client_id,
            )
    finally:
        await connection.close()


async def test_the_limit_is_one_for_all_the_processes(plaza: Town, owner: Person, room: int) -> None:
    async def flood(base: str) -> int:
        acks = 0
        async with owner.socket(base) as socket:
            await send(socket, type="join", room=room)
            await until(socket, of_type("joined"))
            for number in range(60):
                await send(socket, type="send", room=room, text="hola", client_id=f"{base[-4:]}-{number}")
            answered = 0
            async with asyncio.timeout(10):
                async for event in events(socket):
                    answered += event["type"] in ("ack", "error")
                    acks += event["type"] == "ack"
                    if event["type"] == "error":
                        assert event["code"] == "rate_limited"
                        assert event["retry_after"] > 0
                    if answered == 60:
                        return acks
        raise AssertionError("se ha cerrado")

    started = time.monotonic()
    acks = sum(await asyncio.gather(*(flood(base) for base in plaza.bases)))
    assert 2 * RATE <= acks <= 2 * RATE + RATE * (time.monotonic() - started) + 1


async def test_a_mention_is_brought_by_the_first_channel_that_can(
    plaza: Town, names: Iterator[str], owner: Person, room: int
) -> None:
    there, away = [await Person(next(names), plaza.bases).sign_up() for _ in range(2)]
    for person in (there, away):
        member = {"username": person.name}
        (await owner.request("POST", f"/api/rooms/{room}/members", json=member)).raise_for_status()
    async with owner.socket() as socket, there.socket() as listening:
        await send(socket, type="join", room=room)
        await send(socket, type="send", room=room, text=f"@{there.name} y @{away.name}", client_id="1")
        notice = await until(listening, of_type("notification"))
    assert notice["kind"] == "mention"
    assert len(await asyncio.to_thread(mails_for, plaza, away.name)) == 1
    delivered = {person.name: (await inbox(person))[0]["delivered_by"] for person in (there, away)}
    assert delivered == {there.name: "websocket", away.name: "email"}
    assert [len(await inbox(person)) for person in (there, away, owner)] == [1, 1, 0]


def mails_for(plaza: Town, name: str) -> list[str]:
    """Los asuntos de los correos para esa persona, en cuanto hay alguno."""
    limit = time.monotonic() + 10
    while True:
        found = [mail.subject for mail in plaza.mailbox.messages if f"{name}@example.org" in mail.recipients]
        if found or time.monotonic() > limit:
            return found
        time.sleep(0.05)


async def test_every_screen_hears_a_notice_however_quick_the_first_one_was(
    plaza: Town, names: Iterator[str], owner: Person, room: int
) -> None:
    """Con uno en cada proceso, el que tarda más encuentra el aviso ya llevado por el otro."""
    other = await Person(next(names), plaza.bases).sign_up()
    (await owner.request("POST", f"/api/rooms/{room}/members", json={"username": other.name})).raise_for_status()
    async with owner.socket() as socket:
        await send(socket, type="join", room=room)
        await send(socket, type="send", room=room, text=f"@{other.name}", client_id="1")
        await until(socket, of_type("ack"))
    async with asyncio.timeout(5):
        while not (notices := await inbox(other)):
            await asyncio.sleep(0.05)
    user = await asyncio.to_thread(plaza.do, note_brought_by_websocket(plaza, int(str(notices[0]["id"]))))
    async with other.socket() as slower, plaza.valkey.client() as redis:
        await redis.publish("control", json.dumps({"kind": "notification", "user": user, "id": notices[0]["id"]}))
        assert (await until(slower, of_type("notification")))["id"] == notices[0]["id"]


async def note_brought_by_websocket(plaza: Town, notification: int) -> int:
    """Apunta el aviso como llevado ya por un WebSocket, y devuelve de quién es."""
    connection = await asyncpg.connect(plaza.postgres.url)
    try:
        return int(
            await connection.fetchval(
                "UPDATE notifications SET delivered_by = 'websocket', delivered_at = now() WHERE id = $1 "
                "RETURNING user_id",
                notification,
            )
        )
    finally:
        await connection.close()


async def inbox(person: Person) -> list[dict[str, object]]:
    notices: list[dict[str, object]] = (await person.request("GET", "/api/notifications")).json()
    return notices


async def test_logging_out_ends_the_open_connections(owner: Person) -> None:
    async with owner.socket() as socket:
        assert (await owner.request("POST", "/api/logout")).status_code == 204
        async with asyncio.timeout(2):
            await socket.wait_closed()
        assert socket.close_code == 4001
    assert (await owner.request("GET", "/api/rooms")).status_code == 401


@pytest.mark.parametrize("path", ["/events/dashboard", "/events/notifications"])
async def test_logging_out_ends_the_open_streams_of_every_process(plaza: Town, owner: Person, path: str) -> None:
    headers = {"Authorization": f"Bearer {owner.token}"}
    async with plain_http(plaza.bases[1], 10, headers) as http, http.stream("GET", path) as stream:
        assert stream.status_code == 200
        assert (await owner.request("POST", "/api/logout")).status_code == 204
        async with asyncio.timeout(3):
            await stream.aread()


@pytest.mark.parametrize("path", ["/events/dashboard", "/events/notifications"])
async def test_a_stream_lasts_what_its_token_lasts(plaza: Town, owner: Person, path: str) -> None:
    ticket = (await owner.request("POST", "/api/tickets")).raise_for_status().json()["ticket"]
    async with plaza.valkey.client() as redis:
        saved = json.loads(await redis.get(f"ticket:{ticket}"))
        expires_at = time.time() + 1
        await redis.set(f"ticket:{ticket}", json.dumps({**saved, "expires_at": expires_at}))
    async with plain_http(plaza.base, 10) as http, http.stream("GET", path, params={"ticket": ticket}) as stream:
        async with asyncio.timeout(4):
            await stream.aread()
    assert time.time() >= expires_at


async def test_a_session_that_ends_unannounced_does_not_outlive_the_next_review(plaza: Town, owner: Person) -> None:
    """El proceso que cierra la sesión muere antes de avisar: las conexiones de los demás la cierran igual."""
    headers = {"Authorization": f"Bearer {owner.token}"}
    async with owner.socket(plaza.bases[1]) as socket, plain_http(plaza.bases[1], 20, headers) as http:
        async with http.stream("GET", "/events/notifications") as stream:
            await asyncio.to_thread(plaza.do, end_without_announcing(plaza, owner.name))
            async with asyncio.timeout(15):
                await socket.wait_closed()
                async for _ in stream.aiter_lines():
                    pass
        assert socket.close_code == 4001


async def end_without_announcing(plaza: Town, username: str) -> None:
    connection = await asyncpg.connect(plaza.postgres.url)
    try:
        await connection.execute(
            "UPDATE sessions SET revoked_at = now() FROM users WHERE users.id = user_id AND username = $1", username
        )
    finally:
        await connection.close()


async def test_who_enters_while_redis_is_mute_hears_what_only_redis_brings(
    plaza: Town, names: Iterator[str], owner: Person, room: int
) -> None:
    """Su canal no estaba entre los que se pidieron al volver a llamar: hay que pedirlo al encontrarlo."""
    other = await Person(next(names), plaza.bases).sign_up()
    async with owner.socket(plaza.bases[0]) as here, other.socket(plaza.bases[1]) as there:
        await send(here, type="join", room=room)
        await until(here, of_type("joined"))
        plaza.pause(plaza.valkey)
        try:
            await asyncio.sleep(SILENT_SECONDS)
            await send(there, type="join", room=room)
            await until(there, of_type("joined"))
        finally:
            plaza.resume(plaza.valkey)
        async with asyncio.timeout(5):
            while not await types(here, there, room):
                await asyncio.sleep(1)


async def types(here: ClientConnection, there: ClientConnection, room: int) -> bool:
    await send(here, type="typing", room=room)
    try:
        return bool(await until(there, of_type("typing"), within=0.5))
    except TimeoutError:
        return False


async def test_an_edit_does_not_bring_back_what_is_being_deleted(owner: Person, room: int) -> None:
    async with owner.socket() as socket:
        await send(socket, type="join", room=room)
        for turn in range(8):
            await send(socket, type="send", room=room, text="hola", client_id=f"{turn}")
            path = f"/api/messages/{(await until(socket, of_type('ack')))['id']}"
            edit, delete = await asyncio.gather(
                owner.request("PATCH", path, json={"text": "vuelvo"}), owner.request("DELETE", path)
            )
            assert (edit.status_code in (200, 409), delete.status_code) == (True, 204)
    messages = (await owner.request("GET", f"/api/rooms/{room}/messages")).json()["messages"]
    assert [(each["text"], each["deleted"]) for each in messages] == [("", True)] * 8


async def test_a_moderator_does_not_demote_another(owner: Person, names: Iterator[str], plaza: Town, room: int) -> None:
    one, other = [await Person(next(names), plaza.bases).sign_up() for _ in range(2)]
    path = f"/api/rooms/{room}/members"
    for person in (one, other):
        member = {"username": person.name, "role": "moderator"}
        assert (await owner.request("POST", path, json=member)).status_code == 204
    assert (await one.request("POST", path, json={"username": other.name})).status_code == 204
    ban = {"username": one.name, "minutes": 1, "reason": "sigue moderando"}
    assert (await other.request("POST", f"/api/rooms/{room}/mutes", json=ban)).status_code < 300


async def test_who_is_banned_gets_no_news_of_the_room(
    plaza: Town, names: Iterator[str], owner: Person, room: int
) -> None:
    out, here = [await Person(next(names), plaza.bases).sign_up() for _ in range(2)]
    for person in (out, here):
        (await owner.request("POST", f"/api/rooms/{room}/members", json={"username": person.name})).raise_for_status()
    ban = {"username": out.name, "minutes": 5, "reason": "ruido"}
    (await owner.request("POST", f"/api/rooms/{room}/bans", json=ban)).raise_for_status()
    async with owner.socket() as socket, here.socket() as listening:
        await send(socket, type="join", room=room)
        await send(socket, type="send", room=room, text=f"@{out.name} y @{here.name}", client_id="1")
        await until(listening, of_type("notification"))
    assert [notice["kind"] for notice in await inbox(out)] == ["moderation"]


@pytest.mark.parametrize("state", ["57P03", "53300", "08006"])
def test_a_postgresql_that_starts_or_is_full_is_away(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PROJECT))
    is_away = importlib.import_module("plaza.database").is_away

    class Driver(Exception):
        sqlstate = state

    assert is_away(DBAPIError("SELECT 1", None, Driver()))
    Driver.sqlstate = "42601"
    assert not is_away(DBAPIError("SELEC 1", None, Driver()))
