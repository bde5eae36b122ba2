"""Los pasos en vivo y la mini-app de la lección 2, sin navegador: lo que afirma su README, contra uvicorn."""

import asyncio
import json
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from lesson_servers import ROOT, serving
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

LESSON = ROOT / "lessons" / "02_websockets"
STEPS = LESSON / "pasos"
UPGRADE = (
    "GET /ws/chat?name=Lento HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def core(path: str) -> str:
    return (LESSON / path).read_text(encoding="utf-8").partition("# region topes\n")[2]


def test_last_step_is_the_core_of_the_app() -> None:
    assert core("pasos/paso_5.py").replace("@app.", "@router.") == core("chat.py") != ""


@contextmanager
def person(address: str, name: str) -> Iterator[ClientConnection]:
    with connect(
        f"ws://{address}/ws/chat?name={name}", max_size=None, max_queue=None, open_timeout=5, close_timeout=1
    ) as ws:
        yield ws


def say(ws: ClientConnection, text: str) -> None:
    ws.send(json.dumps({"type": "say", "text": text}))


def next_of(ws: ClientConnection, kind: str, deadline: float = 5.0) -> dict[str, Any]:
    """El siguiente mensaje de ese tipo, saltando avisos."""
    while True:
        message: dict[str, Any] = json.loads(ws.recv(timeout=deadline))
        if message["type"] == kind:
            return message


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_each_step_answers_and_serves_its_page(number: int) -> None:
    with serving(STEPS, f"paso_{number}") as address:
        assert "Consola WebSocket" in httpx.get(f"http://{address}/").text
        with person(address, "Ana") as ana:
            say(ana, "¡Hola!")
            expected = "say" if number == 1 else "said"
            assert next_of(ana, expected)["text"] == "¡Hola!"


@pytest.mark.parametrize("number", [2, 3, 4, 5])
def test_bad_input_gets_an_error_and_the_connection_lives(number: int) -> None:
    bad = {"{": "invalid_json", "[" * 50_000: "invalid_json", "3": "invalid_message", "[]": "invalid_message"}
    bad |= {'{"type": "baila"}': "invalid_message", '{"type": "say", "text": 7}': "invalid_message"}
    with serving(STEPS, f"paso_{number}") as address, person(address, "Ana") as ana:
        for text, reason in bad.items():
            ana.send(text)
            assert next_of(ana, "error")["reason"] == reason
        say(ana, "sigo aquí")
        assert next_of(ana, "said")["number"] == 1


@contextmanager
def stalled(address: str) -> Iterator[None]:
    """Alguien que se conecta y no lee nunca."""
    host, _, port = address.rpartition(":")
    with closing(socket.socket()) as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect((host, int(port)))
        reader.sendall(UPGRADE.encode())
        yield


def delivered(address: str, messages: int) -> int:
    """Cuántos mensajes de Ana llegan a Luis antes de que uno tarde más de dos segundos."""
    with person(address, "Ana") as ana, person(address, "Luis") as luis:
        for number in range(messages):
            say(ana, "x" * 60_000)
            try:
                next_of(luis, "said", deadline=2)
                next_of(ana, "said", deadline=2)
            except TimeoutError:
                return number
    return messages


def test_a_stalled_reader_stops_the_room_of_step_3() -> None:
    with serving(STEPS, "paso_3", "--timeout-graceful-shutdown", "1") as address, stalled(address):
        assert 0 < delivered(address, 200) < 200


def test_a_stalled_reader_does_not_stop_the_room_of_step_4() -> None:
    with serving(STEPS, "paso_4", "--timeout-graceful-shutdown", "1") as address, stalled(address):
        assert delivered(address, 200) == 200


@pytest.fixture(scope="module")
def app() -> Iterator[str]:
    with serving(LESSON, "app") as address:
        yield address


def relay_of(address: str) -> str:
    return f"127.0.0.1:{httpx.get(f'http://{address}/api/relay').json()['port']}"


@pytest.mark.parametrize(
    ("variant", "status", "says"),
    [
        ("no-version", 400, "missing Sec-WebSocket-Version header"),
        ("complete", 101, "Sec-WebSocket-Accept: HSmrc0sMlYUkAGmm5OPpG2HaGWk="),
        ("old-version", 400, "invalid Sec-WebSocket-Version header: 8"),
        ("bad-key", 400, "invalid Sec-WebSocket-Key header"),
        ("no-upgrade", 404, "Not Found"),
    ],
)
def test_handshakes_written_by_hand(app: str, variant: str, status: int, says: str) -> None:
    exchange = httpx.post(f"http://{app}/api/handshakes/{variant}").json()
    assert exchange["status"] == status
    assert says in exchange["response"]


def test_the_shortest_handshake_costs_335_bytes(app: str) -> None:
    exchange = httpx.post(f"http://{app}/api/handshakes/complete").json()
    shortest = exchange["request"].replace("GET /ws/echo ", "GET /ws ") + exchange["response"]
    assert len(shortest) == 335


@pytest.mark.parametrize("query", ["", "?name=", f"?name={'x' * 21}", "?name=Ana"])
def test_refused_before_accepting_is_an_http_403(app: str, query: str) -> None:
    with person(app, "Ana"), pytest.raises(InvalidStatus) as refusal:
        connect(f"ws://{app}/ws/chat{query}")
    assert refusal.value.response.status_code == 403


def closing_code(ws: ClientConnection) -> int | None:
    """Lee hasta que la conexión se cierra; `recv` tiene plazo, así que esperar para siempre no es posible."""
    try:
        while True:
            ws.recv(timeout=5)
    except ConnectionClosed:
        return ws.close_code


@pytest.mark.parametrize(
    ("messages", "code"), [([b"\xde\xad"], 1003), (["ñ" * 50_001], 1009), (['{"type": "ping"}'] * 60, 1008)]
)
def test_each_limit_closes_with_its_code_and_harms_nobody(app: str, messages: list[str | bytes], code: int) -> None:
    with person(app, "Eva") as eva, person(app, "Bruto") as bruto:
        for message in messages:
            bruto.send(message)
        assert closing_code(bruto) == code
        assert next_of(eva, "left") == {"type": "left", "name": "Bruto", "code": code, "people": ["Eva"]}


def test_a_full_room_accepts_and_closes_with_1013(app: str) -> None:
    with ExitStack() as stack:
        for number in range(20):
            stack.enter_context(person(app, f"p{number}"))
        assert closing_code(stack.enter_context(person(app, "una-de-más"))) == 1013


def test_only_an_offered_subprotocol_is_chosen(app: str) -> None:
    for offered, chosen in [([], None), (["otro"], None), (["otro", "eco.v1"], "eco.v1")]:
        names = [Subprotocol(name) for name in offered]
        with connect(f"ws://{app}/ws/echo", subprotocols=names or None) as ws:
            assert ws.subprotocol == chosen


def test_everybody_reads_the_same_order(app: str) -> None:
    with ExitStack() as stack:
        people = [stack.enter_context(person(app, name)) for name in ("Ana", "Luis", "Eva")]
        for _ in range(8):
            for ws in people:
                say(ws, "a la vez")
        orders = [[(m["name"], m["number"]) for m in (next_of(ws, "said") for _ in range(24))] for ws in people]
    assert orders[0] == orders[1] == orders[2]


@pytest.mark.anyio
async def test_python_client_comes_back_by_itself(app: str) -> None:
    url = f"ws://{relay_of(app)}/ws/chat?name=Vuelve"
    command = [sys.executable, str(LESSON / "client.py"), url]
    client = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert client.stdout
    try:
        async with asyncio.timeout(20), httpx.AsyncClient(base_url=f"http://{app}") as http:
            assert await client.stdout.readline() == b"conectada\n"
            number = await number_of(http, "Vuelve")
            assert (await http.post(f"/api/connections/{number}/cut")).status_code == 204
            while await client.stdout.readline() != b"perdida: vuelvo a intentarlo\n":
                pass
            assert await client.stdout.readline() == b"conectada\n"
    finally:
        client.kill()
        await client.communicate()


async def number_of(http: httpx.AsyncClient, name: str) -> int:
    async with http.stream("GET", "/api/frames?after=0") as stream:
        async for line in stream.aiter_lines():
            if f"name={name} HTTP/1.1" in line:
                return int(json.loads(line.removeprefix("data:"))["connection"])
    raise AssertionError("el diario se acabó sin nombrar la conexión")


def test_cutting_a_connection_that_is_gone_says_what_to_do(app: str) -> None:
    answer = httpx.post(f"http://{app}/api/connections/99999/cut")
    assert answer.status_code == 404
    assert "recarga la página" in answer.json()["detail"]


def test_the_relay_works_on_a_unix_socket(tmp_path: Path) -> None:
    with serving(LESSON, "app", "--uds", str(tmp_path / "app.sock")) as path:
        with httpx.Client(transport=httpx.HTTPTransport(uds=path), base_url="http://app") as http:
            port = http.get("/api/relay").json()["port"]
        with person(f"127.0.0.1:{port}", "Ana") as ana:
            assert next_of(ana, "joined")["people"] == ["Ana"]


def test_stops_at_once_with_everything_open() -> None:
    """Con un flujo SSE y una persona abiertos, SIGTERM acaba dentro del plazo de `serving`."""
    with ExitStack() as clients, ExitStack() as server:
        address = server.enter_context(serving(LESSON, "app"))
        ana = clients.enter_context(person(relay_of(address), "Ana"))
        stream = clients.enter_context(httpx.stream("GET", f"http://{address}/api/frames?after=0"))
        assert any(line.startswith("data:") for line in stream.iter_lines())
        server.close()
        assert closing_code(ana) == 1012
