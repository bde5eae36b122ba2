"""Los pasos en vivo y la mini-app de la lección 1, sin navegador: lo que afirma su README, contra uvicorn."""

import importlib
import json
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from types import ModuleType
from typing import Any

import httpx
import pytest
from httpx_sse import EventSource, connect_sse
from lesson_servers import ROOT, serving
from websockets.sync.client import ClientConnection, connect

LESSON = ROOT / "lessons" / "01_introduccion"
STEPS = LESSON / "pasos"


def core(path: str) -> str:
    return (LESSON / path).read_text(encoding="utf-8").partition("# region mercado\n")[2]


def test_last_step_is_the_core_of_the_app() -> None:
    assert core("pasos/paso_5.py").replace("@app.", "@router.") == core("prices.py") != ""


@pytest.fixture(scope="module")
def heads() -> Iterator[type]:
    """El contador de peticiones, importado como desde su carpeta y sin dejar rastro."""
    sys.path.insert(0, str(LESSON))
    try:
        module: ModuleType = importlib.import_module("counting")
        yield module.Heads
    finally:
        sys.path.remove(str(LESSON))
        sys.modules.pop("counting", None)


def test_requests_are_counted_wherever_the_bytes_are_split(heads: type) -> None:
    get, upgrade = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /ws HTTP/1.1\r\nUPGRADE: websocket\r\n\r\n"
    data = get + get + upgrade + b"\x81\x84\r\n\r\n\r\n\r\n"
    for cut in range(len(data) + 1):
        counter = heads()
        assert counter.feed(data[:cut]) + counter.feed(data[cut:]) == 3, f"partido en el byte {cut}"


@pytest.fixture(scope="module")
def app() -> Iterator[str]:
    with serving(LESSON, "app") as address:
        httpx.put(f"http://{address}/api/pace", json={"seconds": 0}).raise_for_status()
        yield address


