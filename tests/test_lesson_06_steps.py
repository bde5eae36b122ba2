"""Los pasos en vivo de la lección 6, contra uvicorn; y el cable que sujetan sus controles."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import httpx
import pytest
from lesson_servers import ROOT, serving
from redis.asyncio import Redis
from websockets.sync.client import ClientConnection, connect

from taller.checking import Link, Mismatch, link_to
from taller.services import Valkey, postgres, valkey

LESSON = ROOT / "lessons" / "06_integracion"
STEPS = LESSON / "pasos"


@contextmanager
def step(number: int) -> Iterator[httpx.Client]:
    # Sin conexiones que se reutilicen: uvicorn cierra la suya después de un 500.
    limits = httpx.Limits(max_keepalive_connections=0)
    with (
        serving(STEPS, f"paso_{number}") as address,
        httpx.Client(base_url=f"http://{address}", timeout=20, limits=limits) as http,
    ):
        yield http


@contextmanager
def listening(http: httpx.Client) -> Iterator[ClientConnection]:
    url = str(http.base_url).replace("http", "ws").rstrip("/")
    with connect(f"{url}/ws", open_timeout=5, close_timeout=1) as ws:
        yield ws


def new_order(http: httpx.Client) -> int:
    """Un pedido creado y leído: si hay caché, está en ella."""
    order_id: int = http.post("/orders").json()["id"]
    assert read(http, order_id) == 1
    return order_id


def read(http: httpx.Client, order_id: int, path: str = "orders") -> int:
    version: int = http.get(f"/{path}/{order_id}").json()["version"]
    return version


def change(http: httpx.Client, kind: str, order_id: int, accident: bool = False) -> int:
    return http.put(f"/{kind}/orders/{order_id}?status=shipped&accident={accident}").status_code


def told(ws: ClientConnection, order_id: int, within: float = 5) -> bool:
    """Si llega la noticia de la versión 2 de ese pedido."""
    try:
        while json.loads(ws.recv(timeout=within)) != {"id": order_id, "version": 2}:
            continue
    except TimeoutError:
        return False
    return True


def test_last_step_is_the_core_of_the_app() -> None:
    core = (LESSON / "shop.py").read_text(encoding="utf-8").partition("CHANNEL = STREAM")[2]
    assert core
    assert core in (STEPS / "paso_4.py").read_text(encoding="utf-8")


def test_step_1_reads_what_there_is() -> None:
    with step(1) as http:
        assert "Consola de la tienda" in http.get("/").text
        order_id = new_order(http)
        assert change(http, "plain", order_id) == 200
        assert read(http, order_id) == read(http, order_id, "stored") == 2
        assert http.get("/orders/999").status_code == 404


def test_step_2_tells_late_and_then_lies() -> None:
    with step(2) as http, listening(http) as ws:
        order_id = new_order(http)
        assert change(http, "naive", order_id) == 200
        assert not told(ws, order_id, within=0.2)
        assert told(ws, order_id)
        assert read(http, order_id) == 1
        assert read(http, order_id, "stored") == 2


def test_step_3_tells_at_once_and_the_truth_unless_something_fails_in_between() -> None:
    with step(3) as http, listening(http) as ws:
        order_id = new_order(http)
        assert change(http, "right", order_id) == 200
        assert told(ws, order_id)
        assert read(http, order_id) == 2
        order_id = new_order(http)
        assert change(http, "right", order_id, accident=True) == 500
        assert not told(ws, order_id, within=0.5)
        assert read(http, order_id, "stored") == 2


def test_step_4_tells_whatever_fails() -> None:
    with step(4) as http, listening(http) as ws:
        order_id = new_order(http)
        assert change(http, "outbox", order_id, accident=True) == 500
        assert told(ws, order_id)
        with http.stream("GET", "/events") as stream:
            assert change(http, "outbox", new_order(http)) == 200
            assert any(line.startswith("data:") for line in stream.iter_lines())


@pytest.fixture
async def server(anyio_backend: str) -> AsyncIterator[Valkey]:
    async with valkey() as server:
        yield server


@pytest.fixture
async def link(server: Valkey) -> AsyncIterator[Link]:
    async with link_to(server.url) as link:
        yield link


@pytest.fixture
async def client(link: Link) -> AsyncIterator[Redis]:
    async with Redis.from_url(link.url) as client:
        await client.ping()
        yield client


@pytest.mark.anyio
async def test_a_held_request_does_not_arrive_until_released(link: Link, client: Redis, server: Valkey) -> None:
    held = link.hold_request("set")
    writing = asyncio.create_task(client.set("a", "1"))
    await held.arrived()
    assert held.is_here
    async with server.client() as direct:
        assert await direct.get("a") is None
    # Las demás conexiones siguen.
    assert await client.get("a") is None
    held.release()
    assert await writing
    assert not held.is_here
    assert await client.get("a") == b"1"


@pytest.mark.anyio
async def test_a_held_reply_comes_late_from_a_done_request(link: Link, client: Redis, server: Valkey) -> None:
    for hold, text in ((link.hold_reply_to, "SET"), (link.hold_reply, "OK")):
        held = hold(text)
        writing = asyncio.create_task(client.set("a", "1"))
        await held.arrived()
        async with server.client() as direct:
            while await direct.get("a") != b"1":
                await asyncio.sleep(0.005)
            await direct.delete("a")
        assert not writing.done()
        held.release()
        assert await writing


@pytest.mark.anyio
async def test_what_is_held_when_the_app_goes_never_arrives(link: Link, server: Valkey) -> None:
    _, writer = await asyncio.open_unix_connection(link.url.removeprefix("unix://"))
    held = link.hold_request("SET")
    writer.write(b"SET a 1\r\n")
    await held.arrived()
    writer.close()
    await writer.wait_closed()
    async with server.client() as direct:
        while len(await direct.client_list(_type="normal")) > 1:
            await asyncio.sleep(0.005)
        assert await direct.get("a") is None


@pytest.mark.anyio
async def test_only_after_what_is_said(link: Link, client: Redis) -> None:
    held = link.hold_request("GET", after="pedido-7")
    assert await client.get("pedido-8") is None
    await client.set("pedido-7", "1")
    reading = asyncio.create_task(client.get("pedido-7"))
    await held.arrived_unless(reading)
    assert held.is_here
    held.release()
    assert await reading == b"1"


@pytest.mark.anyio
async def test_says_so_when_it_does_not_pass(link: Link, client: Redis) -> None:
    held = link.hold_request("XADD")
    with pytest.raises(Mismatch, match="XADD"):
        await held.arrived(within=0.05)
    await held.arrived_unless(asyncio.create_task(client.ping()))
    assert not held.is_here


@pytest.mark.anyio
async def test_a_dead_server_looks_dead_through_the_link(link: Link, client: Redis, server: Valkey) -> None:
    await server.kill()
    with pytest.raises(Exception, match=re.compile("onnection|reset|closed", re.IGNORECASE)):
        await client.ping()
    await server.start()
    assert await client.ping()


@pytest.mark.anyio
async def test_links_to_postgres() -> None:
    import asyncpg

    async with postgres() as server, link_to(server.url) as link:
        connection = await asyncpg.connect(link.url)
        try:
            held = link.hold_request("commit")
            async with asyncio.TaskGroup() as group:
                group.create_task(connection.execute("BEGIN; CREATE TABLE t (); COMMIT"))
                await held.arrived()
                held.release()
            assert await connection.fetchval("SELECT count(*) FROM t") == 0
        finally:
            await connection.close()
