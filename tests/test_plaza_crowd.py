"""Plaza con mucha gente y alguno que estorba: quien no lee, quien no para de hablar, y las cuentas de dos procesos."""

import asyncio
import contextlib
import itertools
import json
import re
import socket
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from plaza_client import Person, events, of_type, plain_http, send, until
from plaza_town import Town, town
from websockets.asyncio.client import ClientConnection

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]
RATE, SEND_SECONDS = 20, 2
# 400 mensajes de 16 KB: más de lo que el núcleo guarda de una conexión que no se lee, hasta 4 MiB.
LONG, WRITERS = "😀" * 4000, 10
ROUNDS = 12
SHOUTERS, SHOUTS = 8, 60
STREAMED = 150
MEMBERS_PER_PROCESS, SAID = 3, 15


@pytest.fixture(scope="module")
def plaza(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder, counters = tmp_path_factory.mktemp("plaza"), tmp_path_factory.mktemp("metrics")
    with town(
        folder,
        webs=2,
        PROMETHEUS_MULTIPROC_DIR=str(counters),
        PLAZA_MESSAGES_PER_SECOND=RATE,
        PLAZA_SEND_SECONDS=SEND_SECONDS,
        PLAZA_CONNECTIONS_PER_USER=100,
        # Un tablero a toda prisa llena en un momento lo que no se lee.
        PLAZA_SAMPLE_SECONDS="0.02",
    ) as plaza:
        yield plaza


@pytest.fixture(scope="module")
def names() -> Iterator[str]:
    return (f"p{time.monotonic_ns() // 1000 % 10**9}_{number}" for number in itertools.count())


@pytest.fixture
async def owner(plaza: Town, names: Iterator[str]) -> Person:
    return await Person(next(names), plaza.bases).sign_up()


@pytest.fixture
async def room(owner: Person) -> int:
    return int((await owner.request("POST", "/api/rooms", json={"name": "sala"})).raise_for_status().json()["id"])


@contextlib.asynccontextmanager
async def joined(person: Person, room: int, base: str | None = None) -> AsyncIterator[ClientConnection]:
    async with person.socket(base) as socket:
        await send(socket, type="join", room=room)
        await until(socket, of_type("joined"), within=10)
        yield socket


async def collect(socket: ClientConnection, kinds: tuple[str, ...], count: int) -> list[dict[str, Any]]:
    """Los `count` primeros sucesos de esas clases; varios pueden llegar en una trama."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(30):
        async for event in events(socket):
            found += [event] if event["type"] in kinds else []
            if len(found) == count:
                break
    return found


async def value_of(base: str, metric: str) -> float:
    """Lo que dice `/metrics` de una serie; 0 si aún no existe."""
    async with plain_http(base, 10) as http:
        text = (await http.get("/metrics")).raise_for_status().text
    found = re.search(rf"^{re.escape(metric)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


async def becomes(base: str, metric: str, wanted: float, within: float = 15.0) -> None:
    limit = time.monotonic() + within
    while (value := await value_of(base, metric)) != wanted:
        assert time.monotonic() < limit, f"{metric} vale {value}, no {wanted}"
        await asyncio.sleep(0.1)


def small_window(port: int) -> socket.socket:
    """Un socket en el que el núcleo guarda lo menos posible por el camino."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    raw.connect(("127.0.0.1", port))
    raw.setblocking(False)
    return raw


def port_of(base: str) -> int:
    return int(base.rpartition(":")[2])


async def delays(sockets: list[ClientConnection], room: int) -> list[float]:
    """Los segundos que tarda en llegar a los demás cada cosa que dice el primero."""
    took = []
    for number in range(ROUNDS):
        started = time.monotonic()
        await send(sockets[0], type="send", room=room, text="hola", client_id=f"{started}-{number}")
        for reader in sockets:
            await until(reader, lambda event: event["type"] == "message" and event["text"] == "hola")
        took.append(time.monotonic() - started)
    return took


async def stall(person: Person, room: int, base: str) -> socket.socket:
    """Entra en la sala por un socket crudo y no vuelve a leer."""
    ticket = (await person.request("POST", "/api/tickets")).json()["ticket"]
    raw, loop = small_window(port_of(base)), asyncio.get_running_loop()
    handshake = (
        f"GET /ws?ticket={ticket} HTTP/1.1\r\nHost: plaza\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
    )
    await loop.sock_sendall(raw, handshake.encode())
    await read_until(raw, b"101 ")
    order = json.dumps({"type": "join", "room": room}).encode()
    await loop.sock_sendall(raw, bytes([0x81, 0x80 | len(order)]) + bytes(4) + order)
    await read_until(raw, b'"joined"')
    return raw


async def read_until(raw: socket.socket, wanted: bytes) -> bytes:
    loop, received = asyncio.get_running_loop(), b""
    async with asyncio.timeout(10):
        while wanted not in received:
            received += await loop.sock_recv(raw, 4096)
    return received


async def flood(person: Person, room: int, base: str) -> None:
    """Dice de golpe todo lo largo que se le permite, y vuelve cuando se lo han confirmado."""
    async with joined(person, room, base) as socket:
        for number in range(2 * RATE):
            await send(socket, type="send", room=room, text=LONG, client_id=str(number))
        await collect(socket, ("ack",), 2 * RATE)


async def test_who_does_not_read_is_evicted_and_nobody_else_notices(
    plaza: Town, names: Iterator[str], owner: Person, room: int
) -> None:
    people = [await Person(next(names), plaza.bases).sign_up() for _ in range(WRITERS)]
    evicted = 'plaza_disconnects_total{code="4008"}'
    before = await value_of(plaza.base, evicted)
    async with contextlib.AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(joined(owner, room, base)) for base in plaza.bases]
        alone = await delays(sockets, room)
        raw = await stall(owner, room, plaza.base)
        stack.callback(raw.close)
        reading = [asyncio.create_task(until(each, of_type("never"), within=60)) for each in sockets]
        await asyncio.gather(*(flood(person, room, plaza.base) for person in people))
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        beside_it = await delays(sockets, room)
        await becomes(plaza.base, evicted, before + 1)
    # Cuánto, con cifras, lo mide bench/difusion.py; aquí, que nadie espera lo que se le concede a quien no lee.
    assert max(beside_it) < max(alone) + SEND_SECONDS


