"""Lo que la lección 1 pide al estudiante que pulse, y lo que le promete que verá, en un navegador real."""

import re
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from lesson_pages import opened
from lesson_servers import ROOT, serving
from playwright.sync_api import Browser, Page, ViewportSize, expect

DEADLINE_MS = 10_000
PANES = ("poll", "long", "sse", "ws")
PUSHED = ("long", "sse", "ws")
expect.set_options(timeout=DEADLINE_MS)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(ROOT / "lessons" / "01_introduccion", "app") as address:
        yield address


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    yield from open_page(browser, address, {"width": 1400, "height": 900})


def open_page(browser: Browser, address: str, size: ViewportSize) -> Iterator[Page]:
    """La mini-app con el mercado parado y los cuatro paneles al día."""
    httpx.put(f"http://{address.replace('taller.localhost', '127.0.0.1')}/api/pace", json={"seconds": 0})
    with opened(browser, address, DEADLINE_MS, size) as page:
        expect(page.locator("h1")).to_have_text("Un precio, cuatro maneras de verlo")
        for pane in PANES:
            expect(page.locator(f"#pane-{pane} .state")).to_have_text("al día")
        yield page


def count(page: Page, pane: str, name: str) -> int:
    """Una cifra del panel: «1.234», «17,0 kB», «4 ms» y «1,2 s» son 1234, 17000, 4 y 1200."""
    text = page.inner_text(f"#pane-{pane} [data-count={name}]")
    unit = {"s": 1000, "kB": 1000, "MB": 1_000_000}.get(text.split()[-1], 1)
    return int(float(text.split()[0].replace(".", "").replace(",", ".")) * unit)


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_MS / 1000
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def reset(page: Page) -> None:
    page.click("#reset")
    expect(page.locator("#reset")).to_be_enabled()


def moves(page: Page, times: int) -> None:
    """Cambia el precio las veces que se digan, esperando cada vez a que lo vea el panel de WebSocket."""
    for _ in range(times):
        before = page.inner_text("#pane-ws .number")
        page.click("#move")
        expect(page.locator("#pane-ws .number")).not_to_have_text(before)


def ask_every_five_seconds(page: Page) -> None:
    """Al cambiar de ritmo pregunta enseguida: cuando está al día, quedan casi cinco segundos hasta la próxima."""
    page.select_option("#interval", "5000")
    expect(page.locator("#pane-poll .state")).to_have_text("al día")
    expect(page.locator("#reset")).to_be_enabled()


def test_one_change_reaches_three_at_once_and_the_poll_later(page: Page) -> None:
    ask_every_five_seconds(page)
    moves(page, 1)
    for pane in PUSHED:
        expect(page.locator(f"#pane-{pane} .state")).to_have_text("al día")
    expect(page.locator("#pane-poll .state")).to_have_text(re.compile("atrasado"))
    expect(page.locator("#pane-poll")).to_have_class(re.compile("stale"))
    expect(page.locator("#pane-poll .state")).to_have_text("al día")
    expect(page.locator("#pane-poll [data-count=last]")).not_to_have_text("–")
    assert count(page, "poll", "last") > max(count(page, pane, "last") for pane in PUSHED)


def test_with_the_market_stopped_only_the_poll_spends(page: Page) -> None:
    reset(page)
    until(lambda: count(page, "poll", "requests") >= 3, "el sondeo no pregunta")
    assert count(page, "poll", "up") > 1000
    assert count(page, "sse", "requests") == count(page, "ws", "requests") == 0
    # Ni un byte de precios: lo único que puede cruzar es un latido, de 10 B al subir y 6 al bajar.
    assert count(page, "ws", "up") <= 10
    expect(page.locator("#cost-poll")).to_have_text("Aún no ha visto ningún cambio.")


