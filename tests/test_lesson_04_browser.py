"""Lo que la lección 4 pide al estudiante que pulse, y lo que le promete que verá, en un navegador real."""

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from lesson_pages import opened
from lesson_servers import ROOT, serving
from playwright.sync_api import Browser, Page, ViewportSize, expect

DEADLINE_MS = 15_000
expect.set_options(timeout=DEADLINE_MS)
WIDE: ViewportSize = {"width": 1400, "height": 900}
COLUMNS = ("state", "received", "lost", "cuts", "connections", "up", "down", "delay")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(ROOT / "lessons" / "04_sse", "app") as address:
        yield address


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    yield from open_page(browser, address, WIDE)


def open_page(browser: Browser, address: str, size: ViewportSize) -> Iterator[Page]:
    with opened(browser, address, DEADLINE_MS, size) as page:
        expect(page.locator("#lane-sse .badge")).to_have_text("abierto")
        expect(page.locator("#lane-ws .badge")).to_have_text("abierto")
        yield page


def cells(page: Page, lane: str) -> dict[str, str]:
    texts = page.locator(f"#lane-{lane} td").all_inner_texts()
    return dict(zip(COLUMNS, texts, strict=True))


def count(page: Page, lane: str, column: str) -> int:
    return int(re.sub(r"\D", "", cells(page, lane)[column]))


def wait_for(page: Page, lane: str, column: str, least: int) -> None:
    """Espera a que esa casilla llegue a `least`; la tabla se redibuja dos veces por segundo."""
    index = COLUMNS.index(column)
    page.wait_for_function(
        "([id, i, least]) => parseInt(document.querySelectorAll(`#lane-${id} td`)[i].textContent) >= least",
        arg=[lane, index, least],
    )


def test_cutting_the_three_sse_comes_back_whole_and_the_websocket_does_not(page: Page) -> None:
    for lane in ("poll", "sse", "ws"):
        wait_for(page, lane, "received", 2)
    page.click("#cut-all")
    expect(page.locator("#lane-ws .badge")).to_have_text("cerrado 1006: no volverá solo")
    before = count(page, "sse", "received")
    wait_for(page, "sse", "received", before + 3)
    expect(page.locator("#lane-sse .badge")).to_have_text("abierto")
    assert (cells(page, "sse")["cuts"], cells(page, "sse")["lost"]) == ("1", "0")
    assert cells(page, "poll")["lost"] == "0"
    page.click("#reopen")
    wait_for(page, "ws", "lost", 1)
    expect(page.locator("#lane-ws .badge")).to_have_text("abierto")


def test_the_stream_is_read_as_it_crosses_and_each_price_costs_more_when_asked_for(page: Page) -> None:
    cable = page.locator("#cable")
    expect(cable).to_contain_text(
        re.compile(r"id: \w+-\d+\s*event: tick\s*data: \{\"n\":\d+.*línea en blanco", re.DOTALL)
    )
    wait_for(page, "poll", "received", 4)
    assert count(page, "poll", "up") + count(page, "poll", "down") > 2 * count(page, "sse", "down")
    expect(page.locator("#cost-chart svg").first).to_have_attribute("aria-label", re.compile("Sondeo: .* SSE: "))


def test_plain_text_gives_no_message_at_all(page: Page) -> None:
    page.click("#try-type")
    expect(page.locator("#duel-right .figure")).to_have_text(re.compile("[3-9]"))
    expect(page.locator("#duel-naive .figure")).to_have_text("0")


def test_three_cuts_lose_prices_only_without_id(page: Page) -> None:
    page.click("#try-id")
    expect(page.locator("#duel-state")).to_have_text("Tras 3 cortes.", timeout=40_000)
    assert int(page.inner_text("#duel-naive .figure")) >= 3
    assert page.inner_text("#duel-right .figure") == "0"


def test_a_503_is_for_ever_and_a_cut_is_not(page: Page) -> None:
    page.click("#try-refused")
    expect(page.locator("#duel-naive .badge")).to_have_text("cerrado: no volverá")
    expect(page.locator("#try-refused")).to_be_enabled()
    expect(page.locator("#duel-right .badge")).to_have_text("abierto")


def test_eight_streams_leave_the_page_mute_and_eight_websockets_do_not(page: Page) -> None:
    page.click("#crowd-sse")
    expect(page.locator("#crowd-verdict")).to_contain_text("6 de 8 EventSource abiertos")
    expect(page.locator("#crowd-verdict")).to_contain_text("sin respuesta en 3 s")
    page.click("#crowd-ws")
    expect(page.locator("#crowd-verdict")).to_contain_text("8 de 8 WebSocket abiertos")
    expect(page.locator("#crowd-verdict")).to_contain_text(re.compile(r"respondida en \d+ ms"))


@pytest.mark.timeout(90)
def test_only_sse_starlette_ends_and_cleans_up(page: Page) -> None:
    page.click("#try-shutdown")
    expect(page.locator("#shutdown-state")).to_have_text("Hecho.", timeout=60_000)
    expect(page.locator("#shutdown-native")).to_contain_text("kill -9")
    expect(page.locator("#shutdown-starlette td").last).to_have_text("sí")
    seconds = page.locator("#shutdown-starlette .badge").first.inner_text()
    assert float(seconds.removesuffix(" s").replace(",", ".")) < 3


def test_after_a_restart_the_stream_comes_back_and_says_what_it_lost(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, wires = free_ports()
    monkeypatch.setenv("WIRES_PORT", str(wires))
    with ExitStack() as server, contextmanager(open_page)(browser, start(server, port), WIDE) as page:
        wait_for(page, "sse", "received", 2)
        server.close()
        expect(page.locator("#server-gone")).to_be_visible()
        start(server, port)
        expect(page.locator("#server-gone")).to_be_hidden()
        expect(page.locator("#cable")).to_contain_text("event: lost")
        expect(page.locator("#lane-sse .badge")).to_have_text("abierto")
        before = count(page, "poll", "received")
        wait_for(page, "poll", "received", before + 1)


def start(server: ExitStack, port: int) -> str:
    return server.enter_context(serving(ROOT / "lessons" / "04_sse", "app", "--port", str(port)))


def free_ports() -> tuple[int, int]:
    """Uno para la aplicación y el primero de los seguidos que ocuparán los cables."""
    with socket.create_server(("127.0.0.1", 0)) as app:
        port = int(app.getsockname()[1])
    return port, port + 100 if port < 60_000 else port - 100


def test_everything_works_from_the_keyboard(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.locator(".skip-link")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#cable-panel")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#which")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#cable")).to_contain_text('{"last":')


def test_no_sideways_scrolling(page: Page) -> None:
    page.click("#cut-all")
    expect(page.locator("#lane-ws .badge")).to_have_text("cerrado 1006: no volverá solo")
    for width in (360, 768, 1920):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_from_another_machine_prices_arrive_and_it_says_what_is_missing(browser: Browser, address: str) -> None:
    """`taller.localhost` llega a este servidor, pero la página no puede saber que es la misma máquina."""
    with contextmanager(open_page)(browser, address.replace("127.0.0.1", "taller.localhost"), WIDE) as page:
        expect(page.locator("#no-wires")).to_be_visible()
        wait_for(page, "sse", "received", 2)
        expect(page.locator("#cut-all")).to_be_disabled()
