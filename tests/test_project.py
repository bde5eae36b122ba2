"""`taller proyecto`: Plaza con una orden, que se cuida sola y no deja nada detrás."""

import asyncio
import contextlib
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import psutil
import pytest
from httpx_sse import aconnect_sse
from plaza_client import Person, of_type, send, until
from project_process import Project, all_gone, project, project_in
from whole_course import copy_course, environment

from taller.catalog import ROOT
from taller.patience import patience
from taller.project.demo_data import CONVERSATIONS, GENERAL, PASSWORD, PEOPLE, ROOMS

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]
GAUGE = re.compile(r'^plaza_connections\{transport="websocket"\} (\d+)', re.MULTILINE)
SCRAPES = 6
# Con las tres de los datos de ejemplo, que Plaza da por presentes unos segundos más, por debajo del límite de diez.
CONNECTIONS = 5


@pytest.fixture(autouse=True, scope="module")
def own_servers() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("REDIS_URL", "DATABASE_URL", "SMTP_URL", "PLAZA_SECRET"):
            patch.delenv(variable, raising=False)
        yield


@pytest.fixture(scope="module")
def plaza(own_servers: None) -> Iterator[Project]:
    with project("--temporal", "--demo", "--procesos", "2") as running:
        running.until_it_says("la contraseña es")
        yield running


@pytest.fixture(scope="module")
async def ana(plaza: Project) -> Person:
    return await enter("ana", plaza.url)


async def enter(name: str, url: str) -> Person:
    async with httpx.AsyncClient(base_url=url, timeout=10) as http:
        answer = await http.post("/api/login", json={"username": name, "password": PASSWORD})
    return Person(name, [url], answer.raise_for_status().json()["access_token"])


