"""Lo que la lección 10 pide al estudiante que pulse, y lo que le promete que verá, en un navegador real."""

import re
from collections.abc import Iterator

import httpx
import pytest
from lesson_pages import opened
from lesson_servers import ROOT, serving
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect

pytestmark = pytest.mark.timeout(300)
DEADLINE_MS = 60_000
# Todo lo dicho tiene recibo, y quienes dicen por dónde iban lo han recibido.
BALANCED = """() => {
  const [said, acknowledged] = [...document.querySelectorAll("#totals dd")].map((each) => each.textContent);
  const received = (reader) => document.querySelector(`[data-reader=${reader}] td:nth-child(3)`).textContent;
  return said === acknowledged && ["ana", "bruno"].every((reader) => received(reader) === said);
}"""
SEVERAL = re.compile(r"^[1-9]\d+$")
expect.set_options(timeout=DEADLINE_MS)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(ROOT / "lessons" / "10_proyecto", "app") as address:
        yield address


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    yield from open_page(browser, address, {"width": 1400, "height": 1000})


def open_page(browser: Browser, address: str, size: ViewportSize, dark: bool = False) -> Iterator[Page]:
    """La mini-app, ya al día, con todo en marcha y los robots callados."""
    with opened(browser, address, DEADLINE_MS, size, dark=dark) as page:
        expect(page.locator("#link")).to_have_text("en directo")
        expect(page.locator("#ledger tbody tr")).to_have_count(3)
        # Lo que se diga antes de que alguien entre no es suyo, y las cuentas no cuadrarían nunca.
        for reader in ("ana", "bruno", "carla"):
            expect(figure(page, reader, 2)).not_to_have_text("–")
        yield page
    for normal in ("talk/off", "repeat/same", "reader/reading"):
        httpx.put(f"http://{address}/api/{normal}").raise_for_status()


def figure(page: Page, reader: str, column: int) -> Locator:
    return page.locator(f"[data-reader={reader}] td:nth-child({column})")


def received(page: Page, reader: str) -> Locator:
    return figure(page, reader, 3)


def lost(page: Page, reader: str) -> Locator:
    return figure(page, reader, 5)


def talk(page: Page) -> None:
    """Cuenta nueva, los tres lectores dentro y los robots hablando."""
    page.click("#reset")
    page.click("#talk")
    expect(page.locator("#talk")).to_have_text("Que callen")
    for reader in ("ana", "bruno", "carla"):
        expect(received(page, reader)).to_have_text(SEVERAL)


def be_quiet_and_balance(page: Page) -> None:
    """Que callen: todo lo que tiene recibo lo han visto los que dicen por dónde iban, una vez y en orden."""
    page.click("#talk")
    expect(page.locator("#talk")).to_have_text("Que hablen")
    page.wait_for_function(BALANCED)
    expect(page.locator("#totals .good dd")).to_have_text(["0", "0", "0"])
    for reader in ("ana", "bruno"):
        expect(lost(page, reader)).to_have_text("0")


def badge(page: Page, part: str) -> Locator:
    return page.locator(f"[data-part={part}] .state")


def toggle(page: Page, part: str) -> None:
    page.click(f"[data-part={part}] [data-toggle]")


def news(page: Page, text: str | re.Pattern[str]) -> Locator:
    return page.locator("#news li").filter(has_text=text).first


def test_killing_a_process_loses_nothing_for_who_says_where_they_were(page: Page) -> None:
    talk(page)
    toggle(page, "A")
    expect(badge(page, "A")).to_have_text("muerto")
    expect(news(page, re.compile("(ana|bruno) vuelve por B y recupera lo perdido"))).to_be_visible()
    expect(page.locator("#ledger td:nth-child(2)")).to_have_text(["B", "B", "B"])
    toggle(page, "A")
    expect(badge(page, "A")).to_have_text("en marcha")
    be_quiet_and_balance(page)


