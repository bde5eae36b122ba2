"""Lo que la lección 6 pide al estudiante que pulse, y lo que le promete que verá, en un navegador real."""

import re
from collections.abc import Iterator

import httpx
import pytest
from lesson_pages import opened
from lesson_servers import ROOT, serving
from playwright.sync_api import Browser, Page, ViewportSize, expect

DEADLINE_MS = 20_000
KINDS = ("naive", "right")
expect.set_options(timeout=DEADLINE_MS)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(ROOT / "lessons" / "06_integracion", "app") as address:
        yield address


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    yield from open_page(browser, address, 1400)


def open_page(browser: Browser, address: str, width: int, scheme: str = "light") -> Iterator[Page]:
    # Quien prefiere menos movimiento ve el viaje de golpe; aquí, además, ahorra esperar a la animación.
    size: ViewportSize = {"width": width, "height": 900}
    with opened(browser, address, DEADLINE_MS, size, dark=scheme == "dark", reduced_motion="reduce") as page:
        expect(page.locator("h1")).to_have_text("El viaje de un pedido")
        expect(page.locator("svg.plan")).to_have_count(2)
        yield page


def travel(page: Page, mail_ms: int) -> tuple[int, int]:
    """Un viaje con cada orden; los ms a los que llegó cada noticia."""
    page.fill("#mail", str(mail_ms))
    expect(page.locator("#mail-shown")).to_have_text(str(mail_ms))
    page.click("#travel")
    said = page.locator("#travel-said")
    expect(said).to_contain_text("La noticia llegó")
    naive, right = re.findall(r"([\d.]+) ms", said.inner_text())
    return int(naive.replace(".", "")), int(right.replace(".", ""))


def test_the_notes_tell_late_and_then_lie(page: Page) -> None:
    naive, right = travel(page, 400)
    assert naive >= 400 > right
    expect(page.locator("#naive-verdict .failed")).to_have_text("Al recibir la noticia de la versión 2 leyó la 1")
    expect(page.locator("#right-verdict .passed")).to_have_text("Al recibir la noticia de la versión 2 leyó la 2")
    expect(page.locator("#naive-steps li.bad")).to_contain_text("vuelve a leer")


def test_the_plan_lights_each_step_once_and_says_it_aloud(page: Page) -> None:
    travel(page, 100)
    expect(page.locator("#naive-steps li")).to_have_count(7)
    expect(page.locator("#right-steps li")).to_have_count(8)
    for kind, lit in zip(KINDS, (7, 8), strict=True):
        expect(page.locator(f"#{kind}-plan .lit")).to_have_count(lit)
    expect(page.locator("#naive-plan .stale")).to_have_count(1)
    first, second, third = page.locator("#right-steps li").all_inner_texts()[:3]
    assert (first[:10], second[:8], third[:7]) == ("PostgreSQL", "la caché", "Pub/Sub")
    assert page.locator("#right-steps li").last.inner_text().startswith("sale el correo")
    expect(page.locator("#right-plan svg")).to_have_attribute("aria-label", re.compile(r"^1\.º PostgreSQL: COMMIT, "))


def test_thirty_changes_are_thirty_stale_rereads_or_none(page: Page) -> None:
    page.click("#rereads")
    expect(page.locator("#rereads-said")).to_have_text("Relecturas viejas: apuntes 30 de 30, correcto 0 de 30.")
    expect(page.locator("#rereads-naive li.stale")).to_have_count(30)
    expect(page.locator("#rereads-right li")).to_have_count(30)
    expect(page.locator("#rereads-right li.stale")).to_have_count(0)


def test_only_the_outbox_survives_the_gap(page: Page) -> None:
    page.click("#deaths")
    expect(page.locator("#deaths-said")).to_have_text("Cambios sin noticia: sin bandeja 5 de 5, con bandeja 0 de 5.")
    expect(page.locator("#deaths-naive li.stale")).to_have_count(5)
    # Y después de tanto morir, todo sigue funcionando.
    travel(page, 0)


def test_a_slow_mail_is_awaited_only_by_the_notes(page: Page) -> None:
    page.click("#delays")
    said = page.locator("#delays-said")
    expect(said).to_contain_text("Con el correo a 750 ms")
    _, naive, right = (int(found) for found in re.findall(r"(\d+) ms", said.inner_text()))
    assert naive >= 750 > right
    expect(page.locator("#delays-chart svg").first).to_have_attribute("aria-label", re.compile("750 ms"))


def test_in_memory_only_one_process_hears(page: Page) -> None:
    page.click("#crowd")
    said = page.locator("#crowd-said")
    expect(said).to_contain_text("por Redis, 20")
    reached, in_a = re.findall(r"En memoria, (\d+) \(los (\d+) del proceso A\)", said.inner_text())[0]
    assert reached == in_a


def test_everything_works_from_the_keyboard(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.locator(".skip-link")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#experiments")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#rereads")).to_be_focused()
    page.focus("#mail")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#mail-shown")).to_have_text("350")
    page.focus("#crowd")
    page.keyboard.press("Enter")
    expect(page.locator("#crowd-said")).to_contain_text("por Redis, 20")


def test_what_cannot_be_done_is_said(page: Page) -> None:
    page.route("**/api/crowd", lambda route: route.fulfill(status=503, json={"detail": "no hay nadie"}))
    page.click("#crowd")
    expect(page.locator("#crowd-said")).to_have_text("No se pudo: no hay nadie")
    expect(page.locator("#crowd")).to_be_enabled()


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1920, "light")])
def test_no_sideways_scrolling_and_the_plan_follows_the_theme(
    browser: Browser, address: str, width: int, scheme: str
) -> None:
    for page in open_page(browser, address, width, scheme):
        travel(page, 0)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        ink = page.locator(".plan .lit .time").first.evaluate("e => getComputedStyle(e).fill")
        red = int(re.findall(r"\d+", ink)[0])
        assert (red > 128) is (scheme == "dark")


def test_a_trip_has_its_steps_in_the_promised_order(address: str) -> None:
    trips = httpx.post(f"http://{address}/api/trips", json={"seconds": 0.2}, timeout=20).json()
    at = {kind: {step["name"]: step["at"] for step in trip["steps"]} for kind, trip in trips.items()}
    naive, right = at["naive"], at["right"]
    assert naive["database"] < naive["mail"] < naive["websocket"]
    assert "cache" not in naive
    assert right["database"] < right["cache"] <= right["publish"] < right["websocket"] < right["mail"]
    assert (trips["naive"]["reread"], trips["naive"]["version"]) == (1, 2)
    assert (trips["right"]["reread"], trips["right"]["version"]) == (2, 2)


def test_what_can_be_asked_has_limits(address: str) -> None:
    assert httpx.post(f"http://{address}/api/trips", json={"seconds": 60}).status_code == 422
    assert httpx.post(f"http://{address}/api/rereads?count=9999").status_code == 422
    assert httpx.post(f"http://{address}/api/delays?mail=-1").status_code == 422
