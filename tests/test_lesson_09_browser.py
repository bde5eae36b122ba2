"""Lo que la lección 9 pide al estudiante que pulse, y lo que le promete que verá, en un navegador real."""

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
    with serving(ROOT / "lessons" / "09_buenas_practicas", "app") as address:
        yield address


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    yield from open_page(browser, address, {"width": 1400, "height": 900})


def open_page(browser: Browser, address: str, size: ViewportSize, dark: bool = False) -> Iterator[Page]:
    """La mini-app, ya al día."""
    with opened(browser, address, DEADLINE_MS, size, dark=dark) as page:
        expect(page.locator("#link")).to_have_text("en directo")
        expect(tab(page, "right", "tableta")).to_be_visible()
        yield page


def restart(page: Page) -> None:
    page.click("#restart")
    expect(page.locator("#tabs-said")).to_have_text("Servidores y pestañas nuevos.")
    for kind in ("naive", "right"):
        expect(count(page, kind, "tableta")).to_have_text("0/0")


def tab(page: Page, kind: str, name: str) -> Locator:
    return page.locator(f"#{kind} [data-tab={name}]")


def count(page: Page, kind: str, name: str) -> Locator:
    return tab(page, kind, name).locator(".received")


def test_a_frozen_tab_stops_those_behind_it_only_in_the_notes(page: Page) -> None:
    page.click("#freeze")
    expect(tab(page, "naive", "congelada").locator(".state")).to_have_text("congelada")
    page.click("#burst")
    expect(tab(page, "right", "congelada").locator(".queue-text")).to_have_text(re.compile(r"en su cola: 1?\d de 20"))
    for name in ("portátil", "móvil", "tableta"):
        expect(count(page, "right", name)).to_have_text("60/60")
    expect(tab(page, "right", "congelada").locator(".queue-text")).to_contain_text("desalojada")
    for name in ("móvil", "tableta"):
        expect(count(page, "naive", name)).to_have_text(re.compile(r"^[1-4]\d/60$"))
    expect(page.locator("#naive .counts dd.bad")).to_have_text(re.compile(r"^[1-4]\d$"))
    page.click("#freeze")
    expect(page.locator("#freeze")).to_have_text("Congelar la segunda")
    expect(count(page, "naive", "tableta")).to_have_text("60/60")
    expect(tab(page, "right", "congelada").locator(".state")).to_have_text(re.compile(r"cerrada (1013|1006)"))


def test_a_late_close_deafens_only_the_naive_phone(page: Page) -> None:
    restart(page)
    page.click("#come-back")
    expect(page.locator("#tabs-said")).to_contain_text("El móvil ha vuelto")
    page.click("#burst")
    expect(count(page, "right", "móvil")).to_have_text("60/60")
    expect(count(page, "naive", "tableta")).to_have_text("60/60")
    expect(count(page, "naive", "móvil")).to_have_text("0/60")


def choose(page: Page, channel: str, manner: str) -> None:
    page.click(f"[data-channel={channel}] [data-manner={manner}]")


def receipt(page: Page, kind: str) -> Locator:
    return page.locator(f"#notify-{kind} .receipt")


def notify(page: Page, said: str) -> None:
    page.click("#notify")
    expect(page.locator("#notify-said")).to_have_text(said)


def test_the_notice_goes_on_to_the_next_channel(page: Page) -> None:
    notify(page, "Aviso 1 dado.")
    for kind in ("naive", "right"):
        expect(receipt(page, kind)).to_contain_text('"websocket"')
    choose(page, "websocket", "silent")
    notify(page, "Aviso 2 dado.")
    expect(receipt(page, "naive")).to_have_text("a los 3 s seguía esperando")
    expect(receipt(page, "right")).to_have_text(re.compile(r'^"sse" en 1,\d s$'))
    expect(page.locator("#notify-right .arrivals li").filter(has_text="2. Ha llegado")).to_have_count(2)
    choose(page, "websocket", "leave")
    choose(page, "sse", "nack")
    notify(page, "Aviso 3 dado.")
    expect(receipt(page, "naive")).to_contain_text("NameError")
    expect(receipt(page, "right")).to_have_text(re.compile(r'^"email_queued" en 0,\d s$'))
    expect(page.locator("#mails")).not_to_have_text("0")


def test_without_the_queue_there_is_no_false_receipt(page: Page) -> None:
    page.check("#mail-down")
    expect(page.locator("#notify-said")).to_have_text("La cola está caída.")
    choose(page, "websocket", "nack")
    choose(page, "sse", "nack")
    notify(page, "Aviso 1 dado.")
    expect(receipt(page, "right")).to_contain_text("503")
    page.uncheck("#mail-down")
    expect(page.locator("#notify-said")).to_have_text("La cola vuelve a estar.")


def test_sigterm_is_seen_by_each_of_those_inside(page: Page) -> None:
    restart(page)
    page.click("#terminate")
    expect(page.locator("#shutdown-said")).to_contain_text("Apagados")
    rows = page.locator("#farewell tr")
    expect(rows).to_have_count(6)
    right = rows.locator("td:nth-child(3)")
    # El pedido dura un segundo, y empezó antes de la señal: con la máquina ocupada, queda algo menos.
    ended_in_time = re.compile(r"SIGTERM, a los (0,[4-9]|[12],)")
    expect(right).to_have_text(["201: terminó", "1012", "acabado", "guardó lo suyo", "cerrados", ended_in_time])
    expect(rows.nth(4).locator("td").first).to_have_text("sin cerrar")
    page.click("#burst")
    expect(page.locator("#tabs-said")).to_contain_text("pulsa «Levantar»")
    page.click("#raise")
    expect(page.locator("#right .head")).to_have_text("servidor en marcha")


def test_everything_works_from_the_keyboard(page: Page) -> None:
    restart(page)
    page.reload()
    expect(page.locator("#link")).to_have_text("en directo")
    page.keyboard.press("Tab")
    expect(page.locator(".skip-link")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#tabs-panel")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#freeze")).to_be_focused()
    page.keyboard.press("Space")
    expect(page.locator("#freeze")).to_have_attribute("aria-pressed", "true")
    page.focus("[data-channel=sse] [data-manner=silent]")
    page.keyboard.press("Enter")
    expect(page.locator("[data-channel=sse] [data-manner=silent]")).to_have_attribute("aria-pressed", "true")


@pytest.mark.parametrize(("width", "dark"), [(360, False), (1920, True)])
def test_no_sideways_scrolling(browser: Browser, address: str, width: int, dark: bool) -> None:
    for page in open_page(browser, address, {"width": width, "height": 800}, dark):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 200) == dark
