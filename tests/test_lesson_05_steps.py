"""Los pasos en vivo y la mini-app de la lección 5, sin navegador: lo que afirma su README, contra uvicorn y Valkey."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import httpx
import pytest
from lesson_servers import ROOT, serving
from websockets.sync.client import ClientConnection, connect

LESSON = ROOT / "lessons" / "05_cache_con_redis"
STEPS = LESSON / "pasos"


@contextmanager
def step(number: int) -> Iterator[httpx.Client]:
    # Sin conexiones que se reutilicen: uvicorn cierra la suya después de un 500.
    client = partial(httpx.Client, timeout=20, limits=httpx.Limits(max_keepalive_connections=0))
    with serving(STEPS, f"paso_{number}") as address, client(base_url=f"http://{address}") as http:
        yield http


def calls_during(http: httpx.Client, method: str, path: str) -> tuple[int, httpx.Response]:
    """Cuántas preguntas le cuesta a la central una petición, y su respuesta."""
    before = http.get("/calls").json()
    response = http.request(method, path)
    return http.get("/calls").json() - before, response


def test_last_step_is_the_core_of_the_app() -> None:
    core = (LESSON / "cache.py").read_text(encoding="utf-8").partition("# region fuente\n")[2]
    assert core
    assert core in (STEPS / "paso_5.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_each_step_answers_and_counts_its_calls(number: int) -> None:
    with step(number) as http:
        assert "Consola de la caché" in http.get("/").text
        assert http.get("/trains/1").json() == {"id": "1", "to": "Sevilla", "delay": 0}
        # En una máquina muy ocupada Redis puede pasarse de su plazo alguna vez, y esa lectura va a la central.
        assert min(calls_during(http, "GET", "/trains/1")[0] for _ in range(5)) == (1 if number == 1 else 0)
        asked, _ = calls_during(http, "POST", "/trains/2/crowd")
        assert asked <= 2 if number >= 4 else asked >= 10
        assert http.get("/trains/99").status_code == 404


def test_redis_down_stops_only_step_2() -> None:
    with step(2) as http:
        http.get("/trains/1")
        http.post("/redis/down")
        assert http.get("/trains/1").status_code == 500


@pytest.mark.parametrize("number", [3, 4, 5])
def test_redis_away_does_not_stop_the_others(number: int) -> None:
    with step(number) as http:
        http.get("/trains/1")
        for state in ("down", "mute"):
            http.post(f"/redis/{state}")
            started = time.monotonic()
            assert http.get("/trains/1").status_code == 200
            assert time.monotonic() - started < 4
        http.post("/redis/up")
        asked = [calls_during(http, "GET", "/trains/99") for _ in range(3)]
        assert {response.status_code for _, response in asked} == {404}
        assert sum(calls for calls, _ in asked) < len(asked)
        if number == 5:
            a_change_is_read_at_once(http)


def a_change_is_read_at_once(http: httpx.Client) -> None:
    for delay in (7, 3, 12):
        http.get("/trains/1")
        assert http.put(f"/trains/1/delay/{delay}").json()["delay"] == delay
        assert http.get("/trains/1").json() == http.get("/source/1").json()
        assert http.get("/trains/1").json()["delay"] == delay


@pytest.fixture(scope="module")
def app() -> Iterator[httpx.Client]:
    with serving(LESSON, "app") as address, httpx.Client(base_url=f"http://{address}", timeout=30) as http:
        yield http


def test_stampede_costs_two_hundred_calls_or_one(app: httpx.Client) -> None:
    result = app.post("/api/stampede?reads=200").json()
    assert result["right"]["source_calls"] == 1
    assert result["naive"]["source_calls"] > 50
    assert result["right"]["errors"] == 0


def test_race_leaves_stale_values_or_none(app: httpx.Client) -> None:
    # Con todas las conexiones por abrir, las primeras rondas no se cruzan: se corren unas cuantas.
    results = [app.post("/api/race").json() for _ in range(2)]
    assert all(len(result["right"]["stale"]) == 20 for result in results)
    assert not any(any(result["right"]["stale"]) for result in results)
    assert any(any(result["naive"]["stale"]) for result in results)


def test_expiries_together_or_apart(app: httpx.Client) -> None:
    result = app.post("/api/expiries?count=60").json()
    spread = {kind: max(lives) - min(lives) for kind, lives in result.items()}
    assert all(len(lives) == 60 and min(lives) > 0 for lives in result.values())
    assert spread["right"] > 1000
    assert spread["right"] > spread["naive"]


def test_only_the_sync_client_silences_the_loop(app: httpx.Client) -> None:
    result = app.post("/api/freeze").json()
    assert result["sync"] > 700
    assert result["asyncio"] < result["sync"] / 2


@contextmanager
def board(app: httpx.Client, kind: str, query: str = "") -> Iterator[ClientConnection]:
    url = str(app.base_url).replace("http", "ws").rstrip("/")
    with connect(f"{url}/ws/boards/{kind}{query}", open_timeout=5, close_timeout=1) as ws:
        yield ws


def announce(app: httpx.Client, *texts: str, path: str = "/api/announcements") -> None:
    assert app.post(path, json={"texts": texts}).status_code == 202


def next_text(ws: ClientConnection) -> str:
    return str(json.loads(ws.recv(timeout=8))["text"])


def until_listening(app: httpx.Client, ws: ClientConnection) -> None:
    """Avisa hasta que el panel lo oye: entonces está suscrito."""
    for turn in range(100):
        announce(app, f"¿se oye? {turn}")
        try:
            while True:
                if json.loads(ws.recv(timeout=0.1))["text"] == f"¿se oye? {turn}":
                    return
        except TimeoutError:
            continue
    raise AssertionError("el panel no llega a suscribirse")


def test_a_cut_is_a_silent_gap_only_for_the_naive_board(app: httpx.Client) -> None:
    with board(app, "naive") as naive, board(app, "right") as right:
        for ws in (naive, right):
            until_listening(app, ws)
        announce(app, "antes")
        announce(app, "uno", "dos", path="/api/announcements/during-a-cut")
        seen = ""
        while seen != "antes":
            seen = next_text(right)
        assert [next_text(right), next_text(right)] == ["uno", "dos"]
        until_listening(app, naive)
        announce(app, "después")
        heard = ""
        while heard != "después":
            heard = next_text(naive)
            assert heard not in ("uno", "dos")


def test_the_right_board_goes_on_after_the_last_one_seen(app: httpx.Client) -> None:
    first, *_ = app.post("/api/announcements", json={"texts": ["a", "b", "c"]}).json()
    with board(app, "right", f"?after={first}") as ws:
        assert [next_text(ws), next_text(ws)] == ["b", "c"]


def test_redis_away_says_so_and_comes_back(app: httpx.Client) -> None:
    assert app.put("/api/settings", json={"redis": "down"}).json()["redis"] == "down"
    answer = app.post("/api/flush")
    assert answer.status_code == 503
    assert "Con este Redis no se puede" in answer.json()["detail"]
    assert app.get("/api/naive/trains/1").status_code == 503
    assert app.get("/api/right/trains/1").json()["id"] == "1"
    assert app.put("/api/settings", json={"redis": "up"}).json()["redis"] == "up"
    assert app.get("/api/naive/trains/1").status_code == 200


def test_settings_have_limits(app: httpx.Client) -> None:
    assert app.put("/api/settings", json={"rate": 1000}).status_code == 422
    assert app.put("/api/settings", json={"seconds": -1}).status_code == 422


def test_source_of_the_exercises(app: httpx.Client) -> None:
    product = app.get("/source/products/7").json()
    changed = app.put("/source/products/7", json={"price": 999}).json()
    assert changed == {**product, "price": 999, "version": product["version"] + 1}
    assert app.get("/source/products/99").status_code == 404


def test_stops_at_once_with_everything_open() -> None:
    with serving(LESSON, "app") as address, httpx.Client(base_url=f"http://{address}", timeout=20) as http:
        http.put("/api/settings", json={"rate": 50})
        with http.stream("GET", "/api/samples") as stream:
            assert any(line.startswith("data:") for line in stream.iter_lines())