async def eventually(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"en {seconds:g} s no se cumple: {what}"
        await asyncio.sleep(0.05)


def serves(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{url}/health/ready", timeout=2).status_code == 200
    return False


async def texts(person: Person, room: str) -> list[str]:
    known = {each["name"]: each["id"] for each in (await person.request("GET", "/api/rooms")).json()}
    answer = await person.request("GET", f"/api/rooms/{known[room]}/messages")
    return [message["text"] for message in answer.json()["messages"]]


async def test_pages_inbox_and_example_data_are_where_it_says(plaza: Project, ana: Person) -> None:
    async with httpx.AsyncClient(timeout=5) as http:
        assert "Plaza" in (await http.get(f"{plaza.url}/")).text
        inbox = plaza.until_it_says("El correo").split()[-1]
        assert "Buzón" in (await http.get(inbox)).text
    assert plaza.until_it_says("Entra como").startswith(f"Entra como {', '.join(PEOPLE[:-1])}")
    for room in ROOMS:
        if "ana" in room.people:
            assert await texts(ana, room.name) == [text for _, text in CONVERSATIONS[room]]


async def test_metrics_are_of_all_the_processes_whoever_answers(plaza: Project, ana: Person) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(CONNECTIONS):
            await stack.enter_async_context(ana.socket())
        await eventually(lambda: scrape(plaza.url) == CONNECTIONS, "las métricas cuentan todas las conexiones")
        assert {scrape(plaza.url) for _ in range(SCRAPES)} == {CONNECTIONS}
        victim = max(plaza.family("taller.project.web"), key=lambda each: len(sockets_of(each)))
        lost = len(sockets_of(victim))
        victim.kill()
        await eventually(
            lambda: scrape(plaza.url) == CONNECTIONS - lost, f"las métricas olvidan las {lost} del proceso muerto"
        )
        await eventually(lambda: len(plaza.family("taller.project.web")) == 2, "vuelve a haber dos procesos")
    await eventually(lambda: scrape(plaza.url) == 0, "no queda ninguna conexión")


def scrape(url: str) -> int:
    """Por una conexión nueva: la atiende el proceso que toque."""
    with contextlib.suppress(httpx.TransportError):
        found = GAUGE.search(httpx.get(f"{url}/metrics", timeout=5).text)
        return int(found[1]) if found else 0
    return -1


def sockets_of(process: psutil.Process) -> list[object]:
    """Sus conexiones de clientes: en el puerto de Plaza y abiertas."""
    found = process.net_connections(kind="tcp")
    ports = {each.laddr.port for each in found if each.status == psutil.CONN_LISTEN}
    return [each for each in found if each.status == psutil.CONN_ESTABLISHED and each.laddr.port in ports]


async def test_the_dashboard_shows_every_process(plaza: Project, ana: Person) -> None:
    headers = {"Authorization": f"Bearer {ana.token}"}

    async def shown() -> set[str]:
        async with (
            httpx.AsyncClient(base_url=plaza.url, headers=headers, timeout=10) as http,
            aconnect_sse(http, "GET", "/events/dashboard") as source,
        ):
            async for event in source.aiter_sse():
                if event.event == "metrics":
                    return set(json.loads(event.data)["workers"])
        return set()

    async with asyncio.timeout(20):
        while (names := sorted(name.partition("-")[0] for name in await shown())) != ["web", "web", "worker"]:
            assert names


@pytest.mark.parametrize("word", ["valkey-server", "pginstall/bin/postgres -D", "taskiq worker", "taller.project.web"])
async def test_what_dies_starts_again(plaza: Project, ana: Person, word: str) -> None:
    before = plaza.family(word)
    before[0].kill()
    # El primero es el padre de los demás: con él se van todos, y después vuelve.
    await eventually(lambda: not set(plaza.family(word)) & set(before[:1]), "ha muerto")
    await eventually(lambda: len(plaza.family(word)) >= len(before), f"vuelve {word}")
    await eventually(lambda: serves(plaza.url), "atiende")
    bruno = await enter("bruno", plaza.url)
    await until_mentioned(ana, bruno, f"@ana, ha vuelto {word}")


async def until_mentioned(ana: Person, bruno: Person, text: str) -> None:
    """Pasa por todo: los procesos web, PostgreSQL, Valkey y el obrero, que crea el aviso."""
    room = next(each["id"] for each in (await ana.request("GET", "/api/rooms")).json() if each["name"] == GENERAL.name)
    async with bruno.socket() as talking:
        await send(talking, type="join", room=room)
        await until(talking, of_type("joined"))
        await send(talking, type="send", room=room, text=text, client_id=text)
        await until(talking, of_type("ack"))
    async with asyncio.timeout(20):
        while True:
            notices = (await ana.request("GET", "/api/notifications")).json()
            if any(text in notice["text"] for notice in notices):
                return
            await asyncio.sleep(0.1)


async def test_sigterm_ends_it_all_in_five_seconds() -> None:
    with project("--temporal", "--demo") as running:
        running.until_it_says("la contraseña es")
        folder = Path(running.until_it_says("registros en").split()[-1])
        ana = await enter("ana", running.url)
        everybody = [*running.guards(), *running.family()]
        assert len(everybody) > 8
        async with ana.socket(), ana.socket():
            assert running.stop() < patience(5)
        assert running.process.returncode == 0
        assert running.lines[-1] == "Plaza se ha cerrado."
        assert all_gone(everybody, 1.0)
        assert not folder.exists()


async def test_if_it_is_killed_nothing_stays() -> None:
    with project("--temporal") as running:
        folder = Path(running.until_it_says("registros en").split()[-1])
        everybody = [*running.guards(), *running.family()]
        running.process.kill()
        assert all_gone(everybody, patience(8))
        assert not folder.exists()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Donde también entra «nobody», que corre PostgreSQL si somos root; las de pytest son solo nuestras."""
    with tempfile.TemporaryDirectory(prefix="taller-plaza-") as path:
        Path(path).chmod(0o711)
        yield Path(path) / "datos"


async def test_data_sessions_and_examples_are_there_tomorrow(folder: Path) -> None:
    with project_in(folder) as today:
        today.until_it_says("la contraseña es")
        ana = await enter("ana", today.url)
        await until_mentioned(ana, await enter("bruno", today.url), "@ana, hasta mañana")
        today.stop()
    with project_in(folder) as tomorrow:
        tomorrow.until_it_says("la contraseña es")
        ana.bases = [tomorrow.url]
        expected = [text for _, text in CONVERSATIONS[GENERAL]]
        assert await texts(ana, GENERAL.name) == [*expected, "@ana, hasta mañana"]
        rooms = [each["name"] for each in (await ana.request("GET", "/api/rooms")).json()]
        assert sorted(rooms) == sorted(room.name for room in ROOMS)
        assert (folder / "secreto").stat().st_mode & 0o777 == 0o600


def fails(*arguments: str, **options: str) -> str:
    """Lo que dice la orden al no poder; acaba con la siguiente orden que escribir."""
    command = [sys.executable, "-m", "taller", "proyecto", "--temporal", *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert re.search(r"python3 curso\.py proyecto[^.]*$", ended.stderr.strip()), ended.stderr
    return ended.stderr


def test_a_taken_port_says_which_other() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"No se puede usar el puerto {port}" in fails("--puerto", str(port))


def test_a_folder_without_plaza_says_where_there_is_one(tmp_path: Path) -> None:
    assert "No hay ninguna Plaza" in fails("--de", str(tmp_path))


def test_the_skeletons_start_too(tmp_path: Path) -> None:
    """Quien empieza ve su Plaza en marcha antes de escribir nada."""
    root = copy_course(tmp_path)
    arguments = ("-m", "taller", "proyecto", "--de", "ejercicios", "--temporal")
    running = Project(*arguments, cwd=root, env=environment(root))
    try:
        assert httpx.get(f"{running.url}/health/ready").json()["status"] == "ready"
        assert httpx.get(running.url).status_code == 200
    finally:
        running.stop()


@pytest.mark.parametrize("broken", ["main.py", "settings.py"])
def test_a_plaza_that_does_not_start_says_why(tmp_path: Path, broken: str) -> None:
    code = tmp_path / "10_proyecto" / "plaza"
    shutil.copytree(ROOT / "solutions" / "10_proyecto" / "plaza", code, ignore=shutil.ignore_patterns("__pycache__"))
    (code / broken).write_text("import un_modulo_que_no_existe\n")
    assert "No module named 'un_modulo_que_no_existe'" in fails("--de", str(tmp_path))


def test_data_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "archivo").write_text("")
    with project_in(tmp_path / "archivo" / "datos") as running:
        running.process.wait(30)
        running.stop()
        assert any("No se puede usar la carpeta" in line for line in running.lines)
