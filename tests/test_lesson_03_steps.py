"""Los pasos en vivo y la mini-app de la lección 3, sin navegador: lo que afirma su README, con procesos de verdad."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from lesson_servers import ROOT, listening_address, serving

from taller.services import Valkey, valkey

LESSON = ROOT / "lessons" / "03_tareas_en_segundo_plano"
STEPS = LESSON / "pasos"
DEADLINE = 20.0
CLIENT = httpx.Client(timeout=DEADLINE, trust_env=False)


def core(path: str) -> str:
    return (
        (LESSON / path).read_text(encoding="utf-8").partition("# region ajustes\n")[2].partition("\n# region página")[0]
    )


def test_last_step_is_the_core_of_the_service() -> None:
    assert core("pasos/paso_5.py").rstrip() == core("service.py").rstrip() != ""


@pytest.fixture(scope="module", autouse=True)
def _client_closed() -> Iterator[None]:
    yield
    CLIENT.close()


@pytest.fixture(scope="module")
async def server(anyio_backend: str) -> AsyncIterator[Valkey]:
    async with valkey() as server:
        yield server


@pytest.fixture
def redis_url(server: Valkey, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("REDIS_URL", server.url)
    return server.url


def submit(address: str, kind: str, seconds: float) -> dict[str, Any]:
    answer = CLIENT.post(f"http://{address}/tasks", json={"kind": kind, "seconds": seconds})
    assert answer.status_code == 202, answer.text
    task: dict[str, Any] = answer.json()
    return task


def until(ready: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not ready():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def status(address: str, task_id: str) -> str:
    return str(CLIENT.get(f"http://{address}/tasks/{task_id}").json()["status"])


def ping_ms(address: str) -> float:
    start = time.perf_counter()
    assert CLIENT.get(f"http://{address}/ping").json() == {"pong": True}
    return (time.perf_counter() - start) * 1000


@pytest.mark.anyio
@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
async def test_each_step_answers_202_and_serves_its_page(number: int, redis_url: str) -> None:
    def use() -> None:
        with serving(STEPS, f"paso_{number}") as address:
            assert "Consola de tareas" in CLIENT.get(f"http://{address}/").text
            assert submit(address, "wait", 0.05)["id"]
            ping_ms(address)

    await asyncio.to_thread(use)


@pytest.mark.parametrize(("kind", "blocks"), [("wait", False), ("thread", False), ("freeze", True), ("hog", True)])
def test_step_2_shows_who_blocks_the_loop(kind: str, blocks: bool) -> None:
    with serving(STEPS, "paso_2") as address:
        submit(address, kind, 1.5)
        assert (ping_ms(address) > 700) == blocks


def test_step_2_leaves_the_port_free_when_killed_with_a_child_alive() -> None:
    """Con `fork`, el hijo retendría el socket: quien conectase esperaría, y la API no podría volver."""
    with started("paso_2") as (api, address):
        submit(address, "process", 0.05)
        until(lambda: len(psutil.Process(api.pid).children()) > 0, "el hijo que calcula")
        api.kill()
        api.wait()
        with pytest.raises(httpx.ConnectError):
            CLIENT.get(f"http://{address}/ping")


@contextmanager
def started(module: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Como `serving`, pero para matarlo: al salir mueren también sus hijos."""
    command = [sys.executable, "-m", "uvicorn", f"{module}:app", "--port", "0"]
    output, errors = subprocess.PIPE, subprocess.STDOUT
    with subprocess.Popen(command, cwd=STEPS, stdout=output, stderr=errors, text=True, start_new_session=True) as api:
        try:
            yield api, listening_address(api)
        finally:
            os.killpg(api.pid, signal.SIGKILL)


def test_step_3_writes_the_trace_with_the_id(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "uvicorn", "paso_3:app", "--port", "0"]
    log = tmp_path / "log"
    with log.open("w") as output, subprocess.Popen(command, cwd=STEPS, stdout=output, stderr=output) as api:
        try:
            until(lambda: "running on http://" in log.read_text(), "arranca")
            address = log.read_text().partition("running on http://")[2].split()[0]
            task = submit(address, "fail", 0.05)
            until(lambda: "RuntimeError: no hay respuesta de postgresql://" in log.read_text(), "la traza")
            assert f"La tarea {task['id']} ha fallado" in log.read_text()
        finally:
            api.kill()