def test_a_careless_client_loses_what_was_said_meanwhile(page: Page) -> None:
    """En un despliegue no se pierde nada, salvo para quien al volver no dice por dónde iba."""
    talk(page)
    # Tiene que decirse algo justo mientras está fuera, y eso no pasa en todos los despliegues.
    for process in ("A", "B") * 10:
        page.click(f"[data-do='webs/{process}/deploy']")
        expect(page.locator("#said")).to_have_text("Hecho.")
        expect(page.locator("#ledger td:nth-child(2)", has_text=process)).to_have_count(0)
        expect(figure(page, "carla", 2)).not_to_have_text("–")
        if lost(page, "carla").inner_text() != "0":
            break
    expect(lost(page, "carla")).to_have_class("num bad")
    be_quiet_and_balance(page)


@pytest.mark.parametrize("part", ["redis", "postgres"])
def test_a_server_restarts_and_nothing_is_lost(page: Page, part: str) -> None:
    talk(page)
    page.click(f"[data-do='{part}/restart']")
    expect(news(page, "se reinicia")).to_be_visible()
    before = received(page, "ana").inner_text()
    expect(received(page, "ana")).not_to_have_text(before)
    be_quiet_and_balance(page)


def test_with_a_mute_redis_it_is_slower_but_it_goes_on(page: Page) -> None:
    talk(page)
    toggle(page, "redis")
    expect(badge(page, "redis")).to_have_text("mudo")
    before = int(received(page, "bruno").inner_text())
    expect(received(page, "bruno")).not_to_have_text(re.compile(f"^({before}|{before + 1}|{before + 2})$"))
    toggle(page, "redis")
    expect(badge(page, "redis")).to_have_text("en marcha")
    be_quiet_and_balance(page)


def test_who_does_not_read_is_expelled_and_nobody_else_notices(page: Page) -> None:
    talk(page)
    toggle(page, "reader")
    expect(badge(page, "reader")).to_have_text("atascada")
    expect(news(page, "expulsa a una conexión que no lee (4008)")).to_be_visible()
    expect(figure(page, "ana", 4)).to_have_text(SEVERAL)
    assert int(received(page, "bruno").inner_text()) > int(received(page, "ana").inner_text())
    toggle(page, "reader")
    expect(news(page, re.compile("ana vuelve por . y recupera lo perdido"))).to_be_visible()
    be_quiet_and_balance(page)


def test_repeating_with_another_id_says_it_twice(page: Page) -> None:
    talk(page)
    page.check("#new-id")
    expect(page.locator("#said")).to_have_text("Hecho.")
    repeated = figure(page, "bruno", 6)
    expect(repeated).to_have_class("num bad")
    expect(page.locator("#totals .bad dt")).to_have_text("repetido")


def test_the_doors_lead_to_plaza(page: Page) -> None:
    with page.context.expect_page() as opened:
        page.click("#enter-B")
    expect(opened.value).to_have_title(re.compile("Plaza"))
    assert page.locator("#password").inner_text() == "plaza-de-ejemplo"


def test_everything_works_from_the_keyboard(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.locator(".skip-link")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#controls")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("[data-part=A] [data-toggle]")).to_be_focused()
    page.focus("#talk")
    page.keyboard.press("Space")
    expect(page.locator("#talk")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#talk")).to_be_focused()
    page.focus("#new-id")
    page.keyboard.press("Space")
    expect(page.locator("#new-id")).to_be_checked()


def test_what_cannot_be_done_is_said(page: Page, address: str) -> None:
    page.route("**/api/postgres/restart", lambda route: route.fulfill(status=503, json={"detail": "es de otro"}))
    page.click("[data-do='postgres/restart']")
    expect(page.locator("#said")).to_have_text("No se pudo: es de otro")
    assert httpx.post(f"http://{address}/api/webs/C/kill").json() == {"detail": "Los procesos son A y B."}
    assert httpx.put(f"http://{address}/api/talk/maybe").status_code == 422


@pytest.mark.parametrize(("width", "dark"), [(360, False), (1920, True)])
def test_no_sideways_scrolling(browser: Browser, address: str, width: int, dark: bool) -> None:
    for page in open_page(browser, address, {"width": width, "height": 800}, dark):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 200) == dark
