"""Los pasos en vivo y la mini-app de la lección 4, sin navegador: lo que afirma su README, contra uvicorn."""

import asyncio
import importlib.util
import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from httpx_sse import EventSource, ServerSentEvent
from lesson_servers import ROOT, serving

LESSON = ROOT / "lessons" / "04_sse"
STEPS = LESSON / "pasos"
QUICK = ("--timeout-graceful-shutdown", "1")


def core(path: str) -> str:
    return (LESSON / path).read_text(encoding="utf-8").partition("\nKEPT = ")[2]


def test_last_step_is_the_core_of_the_app() -> None:
    assert core("pasos/paso_5.py").replace("@app.", "@router.") == core("streams.py") != ""


# Uno para todas: crear un cliente carga los certificados, y aquí no hay nada cifrado.
CLIENT = httpx.Client(timeout=5, trust_env=False)


@pytest.fixture(scope="module", autouse=True)
def _client_closed() -> Iterator[None]:
    yield
    CLIENT.close()


@contextmanager
def stream(address: str, path: str = "/events", last_id: str | None = None) -> Iterator[Iterator[ServerSentEvent]]:
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    with CLIENT.stream("GET", f"http://{address}{path}", headers=headers) as response:
        assert response.status_code == 200, response.status_code
        events = EventSource(response).iter_sse()  # mientras exista, el flujo sigue abierto
        yield events


def next_of(events: Iterator[ServerSentEvent], name: str) -> ServerSentEvent:
    return next(event for event in events if event.event == name)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_each_step_streams_and_serves_its_page(number: int) -> None:
    with serving(STEPS, f"paso_{number}", *QUICK) as address:
        assert "Consola SSE" in CLIENT.get(f"http://{address}/").text
        with stream(address) as events:
            event = next_of(events, "message" if number == 1 else "tick")
            assert event.json()["price"] > 0
            assert (event.retry, bool(event.id)) == (None, number > 1)


def test_step_2_counts_apart_in_each_connection() -> None:
    with serving(STEPS, "paso_2", *QUICK) as address:
        for _ in range(2):
            with stream(address, last_id="7") as events:
                assert next_of(events, "tick").id == "1"


@pytest.mark.parametrize("number", [3, 4, 5])
def test_from_step_3_nothing_is_lost_and_what_is_lost_is_said(number: int) -> None:
    with serving(STEPS, f"paso_{number}", *QUICK) as address:
        with stream(address) as events:
            seen = [next_of(events, "tick") for _ in range(3)]
        with stream(address, last_id=seen[0].id) as events:
            assert [next_of(events, "tick").id for _ in range(2)] == [event.id for event in seen[1:]]
        for strange in ("otra-3", f"{seen[0].id}999", "hola", "9" * 5000):
            with stream(address, last_id=strange) as events:
                assert next(event for event in events if event.data).event == "lost"


@pytest.fixture(scope="module")
def app() -> Iterator[str]:
    with serving(LESSON, "app") as address:
        yield address


def test_the_51st_stream_is_refused_before_it_starts_and_leaving_makes_room(app: str) -> None:
    with ExitStack() as opened:
        for _ in range(50):
            assert next(opened.enter_context(stream(app))).retry == 1000
        refused = CLIENT.get(f"http://{app}/events")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    limit = time.monotonic() + 5
    while CLIENT.get(f"http://{app}/api/ping").json()["streams"] > 0:
        assert time.monotonic() < limit


def test_only_the_type_changes_between_naive_and_right(app: str) -> None:
    for path, kind in (("/naive/text-plain", "text/plain"), ("/naive/no-id", "text/event-stream")):
        with CLIENT.stream("GET", f"http://{app}{path}") as response:
            assert response.headers["content-type"].startswith(kind)
            assert any(line.startswith("data: {") for line in response.iter_lines())


def test_polling_asks_from_where_it_was(app: str) -> None:
    with stream(app) as events:
        first, second = (next_of(events, "tick").json()["n"] for _ in range(2))
    answer = CLIENT.get(f"http://{app}/ticks", params={"after": first}).json()
    assert answer["ticks"][0]["n"] == second
    assert answer["last"] >= second


def test_a_wire_counts_each_byte_and_can_be_cut(app: str) -> None:
    ports = CLIENT.get(f"http://{app}/api/wires").json()
    CLIENT.post(f"http://{app}/api/wires/reset")
    answer = CLIENT.get(f"http://127.0.0.1:{ports['poll']}/api/ping")
    head = f"HTTP/1.1 200 OK\r\n{''.join(f'{k}: {v}' for k, v in answer.headers.items())}"
    meter = CLIENT.get(f"http://{app}/api/meters").json()["poll"]
    assert meter["down"] == len(head) + 2 * len(answer.headers) + 2 + len(answer.content)
    with stream(f"127.0.0.1:{ports['sse']}") as events:
        next_of(events, "tick")
        assert CLIENT.post(f"http://{app}/api/wires/sse/cut").json() == {"connections": 1}
        with pytest.raises(httpx.TransportError):
            next_of(events, "nunca")
    assert CLIENT.post(f"http://{app}/api/wires/otro/cut").status_code == 404


def test_stops_at_once_with_everything_open() -> None:
    with ExitStack() as clients, ExitStack() as server:
        address = server.enter_context(serving(LESSON, "app"))
        wires = CLIENT.get(f"http://{address}/api/wires").json()
        for place in (address, f"127.0.0.1:{wires['sse']}"):
            next_of(clients.enter_context(stream(place)), "tick")
        pieces = clients.enter_context(stream(address, "/api/pieces"))
        assert next(event for event in pieces if event.data).json()["lane"] == "sse"
        server.close()


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("lesson_04_streams", Path(LESSON / "streams.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


async def first(events: Any, count: int) -> list[Any]:
    async with asyncio.timeout(5):
        return [await anext(events) for _ in range(count)]


@pytest.mark.anyio
async def test_a_cursor_left_behind_jumps_and_the_gap_is_told(streams: ModuleType) -> None:
    publish = streams.feed.publish
    publish(streams.Tick(n=1, at=0, price=1))
    events = streams.tick_events(0)
    assert [event.event for event in await first(events, 2)] == [None, "tick"]
    for number in range(2, streams.KEPT + 12):
        publish(streams.Tick(n=number, at=0, price=1))
    lost, tick = await first(events, 2)
    assert (lost.event, json.loads(lost.data)) == ("lost", {"missed": 10})
    assert json.loads(tick.data)["n"] == 12


@pytest.mark.anyio
async def test_what_is_published_while_delivering_arrives_next(streams: ModuleType) -> None:
    feed = streams.Feed()
    feed.publish("uno")
    follower = feed.follow(0)
    assert await first(follower, 1) == [(1, "uno")]
    feed.publish("dos")
    assert await first(follower, 1) == [(2, "dos")]
