"""Los pasos en vivo y la mini-app de la lección 7, sin navegador: lo que afirma su README, contra uvicorn y Valkey."""

import contextlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from lesson_servers import ROOT, serving
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from taller.regions import find_region

LESSON = ROOT / "lessons" / "07_seguridad"
STEPS = LESSON / "pasos"
ALL = [1, 2, 3, 4, 5]


class Door:
    """La puerta de un paso: sus tokens y cómo llamar a ella."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.http = httpx.Client(base_url=f"http://{address}", timeout=20)
        self.in_url: bool = self.http.get("/door").json()["in_url"]

    def token(self, kind: str) -> str:
        return str(self.http.get(f"/tokens/{kind}").json())

    @contextmanager
    def call(self, kind: str, origin: str | None = None) -> Iterator[ClientConnection]:
        token = self.token(kind)
        path = f"ws/{token}" if self.in_url else "ws"
        with connect(f"ws://{self.address}/{path}", origin=origin, open_timeout=5, close_timeout=1) as ws:  # type: ignore[arg-type]  # Origin es un NewType de str
            if not self.in_url:
                ws.send(json.dumps({"token": token}))
            yield ws

    def outcome(self, kind: str, origin: str | None = None) -> str:
        """«dentro», «HTTP 403» o el código de cierre."""
        try:
            with self.call(kind, origin) as ws:
                assert hears(ws)["type"] == "ready"
        except InvalidStatus as refusal:
            return f"HTTP {refusal.response.status_code}"
        except ConnectionClosed as closed:
            return str(closed.rcvd.code if closed.rcvd else 1006)
        return "dentro"


def hears(ws: ClientConnection, timeout: float = 5) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(ws.recv(timeout=timeout))
    return message


@contextmanager
def step(number: int) -> Iterator[Door]:
    with serving(STEPS, f"paso_{number}") as address:
        door = Door(address)
        with contextlib.closing(door.http):
            yield door


def code_of(path: str, region: str) -> str:
    """El texto de una región, sin líneas en blanco: dónde van las marca cada archivo."""
    text = find_region((LESSON / path).read_text(encoding="utf-8"), region).text
    return "\n".join(filter(str.strip, text.splitlines()))


def test_last_step_is_the_core_of_the_app() -> None:
    assert code_of("pasos/paso_5.py", "puerta") == code_of("doors.py", "puerta")
    assert code_of("pasos/paso_5.py", "deslizante") == code_of("limiters.py", "deslizante")


FOREIGN = "https://malo.example"
REFUSED = {1: "HTTP 403", 2: "1008", 3: "1008", 4: "1008", 5: "1008"}


@pytest.mark.parametrize("number", ALL)
def test_each_step_lets_in_whom_it_says(number: int) -> None:
    intruders = "dentro" if number < 3 else "1008"
    with step(number) as door:
        assert "Consola de la puerta" in door.http.get("/").text
        assert door.outcome("good") == "dentro"
        assert door.outcome("expired") == REFUSED[number]
        assert door.outcome("other_key") == REFUSED[number]
        assert [door.outcome(kind) for kind in ("no_exp", "other_service", "refresh")] == [intruders] * 3
        assert door.outcome("good", origin=FOREIGN) == ("dentro" if number < 3 else "HTTP 403")
        assert door.outcome("good", origin=f"http://{door.address}") == "dentro"
        if number == 2:
            silence_is_not_waited_for(door)


def silence_is_not_waited_for(door: Door) -> None:
    started = time.monotonic()
    with connect(f"ws://{door.address}/ws", close_timeout=1) as ws, pytest.raises(ConnectionClosed) as closed:
        ws.recv(timeout=6)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008
    assert time.monotonic() - started > 1.5


def test_in_step_4_the_connection_ends_with_its_token_unless_it_is_renewed() -> None:
    with step(4) as door, door.call("short") as kept, door.call("short") as forgotten:
        assert hears(kept)["type"] == hears(forgotten)["type"] == "ready"
        kept.send(json.dumps({"token": door.token("good")}))
        assert hears(kept)["type"] == "renewed"
        with pytest.raises(ConnectionClosed) as closed:
            forgotten.recv(timeout=8)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
        kept.send(json.dumps({"text": "sigo"}))
        assert hears(kept)["text"] == "sigo"


def test_step_5_counts_by_person_and_says_when_to_come_back() -> None:
    with step(5) as door, door.call("good") as one, door.call("good") as other:
        assert hears(one)["type"] == hears(other)["type"] == "ready"
        for turn in range(8):
            (one if turn % 2 else other).send(json.dumps({"text": "hola"}))
            answer = hears(one if turn % 2 else other)
            assert answer["type"] == ("said" if turn < 5 else "slow_down")
        assert 0 < answer["retry_after"] <= 4


@pytest.fixture(scope="module")
def app() -> Iterator[httpx.Client]:
    with serving(LESSON, "app") as address, httpx.Client(base_url=f"http://{address}", timeout=30) as http:
        yield http


@contextmanager
def opened(app: httpx.Client, path: str) -> Iterator[ClientConnection]:
    url = str(app.base_url).replace("http", "ws").rstrip("/")
    with connect(f"{url}/{path}", open_timeout=5, close_timeout=1) as ws:
        yield ws


def made(app: httpx.Client, kind: str) -> str:
    return str(app.post(f"/api/tokens/{kind}").json()["token"])


def code_after(app: httpx.Client, first: str) -> int:
    with opened(app, "right/ws") as ws:
        ws.send(first)
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=5)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


def test_without_sub_the_naive_door_answers_401_and_the_right_one_closes(app: httpx.Client) -> None:
    token = made(app, "no_sub")
    with pytest.raises(InvalidStatus) as refusal, opened(app, f"naive/ws/{token}"):
        pass
    assert refusal.value.response.status_code == 401
    assert code_after(app, json.dumps({"token": token})) == 1008


def test_whatever_a_stranger_says_first_closes_with_1008(app: httpx.Client) -> None:
    for first in ("{", "[]", "3", '{"token": 3}', json.dumps({"text": "hola"}), json.dumps({"token": "eyJ.eyJ."})):
        assert code_after(app, first) == 1008


def test_renewing_with_somebody_elses_token_closes(app: httpx.Client) -> None:
    with opened(app, "right/ws") as ws:
        ws.send(json.dumps({"token": made(app, "good")}))
        assert hears(ws)["user"] == "ana"
        ws.send(json.dumps({"token": made(app, "other_user")}))
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=5)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008


def test_the_log_says_which_door_each_line_is_about(app: httpx.Client) -> None:
    token = made(app, "good")
    with app.stream("GET", "/api/log") as stream:
        lines = stream.iter_lines()
        assert next(line for line in lines if line.startswith("event:"))
        with opened(app, f"naive/ws/{token}"), opened(app, "right/ws") as right:
            right.send(json.dumps({"token": token}))
            heard = [json.loads(line[6:]) for line in take(lines, "data: {", 4)]
    by_door = {door: " ".join(line["text"] for line in heard if line["door"] == door) for door in ("naive", "right")}
    assert token in by_door["naive"]
    assert "/right/ws" in by_door["right"]
    assert token not in by_door["right"]


def take(lines: Iterator[str], prefix: str, count: int) -> list[str]:
    found: list[str] = []
    while len(found) < count:
        line = next(lines)
        if line.startswith(prefix):
            found.append(line)
    return found


def test_a_clock_that_jumps_locks_out_or_lets_through(app: httpx.Client) -> None:
    result = app.post("/api/jump").json()
    assert result["back"]["locked_seconds"] == 3660
    assert result["forward"]["extra"] == 10


def test_only_the_script_keeps_the_limit_over_four_processes(app: httpx.Client) -> None:
    result = app.post("/api/processes").json()
    assert result["asked"] == 80
    assert result["memory"] == 40
    assert result["one_step"] == result["limit"] == 10
    assert result["two_steps"] > 10


def test_an_expelled_reader_may_not_come_in_again(app: httpx.Client) -> None:
    app.put("/api/room/members/luis", json={"member": True})
    with opened(app, "room/naive") as naive, opened(app, "room/right") as right:
        assert hears(naive)["type"] == hears(right)["type"] == "joined"
        app.put("/api/room/members/luis", json={"member": False})
        assert hears(right)["type"] == "removed"
        app.post("/api/room/messages")
        assert hears(naive)["type"] == "message"
        with pytest.raises(TimeoutError):
            right.recv(timeout=0.2)
        with opened(app, "room/right") as again:
            assert hears(again)["type"] == "forbidden"


def test_limits_of_what_the_page_may_ask(app: httpx.Client) -> None:
    assert app.post("/api/windows/knocks?times=1000").status_code == 422
    assert app.post("/api/tokens/admin").status_code == 422


def test_stops_at_once_with_everything_open() -> None:
    with serving(LESSON, "app") as address, httpx.Client(base_url=f"http://{address}", timeout=20) as http:
        token = made(http, "good")
        with http.stream("GET", "/api/log") as log, opened(http, f"naive/ws/{token}") as ws:
            assert next(log.iter_lines()).startswith("event:")
            assert hears(ws)["type"] == "ready"