class Lab:
    """El flujo de lecturas de un laboratorio abierto."""

    def __init__(self, source: EventSource) -> None:
        self._events = source.iter_sse()
        self.ports: dict[str, int] = json.loads(next(self._events).data)

    def reading(self, pane: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(next(self._events).data)[pane]
        return found

    def settled(self, pane: str, **expected: int) -> dict[str, Any]:
        """La primera lectura que trae esas cifras; cada una llega en un cuarto de segundo."""
        deadline = time.monotonic() + 5
        while True:
            found = self.reading(pane)
            if {name: found[name] for name in expected} == expected:
                return found
            assert time.monotonic() < deadline, f"{found} no llega a {expected}"


@contextmanager
def lab_of(address: str) -> Iterator[Lab]:
    # Sin certificados que cargar: abrir treinta clientes no debe tardar.
    with (
        httpx.Client(timeout=5, verify=False) as client,
        connect_sse(client, "GET", f"http://{address}/api/lab") as source,
    ):
        yield Lab(source)


def exchange(connection: socket.socket, path: str, *headers: str) -> tuple[bytes, bytes]:
    """Una petición mínima y su respuesta, tal como cruzan el cable."""
    request = "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()
    connection.sendall(request)
    response = b""
    while b"\r\n\r\n" not in response:
        response += connection.recv(65536)
    head, _, rest = response.partition(b"\r\n\r\n")
    sizes = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while len(rest) < sum(sizes):
        more = connection.recv(65536)
        response, rest = response + more, rest + more
    return request, response


def test_the_meter_counts_each_byte_of_http_and_nothing_else(app: str) -> None:
    with lab_of(app) as lab, closing(socket.create_connection(("127.0.0.1", lab.ports["poll"]), 5)) as connection:
        crossed = [exchange(connection, f"/api/price?depth={depth}") for depth in (0, 500, 0)]
        up, down = (sum(len(pair[side]) for pair in crossed) for side in (0, 1))
        lab.settled("poll", up=up, down=down, requests=3, connections=1, open=1)
        assert lab.reading("long")["up"] == 0


def test_the_meter_counts_each_byte_of_a_websocket(app: str) -> None:
    with lab_of(app) as lab, connect(f"ws://127.0.0.1:{lab.ports['ws']}/ws/price", compression=None) as ws:
        first = len(str(ws.recv(timeout=5)))
        before = lab.settled("ws", requests=1)
        ws.send("move")
        moved = len(str(ws.recv(timeout=5)))
        assert max(first, moved) < 126
        lab.settled("ws", up=before["up"] + 6 + len("move"), down=before["down"] + 2 + moved, requests=1)


def test_closing_the_page_closes_its_ports_and_lets_the_server_know(app: str) -> None:
    with lab_of(app) as lab:
        port = lab.ports["long"]
        with closing(socket.create_connection(("127.0.0.1", port), 5)) as connection:
            connection.sendall(b"GET /api/price/next?after=1 HTTP/1.1\r\nHost: x\r\n\r\n")
            lab.settled("long", open=1, requests=1)
        lab.settled("long", open=0)
    deadline = time.monotonic() + 5
    while accepts(port):
        assert time.monotonic() < deadline, "el puerto sigue abierto"


def accepts(port: int) -> bool:
    with closing(socket.socket()) as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def test_too_many_pages_are_told_so(app: str) -> None:
    with ExitStack() as pages:
        labs = [pages.enter_context(lab_of(app)) for _ in range(32)]
        refused = httpx.get(f"http://{app}/api/lab")
        assert len({port for lab in labs for port in lab.ports.values()}) == 4 * 32
    assert refused.status_code == 503
    assert "cierra alguna y recarga" in refused.json()["detail"]


def quote_of(address: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"http://{address}/api/price").json()
    return found


def follower(address: str) -> ClientConnection:
    return connect(f"ws://{address}/ws/price", open_timeout=5, close_timeout=1)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_each_step_serves_its_page_and_its_way(number: int) -> None:
    with serving(STEPS, f"paso_{number}") as address, httpx.Client(base_url=f"http://{address}", timeout=8) as client:
        assert "Consola del precio" in client.get("/").text
        first = client.get("/api/price")
        assert ("etag" in first.headers) == (number >= 2)
        assert client.get("/api/price/next?after=0").status_code == (200 if number >= 3 else 404)
        if number == 3:
            assert client.get(f"/api/price/next?after={first.json()['number']}").json()["number"] > 1
        if number == 4:
            with connect_sse(client, "GET", "/api/price/stream") as source:
                numbers = [json.loads(event.data)["number"] for event, _ in zip(source.iter_sse(), "ab", strict=False)]
            assert numbers[0] < numbers[1]
        if number == 5:
            with follower(address) as ws:
                before = json.loads(ws.recv(timeout=5))["number"]
                ws.send("move")
                assert json.loads(ws.recv(timeout=5))["number"] > before


@pytest.mark.parametrize("depth", [0, 500])
def test_a_known_price_is_a_304_without_body_until_it_moves(app: str, depth: int) -> None:
    url = f"http://{app}/api/price?depth={depth}"
    tag = httpx.get(url).headers["etag"]
    for known in (tag, f"W/{tag}", f'"otra", {tag}'):
        answer = httpx.get(url, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    httpx.post(f"http://{app}/api/move").raise_for_status()
    assert httpx.get(url, headers={"If-None-Match": tag}).status_code == 200


def test_the_big_answer_is_much_bigger_than_its_304(app: str) -> None:
    big = httpx.get(f"http://{app}/api/price?depth=500")
    assert len(big.json()["past"]) == 500
    assert len(big.content) > 2500


def test_a_change_reaches_the_three_that_wait(app: str) -> None:
    number = quote_of(app)["number"]
    with (
        httpx.Client(base_url=f"http://{app}", timeout=5) as client,
        connect_sse(client, "GET", "/api/price/stream", headers={"Last-Event-ID": str(number)}) as source,
        follower(app) as ws,
    ):
        assert json.loads(ws.recv(timeout=5))["number"] == number
        ws.send("move")
        seen = [json.loads(ws.recv(timeout=5)), json.loads(next(source.iter_sse()).data)]
        seen.append(httpx.get(f"http://{app}/api/price/next?after={number}", timeout=5).json())
    assert [quote["number"] for quote in seen] == [number + 1] * 3


def test_the_pace_is_kept_within_reason(app: str) -> None:
    assert httpx.put(f"http://{app}/api/pace", json={"seconds": -1}).status_code == 422
    before = quote_of(app)["number"]
    try:
        httpx.put(f"http://{app}/api/pace", json={"seconds": 0.05}).raise_for_status()
        assert httpx.get(f"http://{app}/api/price/next?after={before}", timeout=5).json()["number"] > before
    finally:
        httpx.put(f"http://{app}/api/pace", json={"seconds": 0}).raise_for_status()


def test_stops_at_once_with_everything_open() -> None:
    """Con la página midiendo y los tres que esperan abiertos, SIGTERM acaba dentro del plazo de `serving`."""
    with ExitStack() as clients, ExitStack() as server:
        address = server.enter_context(serving(LESSON, "app"))
        lab = clients.enter_context(lab_of(address))
        ws = clients.enter_context(connect(f"ws://127.0.0.1:{lab.ports['ws']}/ws/price", close_timeout=1))
        ws.recv(timeout=5)
        client = clients.enter_context(httpx.Client(timeout=5))
        source = clients.enter_context(
            connect_sse(client, "GET", f"http://127.0.0.1:{lab.ports['sse']}/api/price/stream")
        )
        next(source.iter_sse())
