"""Los pasos en vivo y la mini-app de la lección 8, sin navegador: lo que afirma su README, contra uvicorn y Valkey."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest
from lesson_servers import ROOT, serving
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

LESSON = ROOT / "lessons" / "08_observabilidad"
STEPS = LESSON / "pasos"
DEADLINE = 8.0


def series(http: httpx.Client, path: str = "/metrics") -> dict[str, float]:
    families = text_string_to_metric_families(http.get(path).text)
    return {
        sample.name + (json.dumps(sample.labels, sort_keys=True) if sample.labels else ""): sample.value
        for family in families
        for sample in family.samples
    }


def until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < limit, "no llega a cumplirse"
        time.sleep(0.02)


@contextmanager
def step(number: int) -> Iterator[httpx.Client]:
    with serving(STEPS, f"paso_{number}") as address, httpx.Client(base_url=f"http://{address}", timeout=10) as http:
        yield http


@contextmanager
def thirty(http: httpx.Client) -> Iterator[list[ClientConnection]]:
    url = str(http.base_url).replace("http", "ws").rstrip("/") + "/ws"
    with ExitStack() as stack:
        yield [stack.enter_context(connect(url, open_timeout=8, close_timeout=1, proxy=None)) for _ in range(30)]


@contextmanager
def one(http: httpx.Client) -> Iterator[ClientConnection]:
    url = str(http.base_url).replace("http", "ws").rstrip("/") + "/ws"
    with connect(url, open_timeout=8, close_timeout=1, proxy=None) as ws:
        yield ws


def test_last_step_is_the_core_of_the_app() -> None:
    measured = (LESSON / "measured.py").read_text(encoding="utf-8")
    core = measured[measured.index("# region definir") : measured.index("QUEUED_BYTES")]
    assert "track_inprogress" in core
    for number in (4, 5):
        assert core in (STEPS / f"paso_{number}.py").read_text(encoding="utf-8")


def test_step_1_cannot_be_measured() -> None:
    with step(1) as http:
        assert "Consola de las métricas" in http.get("/").text
        assert http.get("/metrics").status_code == 404
        with one(http) as ws:
            ws.send('{"text": "hola"}')
            assert json.loads(ws.recv(timeout=5)) == {"text": "hola"}


def thirty_come_and_go(http: httpx.Client, gauge: str, left: int) -> dict[str, float]:
    with thirty(http) as people:
        assert series(http)[gauge] == 30
        for ws in people:
            ws.send('{"text": "hola"}')
            ws.recv(timeout=5)
    until(lambda: series(http)[gauge] == left)
    found = series(http)
    assert found['websocket_messages_total{"direction": "sent"}'] == 30
    return found


def test_step_2_still_counts_those_who_left() -> None:
    with step(2) as http:
        found = thirty_come_and_go(http, "websocket_connections_total", left=30)
        assert found["websocket_message_latency_seconds_count"] == 0
        assert 'websocket_messages_total{"direction": "received"}' not in found


def test_step_3_counts_while_it_lasts_and_both_ways() -> None:
    with step(3) as http:
        found = thirty_come_and_go(http, "websocket_connections", left=0)
        assert found['websocket_messages_total{"direction": "received"}'] == 30


def errors(http: httpx.Client) -> list[float]:
    found = series(http)
    return [
        found[f'websocket_connection_errors_total{{"reason": "{why}"}}'] for why in ("dropped", "invalid", "server")
    ]


def test_step_4_tells_each_ending_apart_and_puts_each_wait_in_its_bucket() -> None:
    with step(4) as http:
        thirty_come_and_go(http, "websocket_connections", left=0)
        with one(http) as ws:
            ws.send('{"text": "despacio", "wait": 0.1}')
            ws.recv(timeout=5)
        until(lambda: series(http)["websocket_connections"] == 0)
        assert errors(http) == [0, 0, 0]
        for text in ("basura", '{"text": "", "fail": true}'):
            with one(http) as ws:
                ws.send(text)
                with pytest.raises(ConnectionClosed):
                    ws.recv(timeout=5)
        with one(http) as ws:
            ws.socket.close()
        until(lambda: errors(http) == [1, 1, 1])
        found = series(http)
    latency = "websocket_message_latency_seconds"
    assert found[f'{latency}_bucket{{"le": "0.05"}}'] < found[f"{latency}_count"]


def test_step_5_is_alive_and_not_ready_without_redis() -> None:
    with step(5) as http:
        with one(http) as ws:
            ws.send('{"text": "hola"}')
            assert len(json.loads(ws.recv(timeout=5))["request_id"]) == 12
        assert http.get("/health/ready").status_code == 200
        assert http.post("/redis/mute").status_code == 204
        assert http.get("/health/ready").status_code == 503
        assert http.get("/health/live").status_code == 200
        assert http.post("/redis/up").status_code == 204
        until(lambda: http.get("/health/ready").status_code == 200)


@pytest.fixture(scope="module")
def app() -> Iterator[httpx.Client]:
    with serving(LESSON, "app") as address, httpx.Client(base_url=f"http://{address}", timeout=40) as http:
        yield http


def traffic(app: httpx.Client, people: int, farewell: str = "polite", rate: int = 0) -> dict[str, int]:
    found = app.put("/api/traffic", json={"people": people, "rate": rate, "farewell": farewell})
    answer: dict[str, int] = found.raise_for_status().json()
    return answer


def test_only_the_naive_gauge_keeps_those_who_left_until_the_collector_comes(app: httpx.Client) -> None:
    app.post("/api/collect")
    traffic(app, 30)
    assert traffic(app, 0, "rude")["open"] == 0
    until(lambda: series(app)["websocket_connections"] == 0)
    assert series(app, "/naive/metrics")["websocket_connections_total"] > 0
    app.post("/api/collect")
    assert series(app, "/naive/metrics")["websocket_connections_total"] == 0


def test_the_right_metrics_agree_with_the_visitors(app: httpx.Client) -> None:
    traffic(app, 10, rate=100)
    app.post("/api/spoil/invalid?count=2")
    app.post("/api/spoil/server?count=3")
    until(lambda: app.get("/api/truth").json()["answered"] > 10)
    traffic(app, 0, "rude")

    def agree() -> bool:
        truth, found = app.get("/api/truth").json(), series(app)
        told = {
            "open": found["websocket_connections"],
            "sent": found['websocket_messages_total{"direction": "received"}'],
            "received": found['websocket_messages_total{"direction": "sent"}'],
            "answered": found["websocket_message_latency_seconds_count"],
            **{
                why: found[f'websocket_connection_errors_total{{"reason": "{why}"}}']
                for why in ("dropped", "invalid", "server")
            },
        }
        return {name: truth[name] for name in told} == told

    until(agree)
    assert series(app, "/naive/metrics")["websocket_message_latency_seconds_count"] == 0


def test_a_frozen_visitor_fills_a_queue_that_empties_when_it_leaves(app: httpx.Client) -> None:
    assert app.post("/api/freeze").status_code == 409
    traffic(app, 2)
    assert app.post("/api/freeze").status_code == 204
    until(lambda: series(app)["websocket_queued_bytes"] > 10_000_000)
    traffic(app, 0)
    until(lambda: series(app)["websocket_queued_bytes"] == 0)


def test_an_id_follows_each_message(app: httpx.Client) -> None:
    lines: list[dict[str, str]] = []
    with app.stream("GET", "/api/trail") as trail, app.stream("GET", "/events") as events:
        app.post("/api/tasks?count=3").raise_for_status()
        name = ""
        for line in trail.iter_lines():
            name = line.removeprefix("event: ") if line.startswith("event: ") else name
            if line.startswith("data: ") and name == "right":
                lines.append(json.loads(line.removeprefix("data: ")))
            if len(lines) == 12:
                break
        assert events.status_code == 200
    assert "privado" not in json.dumps(lines)
    for request_id in {line["request_id"] for line in lines}:
        told = [line["event"] for line in lines if line["request_id"] == request_id]
        assert told == ["message_received", "task_started", "task_finished", "event_sent"]


def test_health_with_redis_mute_and_down(app: httpx.Client) -> None:
    for state in ("mute", "down"):
        assert app.put("/api/redis", json={"state": state}).json() == {"state": state}
        assert app.get("/health/live").status_code == 200
        assert app.get("/health/ready").status_code == 503
    app.put("/api/redis", json={"state": "up"})
    until(lambda: app.get("/health/ready").status_code == 200)


def test_stops_at_once_with_everything_open() -> None:
    with serving(LESSON, "app") as address, httpx.Client(base_url=f"http://{address}", timeout=20) as http:
        traffic(http, 5, rate=50)
        http.post("/api/freeze")
        with http.stream("GET", "/events") as stream:
            assert stream.status_code == 200
