"""Los pasos en vivo y la mini-app de la lección 9, sin navegador: lo que afirma su README, contra servidores."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
from lesson_servers import LISTENING, ROOT, START_DEADLINE, serving
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from taller.runner import Address
from taller.wire import Target, WebSocketClient

LESSON = ROOT / "lessons" / "09_buenas_practicas"
STEPS = LESSON / "pasos"
DEADLINE = 8.0
HEAVY = "x" * 1_000_000  # por TCP los búferes guardan unos megabytes


def until(ready: Callable[[], bool], what: str) -> None:
    limit = time.monotonic() + DEADLINE
    while not ready():
        assert time.monotonic() < limit, f"en {DEADLINE:g} s no ha pasado: {what}"
        time.sleep(0.02)


@contextmanager
def step(number: int) -> Iterator[tuple[str, httpx.Client]]:
    limits = httpx.Limits(max_keepalive_connections=0)
    with (
        serving(STEPS, f"paso_{number}", "--timeout-graceful-shutdown", "1") as address,
        httpx.Client(base_url=f"http://{address}", timeout=DEADLINE, limits=limits) as http,
    ):
        yield address, http


@contextmanager
def tab(address: str, name: str = "portátil") -> Iterator[ClientConnection]:
    with connect(f"ws://{address}/ws/ana?tab={name}", open_timeout=DEADLINE, close_timeout=0.2) as websocket:
        assert json.loads(websocket.recv(DEADLINE))["tab"] == name
        yield websocket


@contextmanager
def frozen_tab(address: str) -> Iterator[None]:
    """La pestaña congelada de la lección, en su propio proceso, como la arranca quien da la clase."""
    command = [sys.executable, "frozen.py", f"ws://{address}/ws/ana?tab=congelada"]
    with subprocess.Popen(command, cwd=STEPS, stdout=subprocess.PIPE, encoding="utf-8") as frozen:
        try:
            assert frozen.stdout
            assert "conectada" in frozen.stdout.readline()
            yield
        finally:
            frozen.kill()


def send(http: httpx.Client, data: Any = "hola") -> int:
    answer = http.post("/users/ana/messages", json={"data": data})
    assert answer.status_code == 202
    return int(answer.json()["queued"])


def stats(http: httpx.Client) -> dict[str, int]:
    return dict(http.get("/stats").json())


def data(websocket: ClientConnection) -> Any:
    return json.loads(websocket.recv(DEADLINE))["data"]


def test_last_step_is_the_core_of_the_app() -> None:
    core = (LESSON / "connections.py").read_text(encoding="utf-8").partition("# region gestor\n")[2]
    core = core.rpartition("# endregion\n")[0]
    assert core
    for number in (4, 5):
        assert core in (STEPS / f"paso_{number}.py").read_text(encoding="utf-8")


def test_step_1_delivers_but_waits_for_a_frozen_tab() -> None:
    with step(1) as (address, http):
        delivers_to_both(address, http, 2)
        with tab(address, "tableta"), tab(address, "tableta") as second:
            assert send(http, "la segunda pisa a la primera") == 1
            assert data(second) == "la segunda pisa a la primera"
        with frozen_tab(address), tab(address) as behind, pytest.raises(httpx.TimeoutException):
            send_heavy(http, behind, 30)


def delivers_to_both(address: str, http: httpx.Client, expected: int) -> None:
    assert "Consola de las pestañas" in http.get("/").text
    with tab(address) as laptop, tab(address, "móvil") as phone:
        assert send(http, {"n": 1}) == expected
        assert [data(laptop), data(phone)] == [{"n": 1}] * 2
    until(lambda: stats(http)["connections"] == 0, "que las dos se hayan ido")


def send_heavy(http: httpx.Client, reader: ClientConnection, count: int) -> None:
    """Mensajes que la congelada no lee y que la otra va leyendo."""
    for _ in range(count):
        http.post("/users/ana/messages", json={"data": HEAVY}, timeout=1.0)
        data(reader)


@pytest.mark.parametrize("number", [2, 3, 4, 5])
def test_from_step_2_two_tabs_with_the_same_name_live_together(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEND_SECONDS", "0.5")
    with step(number) as (address, http):
        delivers_to_both(address, http, 2)
        with tab(address, "tableta") as first, tab(address, "tableta") as second:
            assert send(http, "a las dos") == 2
            assert [data(first), data(second)] == ["a las dos"] * 2
        until(lambda: stats(http) == {"users": 0, "connections": 0, "waiting": 0}, "que no quede nada")
        if number == 3:
            a_frozen_tab_delays_nobody_and_costs_memory(address, http)
            asyncio.run(reads_late(address, http))
        if number == 4:
            a_frozen_tab_is_evicted(address, http)


def a_frozen_tab_delays_nobody_and_costs_memory(address: str, http: httpx.Client) -> None:
    with frozen_tab(address), tab(address) as laptop:
        send_heavy(http, laptop, 15)
        assert stats(http)["waiting"] > 0
    until(lambda: stats(http)["connections"] == 0, "que se hayan ido")


async def reads_late(address: str, http: httpx.Client) -> None:
    """Lo que usan los controles de 9.1: un cliente que deja de leer y vuelve."""
    target = Target(Address(port=int(address.rpartition(":")[2])))
    async with WebSocketClient.open(target, "/ws/ana?tab=lenta", buffer=4096) as slow:
        await slow.expect({"type": "welcome"})
        slow.stop_reading()
        for number in range(12):
            await asyncio.to_thread(send, http, {"n": number, "filling": HEAVY})
        assert (await asyncio.to_thread(stats, http))["waiting"] > 0
        slow.resume_reading()
        for number in range(12):
            await slow.expect({"data": {"n": number}}, within=DEADLINE)


def a_frozen_tab_is_evicted(address: str, http: httpx.Client) -> None:
    with frozen_tab(address), tab(address) as laptop:
        until(lambda: stats(http)["connections"] == 2, "que estén las dos")
        send_heavy(http, laptop, 12)
        until(lambda: stats(http)["connections"] == 1, "que desaloje a la congelada")
        assert send(http, "sigo aquí") == 1
        assert data(laptop) == "sigo aquí"
        assert stats(http)["waiting"] == 0


def test_step_5_says_goodbye_and_saves_its_report() -> None:
    command = [sys.executable, "-m", "uvicorn", "paso_5:app", "--port", "0"]
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8"}
    with subprocess.Popen(command, cwd=STEPS, **pipe) as server:  # type: ignore[call-overload]  # son sus opciones
        try:
            address = address_of(server)
            with tab(address) as laptop, httpx.stream("GET", f"http://{address}/events", timeout=DEADLINE) as stream:
                assert next(stream.iter_lines()).startswith("data:")
                assert httpx.post(f"http://{address}/reports").status_code == 202
                server.send_signal(signal.SIGTERM)
                with pytest.raises(ConnectionClosed):
                    laptop.recv(DEADLINE)
                assert laptop.close_code == 1012
            server.wait(DEADLINE)
            assert "informe guardado" in server.stdout.read()
        finally:
            server.kill()


def address_of(server: "subprocess.Popen[str]") -> str:
    assert server.stdout
    limit = time.monotonic() + START_DEADLINE
    for line in server.stdout:
        if found := LISTENING.search(line):
            return found[1]
        assert time.monotonic() < limit
    raise AssertionError("el servidor no arrancó")


@pytest.fixture(scope="module")
def app() -> Iterator[httpx.Client]:
    """La mini-app; al acabar se la apaga con un flujo abierto, y tiene que terminar igual."""
    with ExitStack() as afterwards, serving(LESSON, "app") as address:
        http = afterwards.enter_context(httpx.Client(base_url=f"http://{address}", timeout=30))
        stream = afterwards.enter_context(http.stream("GET", "/api/events"))
        assert any(line.startswith("data:") for line in stream.iter_lines())
        yield http


@pytest.fixture
def fresh(app: httpx.Client) -> httpx.Client:
    assert app.post("/api/restart").status_code == 204
    return app


def side(app: httpx.Client, kind: str) -> dict[str, Any]:
    return dict(app.get("/api/state").json()[kind])


def received(app: httpx.Client, kind: str) -> dict[str, int]:
    return {one["name"]: one["received"] for one in side(app, kind)["tabs"]}


def test_behind_the_frozen_tab_nothing_arrives_or_everything_does(fresh: httpx.Client) -> None:
    fresh.post("/api/tabs/congelada/freeze")
    fresh.post("/api/burst?count=60")
    everyone = {"portátil": 60, "congelada": 0, "móvil": 60, "tableta": 60}
    until(lambda: received(fresh, "right") == everyone, "que las tres del lado correcto lo reciban todo")
    naive = received(fresh, "naive")
    assert naive["portátil"] == 60
    assert naive["móvil"] == naive["tableta"] < 50
    assert side(fresh, "naive")["pending"] == 60 - naive["móvil"]
    assert side(fresh, "right")["pending"] == 0
    until(lambda: "congelada" not in side(fresh, "right")["queues"], "que desaloje a la congelada")
    fresh.post("/api/tabs/congelada/wake")
    until(lambda: received(fresh, "naive")["tableta"] == 60, "que al despertar salga lo atascado")
    until(lambda: frozen(fresh)["code"] in (1013, 1006), "que la desalojada vea su cierre")
    assert 0 < frozen(fresh)["received"] < 60


def frozen(app: httpx.Client) -> dict[str, Any]:
    return next(one for one in side(app, "right")["tabs"] if one["name"] == "congelada")


def test_what_cannot_be_done_is_said(app: httpx.Client) -> None:
    answer = app.post("/api/tabs/nadie/freeze")
    assert answer.status_code == 404
    assert "portátil" in answer.json()["detail"]


def answer_all(websocket: ClientConnection, manner: str) -> None:
    """Lo que hace Ana con cada aviso, siempre lo mismo: «ack», «nack», «silent» o «leave»."""
    for text in websocket:
        if manner == "leave":
            websocket.close()
        elif manner != "silent":
            websocket.send(json.dumps({"type": manner, "id": json.loads(text)["id"]}))


@contextmanager
def listening(app: httpx.Client, kind: str, manner: str) -> Iterator[None]:
    url = f"{str(app.base_url).replace('http', 'ws').rstrip('/')}/ws/notifications/{kind}"
    with connect(url, open_timeout=DEADLINE, close_timeout=0.2) as websocket:
        assert json.loads(websocket.recv(DEADLINE)) == {"type": "ready"}
        ana = threading.Thread(target=answer_all, args=(websocket, manner), daemon=True)
        ana.start()
        yield
    ana.join(DEADLINE)


def notify(app: httpx.Client, kind: str) -> dict[str, Any]:
    return dict(app.post(f"/api/notifications/{kind}", json={"text": "Ha llegado tu pedido"}).json())


@pytest.mark.parametrize(
    ("manner", "channel", "why"),
    [
        ("ack", "websocket", ""),
        ("nack", "email_queued", "dice que no"),
        ("leave", "email_queued", "dice que no"),
        ("silent", "email_queued", "se calla"),
    ],
)
def test_each_failure_goes_on_to_the_next_channel(app: httpx.Client, manner: str, channel: str, why: str) -> None:
    with listening(app, "right", manner):
        outcome = notify(app, "right")
    assert outcome["receipt"] == channel
    assert outcome["attempts"][0]["why"] == why
    assert (outcome["seconds"] > 1.4) == (manner == "silent")


def test_the_notes_break_where_they_are_needed(app: httpx.Client) -> None:
    assert notify(app, "naive")["said"].startswith("500: NameError")


def test_without_a_queue_it_says_so_and_the_mail_arrives_when_it_is_back(app: httpx.Client) -> None:
    assert app.put("/api/mail-queue/down").status_code == 204
    assert "503" in notify(app, "right")["said"]
    with listening(app, "right", "ack"):
        assert notify(app, "right")["receipt"] == "websocket"
    assert app.put("/api/mail-queue/up").status_code == 204
    before = len(app.get("/api/mails").json())
    assert notify(app, "right")["receipt"] == "email_queued"
    until(lambda: len(app.get("/api/mails").json()) > before, "que llegue el correo")


def test_without_a_deadline_of_its_own_redis_py_lets_itself_be_cancelled() -> None:
    command = [sys.executable, "swallowed.py", "20"]
    said = subprocess.run(command, cwd=LESSON, capture_output=True, text=True, timeout=30, check=True).stdout
    assert "socket_timeout=None: 0 de 20" in said
    assert "de fábrica: " in said