@pytest.mark.anyio
async def test_step_4_tells_how_it_ended_and_hides_the_text(redis_url: str) -> None:
    def use() -> None:
        with serving(STEPS, "paso_4") as address:
            done, failed = submit(address, "wait", 0.05), submit(address, "fail", 0.05)
            assert (done["status"], status(address, done["id"])) != ("queued", "")
            until(lambda: status(address, done["id"]) == "done", "acaba")
            until(lambda: status(address, failed["id"]) == "failed", "falla")
            told = CLIENT.get(f"http://{address}/tasks/{failed['id']}").json()
            assert told["error"] == "RuntimeError"
            assert "secreto" not in json.dumps(told)
            assert CLIENT.get(f"http://{address}/tasks/nada").status_code == 404

    await asyncio.to_thread(use)


@contextmanager
def taskiq_worker() -> Iterator[subprocess.Popen[bytes]]:
    """El obrero como lo arranca quien sigue la lección; muere entero, con los hijos que crea taskiq."""
    command = [sys.executable, "-m", "taskiq", "worker", "paso_5:broker", "--workers", "1"]
    with subprocess.Popen(
        command, cwd=STEPS, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as worker:
        try:
            yield worker
        finally:
            os.killpg(worker.pid, signal.SIGKILL)


@pytest.mark.anyio
async def test_step_5_survives_the_death_of_the_api_and_of_the_worker(redis_url: str) -> None:
    def use() -> None:
        with serving(STEPS, "paso_5") as address:
            with taskiq_worker():
                ids = [submit(address, "queue", 2)["id"] for _ in range(3)]
                until(lambda: all(status(address, name) == "running" for name in ids), "empiezan")
            assert [status(address, name) for name in ids] == ["running"] * 3
            with taskiq_worker():
                until(lambda: all(status(address, name) == "done" for name in ids), "las acaba otro")

    await asyncio.to_thread(use)


# La mini-app


@pytest.fixture(scope="module")
def mini_app() -> Iterator[str]:
    with serving(LESSON, "app") as address:
        yield address


class Watcher:
    """Lo que cuenta el flujo de la mini-app: el último estado de cada tarea y de los procesos."""

    def __init__(self, stack: ExitStack, address: str) -> None:
        response = stack.enter_context(CLIENT.stream("GET", f"http://{address}/api/events"))
        self._lines = response.iter_lines()
        self.tasks: dict[str, dict[str, Any]] = {}
        self.processes: dict[str, bool] = {}
        self.lag = 0.0

    def until(self, ready: Callable[["Watcher"], bool], what: str) -> None:
        deadline = time.monotonic() + DEADLINE
        while not ready(self):
            assert time.monotonic() < deadline, f"{what}: {self.count()}"
            line = next(self._lines)
            if line.startswith("data:"):
                self._note(json.loads(line.removeprefix("data:")))

    def _note(self, event: dict[str, Any]) -> None:
        match event:
            case {"type": "tasks", "tasks": tasks}:
                self.tasks = {task["id"]: task for task in tasks}
            case {"type": "task", "task": task}:
                self.tasks[task["id"]] = task
            case {"type": "processes"}:
                self.processes = event
            case {"type": "lag", "ms": ms}:
                self.lag = max(self.lag, ms)

    def count(self, kind: str = "") -> dict[str, int]:
        found = [task["status"] for task in self.tasks.values() if task["kind"] == kind or not kind]
        return {status: found.count(status) for status in set(found)}


@pytest.fixture
def watcher(mini_app: str) -> Iterator[Watcher]:
    CLIENT.post(f"http://{mini_app}/api/processes/api/start")
    CLIENT.post(f"http://{mini_app}/api/processes/worker/start")
    CLIENT.delete(f"http://{mini_app}/api/tasks")
    with ExitStack() as stack:
        yield Watcher(stack, mini_app)


def launch(address: str, kind: str, count: int, seconds: float) -> None:
    order = {"kind": kind, "count": count, "seconds": seconds}
    assert CLIENT.post(f"http://{address}/api/tasks", json=order).json() == {"accepted": count}


def control(address: str, role: str, what: str) -> None:
    assert CLIENT.post(f"http://{address}/api/processes/{role}/{what}").status_code == 204


def test_what_the_api_had_in_memory_is_lost(mini_app: str, watcher: Watcher) -> None:
    launch(mini_app, "wait", 20, 30)
    watcher.until(lambda seen: seen.count("wait") == {"running": 20}, "todas en marcha")
    control(mini_app, "api", "kill")
    watcher.until(lambda seen: seen.count("wait") == {"lost": 20}, "todas perdidas")
    watcher.until(lambda seen: seen.processes["api"] is False, "la API, muerta")
    refused = CLIENT.post(f"http://{mini_app}/api/tasks", json={"kind": "wait"})
    assert (refused.status_code, refused.json()["detail"]) == (503, "La API está muerta: levántala primero.")


def test_what_was_in_the_queue_is_done_once_the_worker_is_back(mini_app: str, watcher: Watcher) -> None:
    launch(mini_app, "queue", 20, 1)
    watcher.until(lambda seen: seen.count("queue").get("running", 0) > 0, "empieza alguna")
    control(mini_app, "worker", "kill")
    control(mini_app, "api", "kill")
    watcher.until(lambda seen: not seen.processes.get("worker", True), "el obrero, muerto")
    assert watcher.count("queue").get("lost", 0) == 0
    control(mini_app, "worker", "start")
    watcher.until(lambda seen: seen.count("queue") == {"done": 20}, "todas hechas")
    assert any(task["starts"] > 1 for task in watcher.tasks.values())


@pytest.mark.parametrize(("kind", "blocks"), [("wait", False), ("thread", False), ("freeze", True), ("hog", True)])
def test_the_probe_sees_who_blocks_the_loop(mini_app: str, watcher: Watcher, kind: str, blocks: bool) -> None:
    launch(mini_app, kind, 1, 1)
    watcher.until(lambda seen: seen.count(kind) == {"done": 1}, "acaba")
    # La respuesta a la que estaba esperando llega justo después.
    watcher.until(lambda seen: seen.lag > 0, "la sonda")
    if blocks:
        watcher.until(lambda seen: seen.lag > 700, "el bucle, parado")
    else:
        assert watcher.lag < 700


def test_a_failure_shows_its_name_only(mini_app: str, watcher: Watcher) -> None:
    launch(mini_app, "fail", 1, 0.1)
    watcher.until(lambda seen: seen.count("fail") == {"failed": 1}, "falla")
    assert [task["error"] for task in watcher.tasks.values()] == ["RuntimeError"]


def test_forgetting_keeps_what_is_not_finished(mini_app: str, watcher: Watcher) -> None:
    launch(mini_app, "wait", 2, 0.1)
    launch(mini_app, "wait", 1, 30)
    watcher.until(lambda seen: seen.count("wait") == {"done": 2, "running": 1}, "dos hechas")
    CLIENT.delete(f"http://{mini_app}/api/tasks")
    watcher.until(lambda seen: seen.count("wait") == {"running": 1}, "queda una")
    control(mini_app, "api", "kill")


def test_leaves_no_process_behind() -> None:
    with ExitStack() as clients:
        with serving(LESSON, "app") as address:
            Watcher(clients, address).until(lambda seen: seen.processes.get("worker", False), "todo en marcha")
            port = int(address.rpartition(":")[2])
            [owner] = [
                connection.pid
                for connection in psutil.net_connections("tcp")
                if connection.laddr.port == port and connection.status == psutil.CONN_LISTEN
            ]
            assert owner
            family = psutil.Process(owner).children(recursive=True)
            assert len(family) >= 4
        _, alive = psutil.wait_procs(family, timeout=10)
        assert alive == []
