"""El despliegue de docker-compose.yml, en marcha: dos réplicas tras un nginx de verdad, obrero, Valkey y PostgreSQL."""

import asyncio
import itertools
import json
import os
import re
import shutil
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from httpx_sse import EventSource, aconnect_sse
from plaza_client import Person, Reader, Writer, of_type, send, until
from prometheus_client.parser import text_string_to_metric_families
from topology import REPLICAS, Topology, echo_behind_nginx, scrape, secret, topology

from taller.catalog import ROOT
from taller.services import Postgres, postgres, smtp
from taller.services.places import free_port

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]
NAMED = re.compile(r"\bplaza_\w+")
# Lo que Prometheus pone de su parte a una familia.
SUFFIXES = re.compile(r"_(bucket|count|sum)$")


@pytest.fixture(autouse=True, scope="module")
def nginx() -> None:
    if sys.platform != "linux" or not shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin"):
        reason = "hace falta Linux y nginx: sudo apt-get install nginx-light"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="module")
async def database(nginx: None) -> AsyncIterator[Postgres]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DATABASE_URL", raising=False)
        async with postgres(port=free_port()) as server:
            yield server


@pytest.fixture(scope="module")
async def place(database: Postgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Topology]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SMTP_URL", raising=False)
        async with smtp() as mailbox:
            opening = topology(tmp_path_factory.mktemp("despliegue"), database.url, mailbox.url)
            here = await asyncio.to_thread(opening.__enter__)
            try:
                yield here
            finally:
                await asyncio.to_thread(opening.__exit__, None, None, None)


@pytest.fixture
def names() -> Iterator[str]:
    return (f"t{time.monotonic_ns() // 1000 % 10**9}_{number}" for number in range(100))


@pytest.fixture
async def people(place: Topology, names: Iterator[str]) -> list[Person]:
    """Tres personas, que solo conocen la dirección de nginx."""
    return [await Person(next(names), [place.url]).sign_up() for _ in range(3)]


@pytest.fixture
async def room(people: list[Person]) -> int:
    created = await people[0].request("POST", "/api/rooms", json={"name": "sala"})
    return int(created.raise_for_status().json()["id"])


def held_by(place: Topology, address: str) -> int:
    """Los WebSockets que dice tener una réplica."""
    text = scrape(f"{address}:{place.places.web}")
    samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
    opened = [each for each in samples if each.name == "plaza_connections" and each.labels["transport"] == "websocket"]
    return int(sum(each.value for each in opened))


async def test_what_one_replica_hears_the_other_tells(place: Topology, people: list[Person], room: int) -> None:
    async with AsyncExitStack() as stack:
        sockets = []
        async with asyncio.timeout(30):
            while len(sockets) < 4 or not all(held_by(place, address) for address in REPLICAS):
                person = people[len(sockets) % len(people)]
                sockets.append(await stack.enter_async_context(person.socket()))
        for socket in sockets:
            await send(socket, type="join", room=room)
            await until(socket, of_type("joined"))
        await send(sockets[0], type="send", room=room, text="¿me oís?", client_id="1")
        heard = [await until(socket, of_type("message")) for socket in sockets]
        assert {message["text"] for message in heard} == {"¿me oís?"}


@asynccontextmanager
async def stream(place: Topology, person: Person, path: str) -> AsyncIterator[EventSource]:
    headers = {"Authorization": f"Bearer {person.token}", "Accept-Encoding": "gzip"}
    async with (
        httpx.AsyncClient(base_url=place.url, headers=headers, timeout=20) as http,
        aconnect_sse(http, "GET", path) as source,
    ):
        yield source


async def test_events_come_one_by_one_when_they_happen(place: Topology, people: list[Person]) -> None:
    arrived = []
    async with asyncio.timeout(20), stream(place, people[0], "/events/dashboard") as source:
        async for event in source.aiter_sse():
            if event.event == "metrics":
                arrived.append(time.monotonic())
                if len(arrived) == 4:
                    break
    gaps = [later - earlier for earlier, later in itertools.pairwise(arrived)]
    assert max(gaps) < 3, gaps
    # Retenidos y entregados de golpe, llegarían todos a la vez.
    assert min(gaps) > 0.3, gaps


async def test_a_notification_goes_through_the_worker_and_the_stream(
    place: Topology, people: list[Person], room: int
) -> None:
    ana, bruno, _ = people
    (await ana.request("POST", f"/api/rooms/{room}/members", json={"username": bruno.name})).raise_for_status()
    async with asyncio.timeout(20), stream(place, bruno, "/events/notifications") as source, ana.socket() as socket:
        await send(socket, type="join", room=room)
        await send(socket, type="send", room=room, text=f"@{bruno.name}, mira", client_id="1")
        async for event in source.aiter_sse():
            if event.event == "notification":
                assert json.loads(event.data)["kind"] == "mention"
                return


