"""Los tres servicios juntos, como los usa `taller servicios`, y la página del buzón en un navegador."""

import asyncio
import contextlib
import signal
import smtplib
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest
from chromium import FLAGS, find_chromium
from httpx_sse import aconnect_sse
from playwright.async_api import Page, async_playwright, expect
from redis.asyncio import Redis
from services_traces import ROOT, abandoned_memory, let_nobody_through, nothing_abandoned_since, until

from taller.services import Services, all_services, everything
from taller.services.everything import INBOX_PORT, POSTGRES_PORT, SMTP_PORT, VALKEY_PORT

pytestmark = pytest.mark.anyio
SERVE = """
import asyncio
from taller.services import serve_until_stopped
asyncio.run(serve_until_stopped(lambda line: print(line, flush=True)))
"""


@pytest.fixture(autouse=True, scope="module")
def own_servers() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("REDIS_URL", "DATABASE_URL", "SMTP_URL"):
            patch.delenv(variable, raising=False)
        yield


@pytest.fixture(scope="module")
async def services(own_servers: None) -> AsyncIterator[Services]:
    async with all_services() as running:
        yield running
        await running.mailbox.clear()


@pytest.fixture
async def page(services: Services) -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        page = await browser.new_page(viewport={"width": 360, "height": 640})
        await page.goto(str(services.inbox_url))
        yield page
        await browser.close()


async def send(services: Services, subject: str, body: str = "Hola") -> None:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, "taller@ejemplo.es", "ana@ejemplo.es"
    message.set_content(body)
    where = urlsplit(services.mailbox.url)

    def deliver() -> None:
        with smtplib.SMTP(where.hostname or "", where.port or 0, timeout=5) as client:
            client.send_message(message)

    await asyncio.to_thread(deliver)


async def test_all_listen_on_loopback_ports(services: Services) -> None:
    async with Redis.from_url(services.valkey.url) as redis:
        assert await redis.ping()
    connection = await asyncpg.connect(services.postgres.url)
    assert await connection.fetchval("SHOW listen_addresses") == "127.0.0.1"
    await connection.close()
    urls = (services.valkey.url, services.postgres.url, services.mailbox.url, services.inbox_url)
    assert {urlsplit(str(url)).hostname for url in urls} == {"127.0.0.1"}


async def test_taken_ports_are_avoided(services: Services) -> None:
    with contextlib.ExitStack() as stack:
        for port in (VALKEY_PORT, POSTGRES_PORT, SMTP_PORT, INBOX_PORT):
            with contextlib.suppress(OSError):  # si ya estaba ocupado, mejor todavía
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
        async with all_services() as others:
            assert await others.valkey.answers()
            assert await others.postgres.answers()
            assert others.inbox_url != services.inbox_url
            ports = {urlsplit(u).port for u in (others.valkey.url, others.postgres.url, others.mailbox.url)}
            assert not ports & {VALKEY_PORT, POSTGRES_PORT, SMTP_PORT}


async def test_data_is_kept_in_a_directory(tmp_path: Path) -> None:
    let_nobody_through(tmp_path)
    async with all_services(tmp_path) as services, services.valkey.client() as redis:
        await redis.set("k", "v")
    async with all_services(tmp_path) as services, services.valkey.client(decode_responses=True) as redis:
        assert await redis.get("k") == "v"


async def test_a_port_taken_meanwhile_is_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entre mirar si un puerto está libre y usarlo pasa un rato, y otro programa puede cogerlo."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answers = iter([port])
        real = everything.free_port
        monkeypatch.setattr(everything, "free_port", lambda wanted=0: next(answers, None) or real(wanted))
        async with all_services() as services, services.valkey.client() as redis:
            assert await redis.ping()
            assert urlsplit(services.valkey.url).port != port


async def test_the_inbox_streams_the_list_as_it_changes(services: Services) -> None:
    await services.mailbox.clear()
    client = httpx.AsyncClient(base_url=str(services.inbox_url), timeout=5)
    async with client, aconnect_sse(client, "GET", "/api/stream") as source:
        events = source.aiter_sse()
        assert (await anext(events)).json() == []
        await send(services, "uno", "cuerpo ñ")
        (mail,) = (await anext(events)).json()
        assert (mail["subject"], mail["body"], mail["recipients"]) == (
            "uno",
            "cuerpo ñ",
            ["ana@ejemplo.es"],
        )
        assert (await client.get("/api/messages")).json() == [mail]
        assert (await client.delete("/api/messages")).status_code == 204
        assert (await anext(events)).json() == []
        await events.aclose()


async def test_the_page_shows_mail_live_and_runs_none_of_it(services: Services, page: Page) -> None:
    await services.mailbox.clear()
    await expect(page.get_by_text("Aún no ha llegado ningún correo")).to_be_visible()
    evil = "<img src=x onerror=\"document.title='mal'\">"
    await send(services, evil, evil)
    row = page.locator("#messages summary")
    await expect(row).to_contain_text(evil)
    await expect(page.get_by_role("status")).to_have_text("1 correo")
    await row.focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#messages pre")).to_be_visible()
    await send(services, "otro")
    await expect(row).to_have_count(2)
    await expect(row.first).to_contain_text("otro")
    await expect(page.locator("#messages pre").last).to_be_visible()
    assert await page.title() == "Buzón del taller"
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await page.get_by_role("button", name="Vaciar").click()
    await expect(row).to_have_count(0)
    assert services.mailbox.messages == []


async def test_leaving_with_the_page_open_does_not_hang() -> None:
    async with httpx.AsyncClient(timeout=5) as client:
        async with asyncio.timeout(15):
            async with contextlib.AsyncExitStack() as stack:
                services = await stack.enter_async_context(all_services())
                source = await client.send(client.build_request("GET", f"{services.inbox_url}/api/stream"), stream=True)
                assert source.status_code == 200
        await source.aclose()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_command_reports_serves_and_stops_on_a_signal(number: signal.Signals) -> None:
    before = abandoned_memory()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVE),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    async with asyncio.timeout(20):
        lines = [(await process.stdout.readline()).decode().strip() for _ in range(5)]
    assert [line.partition("=")[0] for line in lines[:3]] == [
        "export REDIS_URL",
        "export DATABASE_URL",
        "export SMTP_URL",
    ]
    async with Redis.from_url(lines[0].partition("=")[2]) as redis:
        scratch = Path((await redis.config_get("dir"))["dir"])
    async with httpx.AsyncClient() as client:
        assert "Buzón del taller" in (await client.get(lines[3].removeprefix("Buzón: "))).text
    process.send_signal(number)
    _, errors = await asyncio.wait_for(process.communicate(), 15)
    assert (process.returncode, errors.decode()) == (0, "")
    assert scratch.name.startswith("taller-servicio-")
    await until(lambda: not scratch.exists())
    await nothing_abandoned_since(before)
