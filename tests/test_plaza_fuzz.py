"""Plaza con quien no respeta nada: peticiones imposibles por HTTP y tramas deformes por el WebSocket.

Ninguna da un 5xx, ninguna tira un proceso, y cuando los malos se van no queda nada de ellos.
"""

import asyncio
import contextlib
import json
import math
import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from plaza_client import Person, of_type, send, until
from plaza_frames import BROKEN, malformed
from plaza_town import Town, town
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.core.result import Ok
from websockets.asyncio.client import ClientConnection

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]
SEED = 20_260
EXAMPLES = 5
STREAMS = ("/events/notifications", "/events/dashboard")
LAST = "/api/logout"
CONNECTIONS, BURST = 8, 50
FRAMES, WAYS = 10_000, 2
LEAK_KIB = 4096
# El grupo de conexiones con PostgreSQL crece hasta aquí cuando hace falta, y no encoge.
POOL = 8
SMALL = settings(
    max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def plaza(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder, here = tmp_path_factory.mktemp("plaza"), str(Path(__file__).parent)
    with town(folder, app="plaza_counted:app", PYTHONPATH=here, PLAZA_CONNECTIONS_PER_USER=100) as plaza:
        yield plaza


@pytest.fixture
async def person(plaza: Town) -> Person:
    return await Person(f"p{time.monotonic_ns() // 1000 % 10**9}", plaza.bases).sign_up()


@pytest.fixture
async def room(person: Person) -> int:
    return int((await person.request("POST", "/api/rooms", json={"name": "sala"})).raise_for_status().json()["id"])


@pytest.fixture
async def message(person: Person, room: int) -> int:
    async with person.socket() as socket:
        await send(socket, type="join", room=room)
        await send(socket, type="send", room=room, text=f"hola @{person.name}", client_id="1")
        return int((await until(socket, of_type("ack")))["id"])


async def test_no_request_that_fits_the_description_or_not_gives_a_5xx(
    plaza: Town, person: Person, room: int, message: int
) -> None:
    known = {"room_id": room, "message_id": message, "username": person.name}
    tried = await asyncio.to_thread(try_everything, plaza.base, person.token, known)
    assert {status // 100 for statuses in tried.values() for status in statuses} == {2, 4}
    accepted = [name for name, statuses in tried.items() if any(status < 300 for status in statuses)]
    assert len(accepted) > len(tried) // 2, f"casi todo se rechaza en la puerta: {accepted}"


def try_everything(base: str, token: str, known: dict[str, Any]) -> dict[str, set[int]]:
    """Los códigos que ha dado cada operación. La que cierra la sesión, al final."""
    schema = schemathesis.openapi.from_url(f"{base}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    operations.sort(key=lambda operation: operation.path == LAST)
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {token}"
        return {operation.label: statuses_of(operation, session, base, known) for operation in operations}


def statuses_of(
    operation: APIOperation[Any, Any, Any, Any], session: requests.Session, base: str, known: dict[str, Any]
) -> set[int]:
    statuses = set()

    def call(case: Case) -> None:
        request = case.as_transport_kwargs(base_url=base, headers=dict(session.headers))
        # Un flujo no acaba nunca: basta con cómo empieza.
        with session.request(**request, stream=True, timeout=10) as answer:
            assert answer.status_code < 500, f"{answer.status_code}: {case.as_curl_command()}"
            statuses.add(answer.status_code)
            if operation.path not in STREAMS:
                assert answer.content is not None

    existing = {name: value for name, value in known.items() if f"{{{name}}}" in operation.path}
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        for parameters in [{}, existing] if existing else [{}]:
            cases = operation.as_strategy(generation_mode=mode, path_parameters=parameters or None)
            # Una operación sin nada que deformar no tiene casos inválidos.
            with contextlib.suppress(Unsatisfiable):
                SMALL(given(cases)(call))()
    assert statuses, operation.label
    return statuses


UNSTORABLE = ["a\0b", "\ud800", "hola \udfff"]


@pytest.mark.parametrize("text", UNSTORABLE, ids=ascii)
async def test_what_postgresql_cannot_store_is_a_422_or_invalid(
    plaza: Town, person: Person, room: int, message: int, text: str
) -> None:
    bodies: dict[tuple[str, str], dict[str, Any]] = {
        ("POST", "/api/users"): {"username": text, "password": text * 4, "email": f"{text}@example.org"},
        ("POST", "/api/login"): {"username": text, "password": text},
        ("POST", "/api/refresh"): {"refresh_token": text},
        ("POST", "/api/rooms"): {"name": text, "private": False},
        ("POST", "/api/rooms/direct"): {"username": text},
        ("POST", f"/api/rooms/{room}/members"): {"username": text},
        ("POST", f"/api/rooms/{room}/mutes"): {"username": person.name, "minutes": 1, "reason": text},
        ("PATCH", f"/api/messages/{message}"): {"text": text},
        ("POST", "/api/reports"): {"message": message, "reason": text},
    }
    for (method, path), body in bodies.items():
        # json.dumps escribe el sustituto como \ud800: JSON correcto que ningún UTF-8 puede llevar.
        answer = await person.request(method, path, content=json.dumps(body), headers=JSON)
        expected = 401 if path == "/api/refresh" and "\0" in text else 422
        assert answer.status_code == expected, f"{method} {path}: {answer.status_code} {answer.text}"
        assert isinstance(answer.json()["detail"], str)
    async with person.socket() as socket:
        await send(socket, type="join", room=room)
        await send(socket, type="send", room=room, text=text, client_id="2")
        assert (await until(socket, of_type("error")))["code"] == "invalid"
        await send(socket, type="send", room=room, text="bien", client_id=text)
        assert (await until(socket, of_type("error")))["code"] == "invalid"


@pytest.mark.parametrize("query", ["q=%00", "q=a%00b", "q=%ED%A0%80", "q=x&room=9223372036854775808"])
async def test_a_query_that_postgresql_cannot_take_is_a_422_or_finds_nothing(person: Person, query: str) -> None:
    answer = await person.request("GET", f"/api/search?{query}")
    assert answer.status_code == 422 or answer.json()["messages"] == []


@dataclass(frozen=True)
class Weight:
    """Lo que ocupa el proceso, visto desde fuera; `memory`, en KiB."""

    files: int
    tasks: int
    connections: float
    memory: int


async def weigh(plaza: Town) -> Weight:
    assert plaza.webs[0].running
    process = psutil.Process(plaza.webs[0].running.pid)
    async with httpx.AsyncClient(base_url=plaza.base, timeout=10) as http:
        tasks = (await http.get("/contado")).json()["tasks"]
        metrics = (await http.get("/metrics")).text
    open_now = re.search(r'^plaza_connections{transport="websocket"} (\S+)$', metrics, re.MULTILINE)
    assert open_now
    return Weight(process.num_fds(), tasks, float(open_now[1]), process.memory_info().rss // 1024)


async def at_rest(plaza: Town, tasks: float = math.inf, within: float = 15.0) -> Weight:
    """Lo que ocupa cuando ya no queda nadie: las despedidas también tienen su plazo."""
    limit = time.monotonic() + within
    while (weight := await weigh(plaza)).connections or weight.tasks > tasks:
        assert time.monotonic() < limit, f"no se queda en calma: {weight}"
        await asyncio.sleep(0.1)
    return weight


async def test_ten_thousand_malformed_frames_leave_nothing_behind(plaza: Town, person: Person, room: int) -> None:
    before = await at_rest(plaza)
    await storm(person, room, FRAMES // 4, SEED)
    warm = await at_rest(plaza)
    await storm(person, room, FRAMES - FRAMES // 4, SEED + 1)
    await break_in_every_way(person)
    after = await at_rest(plaza, tasks=before.tasks + 2)
    assert after.files - warm.files <= POOL < len(BROKEN) * WAYS
    assert after.memory - warm.memory < LEAK_KIB, f"{after.memory - warm.memory} KiB más"


async def storm(person: Person, room: int, frames: int, seed: int) -> None:
    """Tramas deformes por varias conexiones a la vez, que deben seguir contestando."""
    share = frames // CONNECTIONS
    async with asyncio.TaskGroup() as group:
        for number in range(CONNECTIONS):
            group.create_task(annoy(person, room, share, random.Random(seed + number)))


async def annoy(person: Person, room: int, frames: int, rng: random.Random) -> None:
    async with person.socket() as socket:
        for number in range(frames):
            await socket.send(malformed(rng, room))
            if number % BURST == 0 or number == frames - 1:
                await answers(socket)


async def answers(socket: ClientConnection) -> None:
    await send(socket, type="ping")
    await until(socket, of_type("pong"), within=20)


async def break_in_every_way(person: Person) -> None:
    """Lo que ni siquiera es una trama cierra su conexión, y ninguna más."""
    rng = random.Random(SEED)
    async with person.socket() as witness:
        for code, make in BROKEN:
            async with asyncio.TaskGroup() as group:
                for _ in range(WAYS):
                    group.create_task(break_in(person, make(rng), code))
                    group.create_task(break_in(person, make(rng), None))
                    group.create_task(break_in(person, make(rng)[: rng.randrange(8)], None))
        await answers(witness)


async def break_in(person: Person, data: bytes, code: int | None) -> None:
    """Escribe `data` en una conexión recién abierta y espera que la cierren con `code`; con None, cuelga ya."""
    async with person.socket() as socket:
        socket.transport.write(data)
        if code is None:
            socket.transport.abort()
        async with asyncio.timeout(10):
            await socket.wait_closed()
        assert socket.close_code == (code or 1006), data[:20]
