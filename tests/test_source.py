"""La fuente que gobiernan los controles: una API de verdad que cuenta, retiene, falla y cambia cuando se le dice."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from taller.checking.source import MAX_BODY, Source, running_source
from taller.runner import Address
from taller.wire import HttpClient, Mismatch, Target

pytestmark = pytest.mark.anyio
TEA = {"id": "7", "name": "té", "price": 300, "version": 4}


@pytest.fixture
async def source() -> AsyncIterator[Source]:
    async with running_source() as source:
        source.records["/products/7"] = dict(TEA)
        yield source


@pytest.fixture
async def client(source: Source) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.AsyncHTTPTransport(uds=source.env.get("SOURCE_SOCKET"), verify=False)
    async with httpx.AsyncClient(base_url=source.env["SOURCE_URL"], transport=transport, timeout=5) as client:
        yield client


async def test_reads_what_it_has_and_counts(source: Source, client: httpx.AsyncClient) -> None:
    assert (await client.get("/products/7")).json() == TEA
    assert (await client.get("/products/8")).status_code == 404
    await client.get("/products/7")
    assert source.count("GET", "/products/7") == 2
    assert len(source.calls) == 3


async def test_a_change_is_a_new_version(source: Source, client: httpx.AsyncClient) -> None:
    changed = (await client.put("/products/7", json={"price": 500})).json()
    assert changed == {**TEA, "price": 500, "version": 5} == source.records["/products/7"]
    assert (await client.put("/products/8", json={"price": 1})).status_code == 404
    assert (await client.put("/products/7", json=[1])).status_code == 422


async def test_fails_when_told_and_changes_nothing(source: Source, client: httpx.AsyncClient) -> None:
    source.fail_next(2)
    statuses = [(await client.put("/products/7", json={"price": price})).status_code for price in (1, 2, 3)]
    assert statuses == [503, 503, 200]
    assert source.records["/products/7"]["version"] == 5


async def test_a_held_answer_is_what_there_was_on_arrival(source: Source, client: httpx.AsyncClient) -> None:
    held = source.hold("GET")
    reading = asyncio.create_task(client.get("/products/7"))
    await held.arrived()
    assert (await client.put("/products/7", json={"price": 500})).json()["price"] == 500
    assert (await client.get("/products/7")).json()["price"] == 500
    assert not reading.done()
    held.release()
    assert (await reading).json() == TEA


async def test_holds_are_taken_by_order_of_arrival(source: Source, client: httpx.AsyncClient) -> None:
    first, second = source.hold("PUT"), source.hold("PUT")
    early = asyncio.create_task(client.put("/products/7", json={"price": 1}))
    await first.arrived()
    late = asyncio.create_task(client.put("/products/7", json={"price": 2}))
    await second.arrived()
    second.release()
    assert (await late).json()["price"] == 2
    assert not early.done()
    first.release()
    assert (await early).json()["price"] == 1


async def test_says_so_when_nobody_asks(source: Source) -> None:
    with pytest.raises(Mismatch, match="un GET"):
        await source.hold("GET").arrived(within=0.05)


async def test_reset_lets_go_and_forgets(source: Source, client: httpx.AsyncClient) -> None:
    held = source.hold("GET")
    reading = asyncio.create_task(client.get("/products/7"))
    await held.arrived()
    source.fail_next(3)
    source.reset()
    assert (await reading).json() == TEA
    assert source.calls == []
    assert (await client.get("/products/7")).status_code == 404


@pytest.mark.parametrize("body", [b"{", b"x" * (MAX_BODY + 1)])
async def test_nonsense_is_cut_and_harms_nobody(source: Source, client: httpx.AsyncClient, body: bytes) -> None:
    with pytest.raises(httpx.HTTPError):
        await client.put("/products/7", content=body)
    assert (await client.get("/products/7")).json() == TEA


@pytest.fixture
def many(source: Source) -> HttpClient:
    """El cliente de los controles, apuntando a la fuente como si fuera una app."""
    port = httpx.URL(source.env["SOURCE_URL"]).port or 0
    return HttpClient(Target(Address(path=source.env.get("SOURCE_SOCKET", ""), port=port), "fuente"))


async def test_a_burst_is_many_requests_at_once(source: Source, many: HttpClient) -> None:
    held = [source.hold() for _ in range(30)]
    burst = asyncio.create_task(many.burst("GET", "/products/7", 30, within=5.0))
    for each in held:
        await each.arrived(within=5.0)
    for each in held:
        each.release()
    assert [response.json() for response in await burst] == [TEA] * 30


async def test_a_burst_has_a_deadline(source: Source, many: HttpClient) -> None:
    held = source.hold()
    with pytest.raises(Mismatch, match="5 respuestas a GET /products/7"):
        await many.burst("GET", "/products/7", 5, within=0.2)
    held.release()
