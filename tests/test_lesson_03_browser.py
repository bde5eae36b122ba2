"""Lo que la lección 3 pide al estudiante que pulse, y lo que le promete que verá, en un navegador real."""

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
    with serving(ROOT / "lessons" / "03_tareas_en_segundo_plano", "app") as address:
        yield address


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    yield from open_page(browser, address, {"width": 1500, "height": 950})


def open_page(browser: Browser, address: str, size: ViewportSize) -> Iterator[Page]:
    """La mini-app con los dos procesos en marcha y el tablero vacío."""
    with opened(browser, address, DEADLINE_MS, size) as page:
        for role in ("api", "worker"):
            revive(page, role)
        clear(page)
        yield page


def state(page: Page, role: str) -> Locator:
    return page.locator(f"#process-{role} .state")


def kill(page: Page, role: str) -> None:
    page.click(f"#process-{role} [data-do=kill]")
    expect(state(page, role)).to_have_text(re.compile("muert[oa]"))


def revive(page: Page, role: str) -> None:
    expect(state(page, role)).not_to_have_text("–")
    if page.is_enabled(f"#process-{role} [data-do=start]"):
        page.click(f"#process-{role} [data-do=start]")
    expect(state(page, role)).to_have_text("en marcha")


def clear(page: Page) -> None:
    """Espera a que acabe lo empezado y lo olvida."""
    for status in ("queued", "running"):
        expect(page.locator(f"#kinds .square.{status}")).to_have_count(0)
    page.click("#clear")
    expect(page.locator("#kinds .square")).to_have_count(0)


def launch(page: Page, kind: str, count: int, seconds: str = "1") -> None:
    page.select_option("#seconds", seconds)
    page.click(f"#kind-{kind} [data-count='{count}']")


def totals(page: Page, kind: str) -> Locator:
    return page.locator(f"#kind-{kind} .totals")


def highest_lag(page: Page) -> float:
    """El máximo que anuncia la gráfica, en ms."""
    summary = page.locator("#lag-chart svg").first.get_attribute("aria-label") or ""
    match = re.search(r"máximo ([\d.,\s]+?)\s*ms", summary)
    return float(re.sub(r"[.\s]", "", match[1]).replace(",", ".")) if match else 0.0


def test_twenty_in_memory_die_with_the_api(page: Page) -> None:
    launch(page, "wait", 20, "10")
    expect(page.locator("#answer")).to_contain_text("20 de 20 aceptadas")
    expect(totals(page, "wait")).to_have_text("20 aceptadas: 20 en marcha")
    kill(page, "api")
    expect(totals(page, "wait")).to_have_text("20 aceptadas: 20 perdidas")
    expect(page.locator("#kind-wait .square.lost")).to_have_count(20)
    expect(page.locator("#in-memory")).to_have_text("20 aceptadas: 20 perdidas.")
    expect(page.locator("#lag-now")).to_have_text("sin API")
    launch(page, "wait", 1)
    expect(page.locator("#answer")).to_have_text("No se pudo: La API está muerta: levántala primero.")
    revive(page, "api")
    expect(page.locator("#lag-now")).to_contain_text("ms")


def test_twenty_in_the_queue_survive_the_death_of_both(page: Page) -> None:
    launch(page, "queue", 20)
    expect(page.locator("#kind-queue .square.running").first).to_be_visible()
    kill(page, "worker")
    kill(page, "api")
    expect(totals(page, "queue")).not_to_contain_text("perdidas")
    revive(page, "worker")
    expect(totals(page, "queue")).to_have_text("20 aceptadas: 20 hechas")
    expect(page.locator("#kind-queue .square.again").first).to_be_visible()
    expect(page.locator("#in-queue")).to_contain_text("empezadas más de una vez")
    revive(page, "api")


def test_the_chart_shows_who_blocks_the_loop(page: Page) -> None:
    expect(page.locator("#lag-now")).to_contain_text("ms")
    for kind in ("wait", "thread"):
        launch(page, kind, 1)
        expect(totals(page, kind)).to_have_text("1 aceptada: 1 hecha")
    calm = highest_lag(page)
    launch(page, "freeze", 1, "3")
    expect(totals(page, "freeze")).to_have_text("1 aceptada: 1 hecha")
    expect(page.locator("#lag-chart svg").first).to_have_attribute(
        "aria-label", re.compile(r"máximo (2[5-9]|[3-9]\d)\d\d")
    )
    assert 0 < calm < highest_lag(page) / 2
    launch(page, "hog", 1)
    expect(page.locator("#lag-now")).to_have_text(re.compile("^> "))
    expect(totals(page, "hog")).to_have_text("1 aceptada: 1 hecha")


def test_a_failure_is_marked_and_named(page: Page) -> None:
    launch(page, "fail", 1, "0.5")
    expect(totals(page, "fail")).to_have_text("1 aceptada: 1 fallida")
    expect(page.locator("#kind-fail .square")).to_have_attribute("title", re.compile("RuntimeError$"))


def test_reloading_shows_the_board_as_it_was(page: Page) -> None:
    launch(page, "process", 1, "0.5")
    launch(page, "fail", 1, "0.5")
    expect(totals(page, "process")).to_have_text("1 aceptada: 1 hecha")
    expect(totals(page, "fail")).to_have_text("1 aceptada: 1 fallida")
    page.reload()
    expect(totals(page, "process")).to_have_text("1 aceptada: 1 hecha")
    clear(page)


def test_everything_works_from_the_keyboard(page: Page) -> None:
    page.reload()
    page.keyboard.press("Tab")
    expect(page.locator(".skip-link")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#board-panel")).to_be_focused()
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(page.locator("#kind-wait [data-count='1']")).to_be_focused()
    page.keyboard.press("Enter")
    expect(totals(page, "wait")).to_contain_text("1 aceptada")


@pytest.mark.parametrize("width", [360, 768, 1920])
def test_no_sideways_scrolling(browser: Browser, address: str, width: int) -> None:
    for page in open_page(browser, address, {"width": width, "height": 800}):
        launch(page, "wait", 20, "0.5")
        expect(totals(page, "wait")).to_contain_text("20 aceptadas")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
