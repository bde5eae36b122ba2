"""Lo que la lección 8 pide al estudiante que pulse, y lo que le promete que verá, en un navegador real."""

import re
from collections.abc import Iterator

import pytest
from lesson_pages import opened
from lesson_servers import ROOT, serving
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect

DEADLINE_MS = 15_000
expect.set_options(timeout=DEADLINE_MS)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(ROOT / "lessons" / "08_observabilidad", "app") as address:
        yield address


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    yield from open_page(browser, address, {"width": 1400, "height": 900})


def open_page(browser: Browser, address: str, size: ViewportSize, scheme: str = "light") -> Iterator[Page]:
    """La mini-app con su primera lectura hecha y sin nadie dentro; al acabar, así se queda."""
    with opened(browser, address, DEADLINE_MS, size, dark=scheme == "dark") as page:
        expect(page.locator("h1")).to_have_text("Métricas que dicen la verdad")
        expect(told(page, "conexiones abiertas", "correcta")).to_have_text("0")
        page.request.post(f"http://{address}/api/collect")
        yield page
        page.request.put(f"http://{address}/api/traffic", data={"people": 0})


COLUMNS = {"verdad": 1, "ingenua": 2, "correcta": 3}


def told(page: Page, row: str, column: str) -> Locator:
    header = page.get_by_role("rowheader", name=row, exact=True)
    return page.locator("#truth tbody tr").filter(has=header).locator("td").nth(COLUMNS[column] - 1)


def people(page: Page, count: int) -> None:
    page.fill("#people", str(count))
    expect(told(page, "conexiones abiertas", "verdad")).to_have_text(str(count))
    expect(told(page, "conexiones abiertas", "correcta")).to_have_text(str(count))


def test_only_the_naive_gauge_still_counts_thirty(page: Page) -> None:
    people(page, 30)
    expect(told(page, "conexiones abiertas", "ingenua")).to_have_text("30")
    page.click("[data-leave=rude]")
    expect(page.locator("#said")).to_have_text("Se han ido 30.")
    expect(told(page, "conexiones abiertas", "correcta")).to_have_text("0")
    expect(told(page, "conexiones abiertas", "ingenua")).to_have_class("bad")
    page.click("#collect")
    expect(told(page, "conexiones abiertas", "ingenua")).to_have_text("0")
    expect(told(page, "conexiones abiertas", "ingenua")).to_have_class("good")


def test_the_page_that_prometheus_reads_changes_with_the_traffic(page: Page) -> None:
    people(page, 10)
    page.fill("#rate", "50")
    right, naive = page.locator("#right-page"), page.locator("#naive-page")
    expect(
        right.locator("li.changed").filter(has_text='websocket_messages_total{direction="received"}')
    ).to_be_visible()
    expect(naive).to_contain_text("websocket_message_latency_seconds_count 0.0")
    expect(naive).not_to_contain_text("received")
    expect(page.locator("#rate-chart svg").first).to_have_attribute("aria-label", re.compile(r"enviados: último [1-9]"))
    expect(right).not_to_contain_text("# HELP")
    page.check("#all")
    expect(right).to_contain_text("# HELP websocket_connections Conexiones abiertas ahora.")


def test_the_mean_hides_what_the_percentile_shows(page: Page) -> None:
    people(page, 30)
    page.fill("#slow", "500")
    page.fill("#rate", "50")
    figure = page.locator("#latency > div").filter(has_text="percentil 95").locator("dd")
    expect(figure).to_have_text(re.compile(r"^[5-9]\d\d ms$"))
    mean = page.locator("#latency > div").filter(has_text="media").first.locator("dd")
    expect(mean).to_have_text(re.compile(r"^[1-9]\d\d? ms$"))
    page.fill("#rate", "0")
    page.fill("#slow", "0")