async def test_who_missed_more_than_fits_is_told_to_reload_and_stays(
    plaza: Town, names: Iterator[str], owner: Person, room: int
) -> None:
    people = [await Person(next(names), plaza.bases).sign_up() for _ in range(WRITERS // 2)]
    await asyncio.gather(*(flood(person, room, plaza.base) for person in people))
    async with owner.socket() as socket:
        await send(socket, type="join", room=room)
        now = await until(socket, of_type("joined"))
        for missed, expected in ((now["seq"], [False]), (10, [True, *[None] * 10])):
            position = {"epoch": now["epoch"], "seq": now["seq"] - missed}
            await send(socket, type="join", room=room, position=position)
            told = await collect(socket, ("joined", "message"), len(expected))
            assert [event.get("recovered") for event in told] == expected
        await send(socket, type="ping")
        await until(socket, of_type("pong"))


async def test_who_talks_too_much_is_told_when_to_go_on_and_nobody_else_notices(
    plaza: Town, names: Iterator[str], owner: Person, room: int
) -> None:
    noisy = await Person(next(names), plaza.bases).sign_up()

    async def shout(turn: int) -> tuple[int, float]:
        """Cuántas se le aceptan de SHOUTS seguidas; luego espera lo que le dicen, y puede seguir."""
        base, accepted, wait = plaza.bases[turn % 2], 0, 0.0
        async with joined(noisy, room, base) as socket:
            for number in range(SHOUTS):
                await send(socket, type="send", room=room, text="¡eh!", client_id=f"{turn}-{number}")
            for answer in await collect(socket, ("ack", "error"), SHOUTS):
                accepted += answer["type"] == "ack"
                if answer["type"] == "error":
                    assert answer["code"] == "rate_limited"
                    wait = max(wait, answer["retry_after"])
        return accepted, wait

    async with contextlib.AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(joined(owner, room, base)) for base in plaza.bases]
        started = time.monotonic()
        shouting = [asyncio.create_task(shout(turn)) for turn in range(SHOUTERS)]
        await delays(sockets, room)
        outcomes = await asyncio.gather(*shouting)
        elapsed = time.monotonic() - started
        refused = [wait for _, wait in outcomes if wait]
        assert refused
        await asyncio.sleep(max(refused))
        async with joined(noisy, room) as socket:
            await send(socket, type="send", room=room, text="ya", client_id="ya")
            await until(socket, of_type("ack"))
    accepted = sum(count for count, _ in outcomes)
    assert 2 * RATE <= accepted <= 2 * RATE + RATE * elapsed + 1


async def test_a_dashboard_that_stops_reading_goes_on_with_what_is_newest(plaza: Town, owner: Person) -> None:
    ticket = (await owner.request("POST", "/api/tickets")).json()["ticket"]
    raw, loop = small_window(port_of(plaza.base)), asyncio.get_running_loop()
    with contextlib.closing(raw):
        await loop.sock_sendall(raw, f"GET /events/dashboard?ticket={ticket} HTTP/1.1\r\nHost: plaza\r\n\r\n".encode())
        await read_until(raw, b"event: metrics")
        # Quien lee todo ve un suceso por cada vuelta; quien no lee, lo que cupo por el camino y luego lo último.
        seen = await follow_dashboard(plaza.base, owner, STREAMED)
        behind = await read_for(raw, 1.0)
    kept = [delivered_by_sse(line) for line in behind.split("\n") if line.startswith("data: {") and line.endswith("}")]
    jumps = [after - before for before, after in itertools.pairwise(kept)]
    assert max(jumps) > STREAMED // 4
    assert kept[-1] >= seen[-1]


def delivered_by_sse(line: str) -> int:
    """Crece con cada suceso que alguien recibe: dice de cuándo es este."""
    return int(json.loads(line.removeprefix("data: "))["total"]["messages_delivered_total"]["sse"])


async def follow_dashboard(base: str, person: Person, count: int) -> list[int]:
    seen: list[int] = []
    http = plain_http(base, 30, {"Authorization": f"Bearer {person.token}"})
    async with http, http.stream("GET", "/events/dashboard") as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: {"):
                seen.append(delivered_by_sse(line))
            if len(seen) == count:
                break
    return seen


async def read_for(raw: socket.socket, seconds: float) -> str:
    loop, received = asyncio.get_running_loop(), b""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                received += await loop.sock_recv(raw, 65_536)
    return received.decode(errors="replace").replace("\r", "")


async def test_two_processes_give_the_same_true_figures(plaza: Town, owner: Person, room: int) -> None:
    open_now, published = 'plaza_connections{transport="websocket"}', "plaza_messages_published_total"
    delivered = 'plaza_messages_delivered_total{transport="websocket"}'
    await becomes(plaza.base, open_now, 0)
    before = {metric: await value_of(plaza.base, metric) for metric in (published, delivered)}
    async with contextlib.AsyncExitStack() as stack:
        bases = plaza.bases * MEMBERS_PER_PROCESS
        sockets = [await stack.enter_async_context(joined(owner, room, base)) for base in bases]
        for number in range(SAID):
            speaker = sockets[number % len(sockets)]
            await send(speaker, type="send", room=room, text="hola", client_id=str(number))
        for each in sockets:
            await collect(each, ("message",), SAID)
        for base in plaza.bases:
            await becomes(base, open_now, len(sockets))
            await becomes(base, published, before[published] + SAID)
            await becomes(base, delivered, before[delivered] + SAID * len(sockets))
        plaza.webs[1].kill()
        await becomes(plaza.base, open_now, MEMBERS_PER_PROCESS)
