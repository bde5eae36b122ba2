"""Lo que la lección 2 pide al estudiante que pulse, y lo que le promete que verá, en un navegador real."""

import re
from collections.abc import Iterator

import pytest
from lesson_pages import opened
from lesson_servers import ROOT, serving
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect

DEADLINE_MS = 10_000
expect.set_options(timeout=DEADLINE_MS)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(ROOT / "lessons" / "02_websockets", "app") as address:
        yield address


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    yield from open_page(browser, address, {"width": 1400, "height": 900})


def open_page(browser: Browser, address: str, size: ViewportSize) -> Iterator[Page]:
    """La mini-app con Ana y Luis conectados; al acabar se van los dos, para no ocupar el nombre."""
    with opened(browser, address, DEADLINE_MS, size) as page:
        expect(page.locator("h1")).to_have_text("Un chat con el cable a la vista")
        for name in ("Ana", "Luis"):
            expect(state(page, name)).to_have_text("conectada")
            if address.startswith("127.0.0.1"):
                expect(page.locator(f"#person-{name} .cable")).to_contain_text("cable")
        yield page
        for name in ("Ana", "Luis"):
            page.uncheck(f"#person-{name} .auto")
            do(page, name, "close")
            expect(state(page, name)).not_to_have_text("conectada")


def state(page: Page, name: str) -> Locator:
    return page.locator(f"#person-{name} .state")


def messages(page: Page, name: str) -> Locator:
    return page.locator(f"#person-{name} .messages")


def do(page: Page, name: str, action: str) -> None:
    page.click(f"#person-{name} [data-do={action}]")


def say(page: Page, name: str, text: str) -> None:
    page.fill(f"#person-{name} form input", text)
    page.press(f"#person-{name} form input", "Enter")


def crossed(page: Page, name: str, arrow: str, text: str) -> Locator:
    """La última línea del cable de esa persona, en ese sentido, que contiene ese texto."""
    pattern = re.compile(rf"{name} {arrow} .*{re.escape(text)}", re.DOTALL)
    return page.locator("#wire > li").filter(has_text=pattern).last


def test_a_message_crosses_masked_up_and_plain_down(page: Page) -> None:
    say(page, "Ana", "¡Hola, Núñez!")
    expect(messages(page, "Luis")).to_contain_text("Ana: ¡Hola, Núñez!")
    up, down = crossed(page, "Ana", "↑", "Núñez"), crossed(page, "Luis", "↓", "Núñez")
    for frame, mask, size in [(up, "MASK 1", "cabecera 6 B"), (down, "MASK 0", "cabecera 2 B")]:
        expect(frame).to_contain_text(size)
        frame.locator("summary").click()
        expect(frame.locator("dl")).to_contain_text("FIN 1, RSV1 0, opcode 0x1 texto")
        expect(frame.locator("dl")).to_contain_text(mask)
        expect(frame.locator("pre")).to_contain_text("¡Hola, Núñez!")
    readable = b'{"type"'.hex(" ")
    expect(down.locator(".b4")).to_contain_text(readable)
    expect(up.locator(".b4")).not_to_contain_text(readable)
    expect(up.locator(".b3")).to_have_text(re.compile(r"^([0-9a-f]{2} ?){4}$"))


@pytest.mark.parametrize(("action", "up", "down"), [("send200", 8, 4), ("send70k", 14, 10)])
def test_long_messages_have_longer_headers(page: Page, action: str, up: int, down: int) -> None:
    do(page, "Ana", action)
    expect(crossed(page, "Ana", "↑", "aaa")).to_contain_text(f"cabecera {up} B")
    expect(crossed(page, "Luis", "↓", "aaa")).to_contain_text(f"cabecera {down} B")


def test_handshake_without_version_is_400_and_with_it_101(page: Page) -> None:
    page.click("#try-both")
    expect(page.locator("#naive")).to_contain_text("missing Sec-WebSocket-Version header")
    expect(page.locator("#naive .badge")).to_have_text("400")
    expect(page.locator("#right .badge")).to_have_text("101")
    expect(page.locator("#right")).to_contain_text("HSmrc0sMlYUkAGmm5OPpG2HaGWk=")
    expect(page.locator("#accept-value")).to_have_text("HSmrc0sMlYUkAGmm5OPpG2HaGWk=")


def test_accept_follows_the_key(page: Page) -> None:
    page.fill("#key", "dGhlIHNhbXBsZSBub25jZQ==")
    expect(page.locator("#accept-value")).to_have_text("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")


def test_cutting_the_cable_is_1006_for_one_and_1005_for_the_other(page: Page) -> None:
    before = page.inner_text("#person-Luis .cable")
    do(page, "Luis", "cut")
    expect(state(page, "Luis")).to_have_text("cerrada 1006")
    expect(messages(page, "Ana")).to_contain_text("Se va Luis: el servidor vio 1005")
    expect(page.locator("#wire")).to_contain_text("sin trama de cierre: el navegador verá 1006")
    do(page, "Luis", "connect")
    expect(state(page, "Luis")).to_have_text("conectada")
    expect(page.locator("#person-Luis .cable")).not_to_have_text(before)
    say(page, "Luis", "He vuelto")
    expect(messages(page, "Ana")).to_contain_text("Luis: He vuelto")