def test_each_ending_raises_its_own_row_and_a_goodbye_raises_none(page: Page) -> None:
    rows = {"invalid": "enviaron basura", "server": "falló el servidor"}
    before = {
        row: int(told(page, row, "correcta").inner_text()) for row in (*rows.values(), "se fueron sin despedirse")
    }
    people(page, 5)
    for kind, row in rows.items():
        page.click(f"[data-spoil={kind}]")
        for column in ("verdad", "correcta"):
            expect(told(page, row, column)).to_have_text(str(before[row] + 5))
        expect(told(page, row, "ingenua")).to_have_text("–")
    page.click("[data-leave=polite]")
    expect(told(page, "conexiones abiertas", "correcta")).to_have_text("0")
    dropped = told(page, "se fueron sin despedirse", "correcta")
    expect(dropped).to_have_text(str(before["se fueron sin despedirse"]))
    expect(dropped).to_have_class("good")


def test_one_who_stops_reading_fills_a_queue(page: Page) -> None:
    page.click("#freeze")
    expect(page.locator("#said")).to_contain_text("No se pudo: no queda ningún visitante")
    people(page, 5)
    page.click("#freeze")
    expect(told(page, "bytes en cola", "correcta")).to_have_text(re.compile(r"^\d\d\.\d{3}\.\d{3}$"))
    page.click("[data-leave=rude]")
    expect(told(page, "bytes en cola", "correcta")).to_have_text("0")


def test_three_processes_and_one_that_dies(page: Page) -> None:
    page.click("#fleet")
    said = page.locator("#fleet-said")
    expect(said).to_have_text(re.compile(r"^Hay 30\. Un proceso: .*; con los muertos: 30; los vivos: 30\.$"))
    page.click("#kill")
    expect(said).to_have_text(re.compile(r"^Hay (\d+)\. .*; con los muertos: 30; los vivos: \1\.$"))
    expect(page.locator("#fleet-chart svg").first).to_have_attribute(
        "aria-label", re.compile(r"1\.ª: la de un proceso")
    )


def test_an_id_can_be_followed(page: Page) -> None:
    page.click("#send")
    right = page.locator("#right-lines")
    expect(right.locator("li").filter(has_text="event_sent")).to_have_count(3)
    right.locator("button").first.click()
    expect(right.locator("li:visible")).to_have_count(4)
    expect(page.locator("#trail-said")).to_contain_text(": 4 líneas.")
    page.click("#follow-all")
    expect(right.locator("li:visible")).to_have_count(12)
    expect(page.locator("#naive-lines")).not_to_contain_text("request_id")


def test_with_redis_mute_only_the_naive_health_gets_you_restarted(page: Page) -> None:
    def health(kind: str, name: str) -> Locator:
        return page.locator(f"#{kind}-health > div").filter(has_text=name).locator("dd")

    page.click("[data-redis=mute]")
    expect(health("naive", "reiniciado")).to_have_text("1 vez")
    expect(health("right", "reiniciado")).to_have_text("0 veces")
    expect(health("right", "vivo")).to_have_text(re.compile("^200"))
    expect(health("right", "dispuesto")).to_have_text(re.compile("^503"))
    expect(health("right", "recibe trabajo")).to_have_text("✗ no")
    page.click("[data-redis=up]")
    expect(health("right", "recibe trabajo")).to_have_text("✓ sí")


def test_everything_works_from_the_keyboard(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.locator(".skip-link")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#experiments")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#fleet")).to_be_focused()
    page.focus("#people")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#people-shown")).to_have_text("5")
    expect(told(page, "conexiones abiertas", "correcta")).to_have_text("5")


def test_no_sideways_scrolling_in_a_dark_phone_nor_in_a_projector(browser: Browser, address: str) -> None:
    for page in open_page(browser, address, {"width": 360, "height": 800}, "dark"):
        page.click("#labels")
        expect(page.locator("#labels-said")).to_contain_text("Series: 1000 y 1.")
        for width in (360, 1920):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
