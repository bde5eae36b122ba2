"""Lo que la lección 7 pide al estudiante que pulse, y lo que le promete que verá, en un navegador real."""

import re
from collections.abc import Iterator

import pytest
from lesson_pages import opened
from lesson_servers import ROOT, serving
from playwright.sync_api import Browser, Page, ViewportSize, expect

DEADLINE_MS = 15_000
JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.")
expect.set_options(timeout=DEADLINE_MS)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(ROOT / "lessons" / "07_seguridad", "app") as address:
        yield address


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    yield from open_page(browser, address, {"width": 1400, "height": 900})


def open_page(browser: Browser, address: str, size: ViewportSize, scheme: str = "light") -> Iterator[Page]:
    with opened(browser, address, DEADLINE_MS, size, dark=scheme == "dark") as page:
        expect(page.locator("h1")).to_have_text("La puerta y el portero")
        expect(page.locator("body[data-ready]")).to_be_attached()
        yield page


def call(page: Page, kind: str) -> None:
    page.click(f"[data-kind={kind}]")
    page.click("#knock")
    for door in ("naive", "right"):
        expect(page.locator(f"#{door}-door")).not_to_have_text(re.compile("sin llamar|llamando"))


def test_the_token_is_in_one_log_and_not_in_the_other(page: Page) -> None:
    call(page, "good")
    for door in ("naive", "right"):
        expect(page.locator(f"#{door}-door")).to_have_text("dentro, como ana")
        expect(page.locator(f"#{door}-log")).to_contain_text("[accepted]")
    expect(page.locator("#naive-log mark")).to_have_text(JWT)
    expect(page.locator("#right-log")).not_to_contain_text(JWT)
    expect(page.locator("#parts")).to_contain_text('"aud":"taller"')


def test_a_refusal_is_seen_only_if_the_socket_was_accepted(page: Page) -> None:
    call(page, "expired")
    expect(page.locator("#naive-door")).to_have_text("cerrada: 1006")
    expect(page.locator("#right-door")).to_have_text("cerrada: 1008")
    expect(page.locator("#naive-log")).to_contain_text("403")
    expect(page.locator("#right-log")).to_contain_text("ExpiredSignatureError")


def test_who_gets_in_where(page: Page) -> None:
    page.click("#all")
    expect(page.locator("#doors-said")).to_contain_text("Probados todos")
    rows = dict(row.split("\t", 1) for row in page.locator("#all-rows").inner_text().splitlines())
    assert len(rows) == 10
    intruders = {"para otro servicio", "sin exp", "de refresco"}
    assert {name for name, cells in rows.items() if "✗" in cells} == intruders
    assert sum("entra" in cells.split("\t")[0] for cells in rows.values()) == 5
    assert all("1008" in cells for name, cells in rows.items() if name in intruders)


def test_a_foreign_page_gets_in_only_through_the_naive_door(page: Page) -> None:
    page.click("[data-from=elsewhere]")
    call(page, "good")
    expect(page.locator("#naive-door")).to_have_text("dentro, como ana")
    expect(page.locator("#right-door")).to_have_text("cerrada: 1006")
    expect(page.locator("#right-log")).to_contain_text("origen ajeno: null")


def test_the_connection_ends_with_its_token_or_is_renewed(page: Page) -> None:
    call(page, "short")
    expect(page.locator("#right-door")).to_have_text("cerrada: 1008")
    expect(page.locator("#naive-clock")).to_have_text(re.compile(r"el token caducó hace \d+ s, y sigue dentro"))
    page.click("#say")
    expect(page.locator("#naive-seen")).to_contain_text('"text":"hola"')
    call(page, "short")
    page.click("#renew")
    expect(page.locator("#right-seen")).to_contain_text('"type":"renewed"')
    expect(page.locator("#right-clock")).to_have_text(re.compile(r"al token le quedan \d{3} s"))


def test_the_fixed_window_lets_twice_as_many_through(page: Page) -> None:
    page.click("#edge")
    expect(page.locator("#fixed-count")).to_have_text("Lo más que ha pasado en 4 s: 10 de 5")
    expect(page.locator("#sliding-count")).to_have_text("Lo más que ha pasado en 4 s: 5 de 5")
    expect(page.locator("#fixed .in")).to_have_count(10)
    page.click("#ten")
    expect(page.locator("#limits-said")).to_contain_text("dice que vuelvas dentro de")


def test_the_measured_experiments(page: Page) -> None:
    page.click("#jump")
    expect(page.locator("#jump-said")).to_contain_text("se queda fuera 3660 s en vez de 60")
    page.click("#processes")
    expect(page.locator("#processes-said")).to_have_text(re.compile(r"^Pasan 40, \d+ y 10\.$"))
    two_steps = int(page.inner_text("#processes-said").split(", ")[1].split(" ")[0])
    assert two_steps > 10
    page.click("#memory")
    expect(page.locator("#memory-said")).to_have_text(re.compile(r"^Quedan (1\d|2\d),\d MB y \d,\d MB\.$"))


def test_an_expelled_reader_goes_on_reading_only_if_nobody_tells_his_connection(page: Page) -> None:
    page.click("#publish")
    for kind in ("naive", "right"):
        expect(page.locator(f"#room-{kind} li")).to_have_count(2)
    page.click("#expel")
    expect(page.locator("#room-right")).to_contain_text("ya no eres miembro")
    page.click("#publish")
    expect(page.locator("#room-naive li")).to_have_count(3)
    expect(page.locator("#room-right li")).to_have_count(3)
    page.click("#readmit")
    expect(page.locator("#room-right li")).to_have_count(4)


def test_everything_works_from_the_keyboard(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.locator(".skip-link")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#limits")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#one")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#limits-said")).to_contain_text("por la fija y")
    page.focus("[data-kind=none]")
    page.keyboard.press("Space")
    expect(page.locator("[data-kind=none]")).to_have_attribute("aria-pressed", "true")
    page.focus("#knock")
    page.keyboard.press("Enter")
    expect(page.locator("#parts")).to_contain_text("no lleva")


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1920, "light")])
def test_no_sideways_scrolling(browser: Browser, address: str, width: int, scheme: str) -> None:
    for page in open_page(browser, address, {"width": width, "height": 800}, scheme):
        call(page, "good")
        expect(page.locator("#naive-log mark")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (int(re.findall(r"\d+", background)[0]) < 128) == (scheme == "dark"), background
