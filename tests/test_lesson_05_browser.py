"""Lo que la lección 5 pide al estudiante que pulse, y lo que le promete que verá, en un navegador real."""

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
    with serving(ROOT / "lessons" / "05_cache_con_redis", "app") as address:
        yield address


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    yield from open_page(browser, address, {"width": 1400, "height": 900})


def open_page(browser: Browser, address: str, size: ViewportSize) -> Iterator[Page]:
    """La mini-app ya al día; al acabar deja la estación como estaba, sin viajeros y con Redis en marcha."""
    with opened(browser, address, DEADLINE_MS, size) as page:
        expect(page.locator("h1")).to_have_text("Una caché bajo presión")
        expect(figure(page, "right", "aciertos")).to_be_visible()
        for kind in ("naive", "right"):
            expect(page.locator(f"#{kind}-state")).to_have_text("conectado")
        yield page
        travellers(page, 0)
        if page.get_attribute("[data-redis=up]", "aria-pressed") == "false":
            page.click("[data-redis=up]")
            expect(page.locator("[data-redis=up]")).to_have_attribute("aria-pressed", "true")


def figure(page: Page, kind: str, name: str) -> Locator:
    return page.locator(f"#{kind} > div").filter(has_text=name).locator("dd")


def travellers(page: Page, rate: int) -> None:
    page.fill("#rate", str(rate))
    expect(page.locator("#rate-shown")).to_have_text(str(rate))


def redis(page: Page, state: str) -> None:
    page.click(f"[data-redis={state}]")
    expect(page.locator(f"[data-redis={state}]")).to_have_attribute("aria-pressed", "true")


def counted(page: Page, kind: str) -> int:
    return int(page.inner_text(f"#{kind}-count"))


MOST = re.compile(r"^([6-9]\d|100) %$")
SOME = re.compile(r"^[1-9]\d*/s$")


def test_with_redis_down_only_the_naive_cache_fails_and_both_come_back(page: Page) -> None:
    travellers(page, 80)
    for kind in ("naive", "right"):
        expect(figure(page, kind, "aciertos")).to_have_text(MOST)
    redis(page, "down")
    expect(figure(page, "naive", "errores")).to_have_text(SOME)
    expect(figure(page, "right", "errores")).to_have_text("0/s")
    expect(figure(page, "right", "a la central")).not_to_have_text("0,0/s")
    redis(page, "up")
    for kind in ("naive", "right"):
        expect(figure(page, kind, "errores")).to_have_text("0/s")
        expect(figure(page, kind, "aciertos")).not_to_have_text("0 %")


def test_with_redis_mute_the_right_cache_still_answers(page: Page) -> None:
    travellers(page, 20)
    redis(page, "mute")
    expect(figure(page, "naive", "errores")).to_have_text(SOME)
    expect(figure(page, "right", "errores")).to_have_text("0/s")
    expect(figure(page, "right", "espera mediana")).to_have_text(re.compile(r"^\d{3}"))


def test_stampede_is_two_hundred_calls_or_one(page: Page) -> None:
    page.click("#stampede")
    expect(page.locator("#stampede-said")).to_contain_text(re.compile(r" s y .* s"))
    expect(page.locator("#stampede-chart svg").first).to_have_attribute(
        "aria-label", re.compile(r"ingenua: preguntas (1\d\d|200); correcta: preguntas 1\.")
    )


def test_race_leaves_something_old_only_in_the_naive_cache(page: Page) -> None:
    page.click("#race")
    expect(page.locator("#race-said")).to_have_text(re.compile(r"ingenua \d+, correcta 0\."))
    expect(page.locator("#race-naive li")).to_have_count(20)
    page.click("#race")
    expect(page.locator("#race-naive li.stale").first).to_be_visible()
    expect(page.locator("#race-right li.stale")).to_have_count(0)


def test_only_the_sync_client_silences_the_loop(page: Page) -> None:
    page.click("#freeze")
    expect(page.locator("#freeze-said")).to_have_text(re.compile(r"^[789]\d\d ms y \d{1,3} ms\.$"))


def test_naive_entries_expire_together(page: Page) -> None:
    page.click("#expiries")
    said = page.locator("#expiries-said")
    expect(said).to_contain_text("En el peor segundo caducan")
    naive, right = map(int, re.findall(r"\d+", said.inner_text()))
    assert naive > right


def test_a_cut_is_a_silent_gap_only_for_the_naive_board(page: Page) -> None:
    page.click("#announce")
    expect(page.locator("#naive-board li")).to_have_count(1)
    page.click("#cut")
    expect(page.locator("#boards-said")).to_contain_text("Cortado")
    expect(page.locator("#right-board li")).to_have_count(6)
    expect(page.locator("#naive-state")).to_have_text("conectado")
    assert counted(page, "naive") == 1


def test_flushing_costs_nobody_an_error(page: Page) -> None:
    travellers(page, 40)
    expect(figure(page, "right", "aciertos")).to_have_text(MOST)
    page.click("#flush")
    expect(page.locator("#said")).to_have_text("Caché vacía.")
    expect(figure(page, "right", "errores")).to_have_text("0/s")


def test_what_cannot_be_done_is_said(page: Page) -> None:
    redis(page, "down")
    page.click("#announce")
    expect(page.locator("#boards-said")).to_contain_text("No se pudo: Con este Redis no se puede")
    redis(page, "up")


def test_everything_works_from_the_keyboard(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.locator(".skip-link")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#experiments")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#stampede")).to_be_focused()
    page.focus("#rate")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#rate-shown")).to_have_text("5")


@pytest.mark.parametrize("width", [360, 1920])
def test_no_sideways_scrolling(browser: Browser, address: str, width: int) -> None:
    for page in open_page(browser, address, {"width": width, "height": 800}):
        page.click("#announce")
        expect(page.locator("#right-board li")).to_have_count(1)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