@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_a_replica_goes_and_comes_back_and_nothing_is_lost(
    place: Topology, people: list[Person], room: int, how: str
) -> None:
    writers = [Writer(person, room, 25, 0.1) for person in people[:2]]
    reader = Reader(people[2], room)
    reading = asyncio.create_task(reader.read())
    try:
        async with asyncio.timeout(20):
            await reader.ready.wait()
        writing = [asyncio.create_task(writer.write()) for writer in writers]
        async with asyncio.timeout(30):
            while sum(len(writer.acks) for writer in writers) < 15:
                await asyncio.sleep(0.02)
        victim = place.webs[0]
        await asyncio.to_thread(getattr(victim, how))
        await asyncio.to_thread(victim.start)
        async with asyncio.timeout(60):
            await asyncio.gather(*writing)
        said = sorted((seq, client_id) for writer in writers for client_id, seq in writer.acks.items())
        async with asyncio.timeout(20):
            while len(reader.seen) < len(said):
                await asyncio.sleep(0.02)
    finally:
        reading.cancel()
        await asyncio.wait([reading], timeout=5)
    assert len(said) == 50
    assert reader.seen == said
    assert reader.lost == 0
    await asyncio.to_thread(victim.wait_healthy)


async def test_nginx_says_who_the_client_is_and_nobody_can_lie(nginx: None, tmp_path: Path) -> None:
    lies = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "X-Request-Id": "mentira"}
    with echo_behind_nginx(tmp_path / "eco") as url:
        async with httpx.AsyncClient(base_url=url, timeout=10) as http:
            heard = {name.lower(): value for name, value in (await http.get("/x", headers=lies)).json().items()}
    assert heard["x-forwarded-for"] == "127.0.0.1"
    assert heard["x-forwarded-proto"] == "http"
    assert re.fullmatch(r"[0-9a-f]{32}", heard["x-request-id"])
    assert heard["host"] == url.removeprefix("http://")


async def test_what_is_said_outside(place: Topology) -> None:
    async with httpx.AsyncClient(base_url=place.url, timeout=10) as http:
        page = await http.get("/")
        assert page.status_code == 200
        assert page.headers["x-frame-options"] == "DENY"
        assert re.fullmatch(r"[0-9a-f]{32}", page.headers["x-request-id"])
        assert (await http.get("/metrics")).status_code == 404
        # Más de 256 KiB no llega ni a Plaza.
        assert (await http.post("/api/login", content=b"x" * 300_000)).status_code == 413


async def test_the_access_log_keeps_no_tickets(place: Topology, people: list[Person]) -> None:
    async with people[0].socket():
        pass
    log = place.containers["nginx"]
    async with asyncio.timeout(10):
        while "GET /ws" not in log.log.read_text():
            await asyncio.sleep(0.05)
    assert "ticket=" not in log.log.read_text()
    assert secret("PLAZA_SECRET") not in log.log.read_text()


async def test_every_metric_in_dashboard_and_alerts_exists(place: Topology) -> None:
    """Las de las webs y las del obrero, que las enseña en su puerto."""
    addresses = [f"{address}:{place.places.web}" for address in REPLICAS]
    texts = [scrape(address) for address in [*addresses, f"127.0.0.1:{place.places.worker_metrics}"]]
    existing = {family.name for text in texts for family in text_string_to_metric_families(text)}
    deploy = ROOT / "deploy"
    for path in (deploy / "alerts.yml", deploy / "grafana" / "dashboards" / "plaza.json"):
        named = set(NAMED.findall(path.read_text(encoding="utf-8")))
        assert named, path
        unknown = {name for name in named if not {SUFFIXES.sub("", name), name.removesuffix("_total")} & existing}
        assert unknown == set(), path.name


async def test_the_worker_counts_its_tasks_where_prometheus_asks(place: Topology) -> None:
    """Lo ha hecho el obrero, y en las webs no está."""
    families: Any = text_string_to_metric_families(scrape(f"127.0.0.1:{place.places.worker_metrics}"))
    done = [sample.value for family in families for sample in family.samples if sample.name == "plaza_tasks_total"]
    assert sum(done) >= 1


@contextmanager
def gone(place: Topology, name: str) -> Iterator[None]:
    """Sin ese servicio mientras dura el bloque."""
    place.containers[name].kill()
    try:
        yield
    finally:
        place.containers[name].start()
        place.containers[name].wait_healthy()


@pytest.mark.parametrize("name", [f"web-{REPLICAS[0]}", "worker", "nginx"])
def test_health_checks_tell_the_truth(place: Topology, name: str) -> None:
    assert place.containers[name].healthy()
    with gone(place, name):
        limit = time.monotonic() + 20
        while place.containers[name].healthy():
            assert time.monotonic() < limit, f"{name} no está, y dice que sí"
            time.sleep(0.2)


async def test_a_web_without_its_database_is_not_ready_but_alive(place: Topology, database: Postgres) -> None:
    port = str(urlsplit(database.url).port)
    itself = place.create("postgres", "postgres", [("5432", port)])
    assert await asyncio.to_thread(itself.healthy)
    await database.stop()
    try:
        assert not await asyncio.to_thread(itself.healthy)
        assert not await asyncio.to_thread(place.webs[0].healthy)
        live = f"{place.direct(REPLICAS[0])}/health/live"
        async with httpx.AsyncClient(timeout=10) as http:
            assert (await http.get(live)).status_code == 200
            assert (await http.get(f"{place.url}/health/ready")).status_code == 503
    finally:
        await database.start()
    await asyncio.to_thread(place.webs[0].wait_healthy)