def test_closing_well_takes_two_close_frames(page: Page) -> None:
    do(page, "Luis", "close")
    expect(state(page, "Luis")).to_have_text("cerrada 1000")
    expect(crossed(page, "Luis", "↑", "CIERRE 1000")).to_contain_text("me voy")
    expect(crossed(page, "Luis", "↓", "CIERRE 1000")).to_be_visible()
    expect(messages(page, "Ana")).to_contain_text("el servidor vio 1000")


def test_insisting_comes_back_after_a_random_wait(page: Page) -> None:
    page.check("#person-Luis .auto")
    do(page, "Luis", "cut")
    expect(messages(page, "Luis")).to_contain_text("Intento 1: dentro de")
    expect(messages(page, "Ana")).to_contain_text(re.compile("Se va Luis.*Entra Luis", re.DOTALL))
    expect(state(page, "Luis")).to_have_text("conectada")


@pytest.mark.parametrize(("action", "code"), [("binary", 1003), ("tooBig", 1009), ("flood", 1008)])
def test_each_abuse_is_closed_with_its_code(page: Page, action: str, code: int) -> None:
    do(page, "Luis", action)
    expect(state(page, "Luis")).to_have_text(f"cerrada {code}")
    expect(crossed(page, "Luis", "↓", f"CIERRE {code}")).to_be_visible()
    expect(state(page, "Ana")).to_have_text("conectada")


def test_broken_json_gets_an_error_and_the_same_cable(page: Page) -> None:
    before = page.inner_text("#person-Ana .cable")
    for _ in range(3):
        do(page, "Ana", "badJson")
    expect(messages(page, "Ana").locator("li.bad")).to_have_count(3)
    do(page, "Ana", "ping")
    expect(messages(page, "Ana")).to_contain_text("Llega pong")
    assert page.inner_text("#person-Ana .cable") == before


def test_a_repeated_name_is_403_on_the_wire_and_1006_in_the_page(page: Page) -> None:
    do(page, "Ana", "intruder")
    expect(messages(page, "Ana")).to_contain_text("Otra conexión con este nombre: el navegador ve 1006")
    expect(crossed(page, "Ana", "↓", "403 Forbidden")).to_be_visible()
    expect(state(page, "Ana")).to_have_text("conectada")


def test_compression_shows_as_rsv1(page: Page) -> None:
    do(page, "Ana", "close")
    expect(state(page, "Ana")).to_have_text("cerrada 1000")
    page.check("#deflate")
    do(page, "Ana", "connect")
    expect(state(page, "Ana")).to_have_text("conectada")
    do(page, "Ana", "send70k")
    frame = crossed(page, "Ana", "↑", "RSV1")
    expect(frame).to_contain_text("cabecera 6 B")
    frame.locator("summary").click()
    expect(frame).to_contain_text("Comprimida con permessage-deflate")
    expect(crossed(page, "Luis", "↓", "aaa")).to_contain_text("cabecera 10 B")


def test_measuring_counts_headers_and_connections(page: Page) -> None:
    page.click("#measure")
    expect(page.locator("#measure-state")).to_have_text("Hecho.")
    http, ws = (row.locator("td").all_inner_texts() for row in page.locator("#cost-rows tr").all())
    assert http[0] == ws[0] == "1"
    assert ws[1:3] == ["6 B", "2 B"]
    assert int(http[1].split()[0]) > 100
    expect(page.locator("#cost-chart svg").first).to_have_attribute("aria-label", re.compile("WebSocket: .* 6 B"))
    expect(page.locator("#cost-verdict")).to_contain_text("sale a cuenta desde el mensaje")


def test_everything_works_from_the_keyboard(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.locator(".skip-link")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#wire-panel")).to_be_focused()
    for _ in range(4):
        page.keyboard.press("Tab")
    expect(page.locator("#wire li:not([hidden]) summary").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#wire details[open] pre").first).to_contain_text("Sec-WebSocket-Key")


@pytest.mark.parametrize("width", [360, 768, 1920])
def test_no_sideways_scrolling(browser: Browser, address: str, width: int) -> None:
    for page in open_page(browser, address, {"width": width, "height": 800}):
        do(page, "Ana", "send70k")
        page.click("#try-both")
        expect(page.locator("#right .badge")).to_have_text("101")
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_from_another_machine_the_chat_works_and_says_what_is_missing(browser: Browser, address: str) -> None:
    """`taller.localhost` llega a este servidor, pero la página no puede saber que es la misma máquina."""
    for page in open_page(browser, address.replace("127.0.0.1", "taller.localhost"), {"width": 1200, "height": 800}):
        expect(page.locator("#no-relay")).to_be_visible()
        say(page, "Ana", "sin radiografía")
        expect(messages(page, "Luis")).to_contain_text("Ana: sin radiografía")
        expect(page.locator("#measure")).to_be_disabled()