def test_each_change_costs_what_the_lesson_says(page: Page) -> None:
    reset(page)
    moves(page, 8)
    for pane in PUSHED:
        until(lambda pane=pane: count(page, pane, "seen") == 8, f"{pane} no ve los ocho cambios")  # type: ignore[misc]
    until(lambda: count(page, "long", "requests") >= 8, "el sondeo largo no vuelve a preguntar")
    until(lambda: 8 * 50 <= count(page, "ws", "down") <= 8 * 60 + 6, "el WebSocket gasta otra cosa")
    until(lambda: 8 * 60 <= count(page, "sse", "down") <= 8 * 90 + 40, "SSE gasta otra cosa")
    assert count(page, "ws", "up") <= 10
    assert count(page, "sse", "up") == 0
    assert count(page, "long", "up") > 8 * 300
    expect(page.locator("#bytes-chart svg").first).to_have_attribute("aria-label", re.compile(r"WS: .* B"))
    expect(page.locator("#delay-chart svg").first).to_have_attribute("aria-label", re.compile(r"SSE: último \d"))
    expect(page.locator("#cost-push")).to_contain_text("por cambio visto")


def test_changes_between_two_questions_are_never_seen(page: Page) -> None:
    ask_every_five_seconds(page)
    moves(page, 4)
    until(lambda: count(page, "poll", "seen") == 1, "el sondeo no llega a preguntar")
    assert count(page, "poll", "skipped") == 3
    assert count(page, "ws", "skipped") == 0


def test_memory_turns_the_body_into_a_304(page: Page) -> None:
    page.select_option("#interval", "200")
    page.select_option("#depth", "500")
    page.click("#pane-poll summary")
    expect(page.locator("#pane-poll pre.down")).to_contain_text('"past"')
    reset(page)
    until(lambda: count(page, "poll", "requests") >= 2, "el sondeo no pregunta")
    heavy = count(page, "poll", "down") / count(page, "poll", "requests")
    page.check("#memory")
    expect(page.locator("#pane-poll pre.down")).to_contain_text("304 Not Modified")
    expect(page.locator("#pane-poll pre.up")).to_contain_text("If-None-Match")
    reset(page)
    until(lambda: count(page, "poll", "requests") >= 2, "el sondeo no pregunta")
    assert count(page, "poll", "down") / count(page, "poll", "requests") < heavy / 5
    moves(page, 1)
    expect(page.locator("#pane-poll .state")).to_have_text("al día")


def test_the_websocket_carries_the_order_up_too(page: Page) -> None:
    reset(page)
    page.click("#move-here")
    until(lambda: all(count(page, pane, "seen") == 1 for pane in PANES), "el cambio no llega a los cuatro")
    until(lambda: count(page, "ws", "up") in (10, 20), "la orden pesa 6 B de cabecera y 4 de texto")


def test_a_pane_can_stop_and_go_on(page: Page) -> None:
    page.click("#pane-sse .toggle")
    expect(page.locator("#pane-sse .state")).to_have_text("parado")
    moves(page, 1)
    page.click("#pane-sse .toggle")
    expect(page.locator("#pane-sse .state")).to_have_text("al día")
    assert page.inner_text("#pane-sse .number") == page.inner_text("#pane-ws .number")


def test_ten_changes_a_second_make_the_long_poll_the_dearest(page: Page) -> None:
    page.select_option("#pace", "0.1")
    reset(page)
    until(lambda: count(page, "ws", "seen") >= 15, "el mercado no se mueve")
    assert count(page, "long", "requests") > count(page, "poll", "requests") * 2
    page.select_option("#pace", "0")
    expect(page.locator("#crowd-rows tr")).to_have_count(4)


def test_everything_works_from_the_keyboard(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.locator(".skip-link")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#panes")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#pane-poll summary")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#pane-poll pre.up")).to_contain_text("GET /api/price")


@pytest.mark.parametrize("width", [360, 768, 1920])
def test_no_sideways_scrolling(browser: Browser, address: str, width: int) -> None:
    for page in open_page(browser, address, {"width": width, "height": 800}):
        page.click("#pane-ws summary")
        moves(page, 1)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_from_another_machine_prices_arrive_and_it_says_what_is_missing(browser: Browser, address: str) -> None:
    """`taller.localhost` llega a este servidor, pero la página no puede saber que es la misma máquina."""
    for page in open_page(browser, address.replace("127.0.0.1", "taller.localhost"), {"width": 1200, "height": 800}):
        expect(page.locator("#no-meter")).to_be_visible()
        moves(page, 1)
