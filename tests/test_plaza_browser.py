"""Plaza en un navegador real: conversar, cortarse y volver, que te mencionen, mirar el tablero, y usar el teclado."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Response, expect
from plaza_town import Town, town

DEADLINE_MS = 15_000
PASSWORD = "contraseña"
expect.set_options(timeout=DEADLINE_MS)


@pytest.fixture(scope="module")
def plaza(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """La instalación entera. Los tokens duran tan poco que las sesiones se renuevan mientras corren las pruebas."""
    with town(tmp_path_factory.mktemp("plaza"), PLAZA_ACCESS_SECONDS=6) as plaza:
        yield plaza


class Person:
    """Alguien con su navegador, y lo que ha fallado en él."""

    def __init__(self, browser: Browser, plaza: Town, name: str, width: int = 1400) -> None:
        self.name, self.base = name, plaza.base
        self.context: BrowserContext = browser.new_context(viewport={"width": width, "height": 850}, locale="es")
        self.context.set_default_timeout(DEADLINE_MS)
        self.errors: list[str] = []
        self.renewals: list[int] = []
        self.context.on("response", self._note)
        self.page = self.tab()

    def tab(self) -> Page:
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", lambda dialog: (self.errors.append(dialog.message), dialog.dismiss()))
        return page

    def _note(self, response: Response) -> None:
        if response.url.endswith("/api/refresh"):
            self.renewals.append(response.status)

    def sign_up(self) -> "Person":
        page = self.page
        page.goto(self.base)
        page.click("#tab-join")
        page.fill("#join-name", self.name)
        page.fill("#join-email", f"{self.name}@example.org")
        page.fill("#join-password", PASSWORD)
        page.click("#join [type=submit]")
        self.connected()
        return self

    def connected(self, page: Page | None = None) -> None:
        expect((page or self.page).locator("#status-words")).to_have_text("conectado")

    def create_room(self, name: str) -> None:
        self.page.click("#new-room")
        self.page.fill("#room-new-name", name)
        self.page.click("#create-room [type=submit]")
        expect(self.page.locator("#room-name")).to_have_text(name)

    def enter(self, room: str) -> None:
        # La lista se refresca sola, pero no al instante: quien acaba de oír hablar de una sala recarga.
        self.page.reload()
        self.connected()
        self.page.click(f".room:has-text('{room}')")
        expect(self.page.locator("#room-name")).to_have_text(room)
        expect(self.page.locator("#loading")).to_be_hidden()

    def say(self, *texts: str) -> None:
        for text in texts:
            self.page.fill("#text", text)
            self.page.press("#text", "Enter")

    def sees(self, *texts: str) -> None:
        """Justo esos mensajes, en ese orden y confirmados: ni uno menos, ni uno repetido."""
        expect(self.page.locator(".message > .text")).to_have_text(list(texts))
        expect(self.page.locator(".message.pending")).to_have_count(0)

    def message(self, text: str) -> Locator:
        return self.page.locator(".message").filter(has_text=text)

    def close(self) -> None:
        self.context.close()
        assert self.errors == []
        assert set(self.renewals) <= {200}


@pytest.fixture(scope="module")
def ana(browser: Browser, plaza: Town) -> Iterator[Person]:
    ana = Person(browser, plaza, "ana").sign_up()
    yield ana
    ana.close()


@pytest.fixture(scope="module")
def luis(browser: Browser, plaza: Town) -> Iterator[Person]:
    luis = Person(browser, plaza, "luis").sign_up()
    yield luis
    luis.close()


def test_two_people_talk_and_text_is_never_markup(ana: Person, luis: Person) -> None:
    ana.create_room("charla")
    luis.enter("charla")
    ana.say("hola")
    luis.page.locator("#text").press_sequentially("<")
    expect(ana.page.locator("#typing")).to_have_text("luis está escribiendo…")
    attack = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    luis.say(attack)
    for person in (ana, luis):
        person.sees("hola", attack)
        expect(person.page.locator("#messages :is(script, img)")).to_have_count(0)
        expect(person.page.locator("#room-people")).to_have_text("2 miembros · 2 en línea")
    ana.page.press("#text", "ArrowUp")
    expect(ana.page.locator("#editing")).to_be_visible()
    ana.say("hola a todos")
    luis.sees("hola a todos (editado)", attack)
    luis.message("onerror").hover()
    luis.message("onerror").locator(".more").click()
    luis.page.get_by_role("menuitem", name="Borrar").click()
    ana.sees("hola a todos (editado)", "Mensaje borrado")


def test_unread_and_mention_arrive_while_looking_elsewhere(ana: Person, luis: Person) -> None:
    luis.create_room("otra")
    ana.say("¿vienes, @luis?")
    expect(luis.page.locator(".toast")).to_contain_text("ana en charla: ¿vienes, @luis?")
    expect(luis.page.locator(".room:has-text('charla') .count")).to_have_text("1 sin leer")
    expect(luis.page.locator("#notices-count")).to_have_text("1 sin leer")
    luis.page.click(".toast >> text=Ver")
    expect(luis.message("¿vienes").locator(".mention.me")).to_have_text("@luis")
    expect(luis.page.locator(".room .count")).to_have_count(0)

    luis.page.goto(f"{luis.base}/notificaciones.html")
    luis.connected()
    first = luis.page.locator(".notice").first
    expect(first).to_contain_text("por el chat (WebSocket)")
    ana.say("de nuevo, @luis")
    expect(first).to_contain_text("de nuevo, @luis")
    expect(first).to_contain_text("por esta página (SSE)", timeout=20_000)
    luis.page.click("#read-all")
    expect(luis.page.locator(".notice.unread")).to_have_count(0)
    expect(luis.page.locator("#notices-count")).to_be_hidden()


def test_a_dead_server_loses_and_repeats_nothing(plaza: Town, ana: Person, luis: Person) -> None:
    ana.create_room("cortes")
    luis.page.goto(f"{luis.base}/chat.html")
    luis.connected()
    luis.enter("cortes")
    ana.say("antes")
    luis.sees("antes")
    plaza.webs[0].kill()
    for person in (ana, luis):
        expect(person.page.locator("#status")).to_have_attribute("data-state", "waiting")
        expect(person.page.locator("#status")).to_have_text(re.compile(r"^reconectando en \d+ s$"))
    ana.say("uno", "dos")
    expect(ana.page.locator(".message.pending")).to_have_count(2)
    plaza.webs[0].start()
    for person in (ana, luis):
        if person.page.locator("#status-retry").is_visible():
            person.page.click("#status-retry")
        person.connected()
        person.sees("antes", "uno", "dos")


def test_who_loses_the_network_gets_what_was_missed_once_and_in_order(ana: Person, luis: Person) -> None:
    luis.context.set_offline(True)
    expect(luis.page.locator("#status-words")).to_have_text("sin internet")
    texts = [f"mensaje {number}" for number in range(1, 8)]
    ana.say(*texts)
    luis.say("escrito sin red")
    expect(luis.page.locator(".message.pending")).to_have_count(1)
    ana.sees("antes", "uno", "dos", *texts)
    luis.context.set_offline(False)
    luis.sees("antes", "uno", "dos", *texts, "escrito sin red")
    ana.sees("antes", "uno", "dos", *texts, "escrito sin red")


def test_what_was_not_sent_survives_a_reload(luis: Person, ana: Person) -> None:
    luis.page.context.set_offline(True)
    expect(luis.page.locator("#status-words")).to_have_text("sin internet")
    luis.say("tras recargar")
    expect(luis.page.locator(".message.pending")).to_have_count(1)
    luis.page.context.set_offline(False)
    luis.page.reload()
    for person in (luis, ana):
        expect(person.message("tras recargar")).to_have_count(1)
        expect(person.page.locator(".message.pending")).to_have_count(0)


def test_dashboard_moves(ana: Person) -> None:
    board = ana.tab()
    board.goto(f"{ana.base}/tablero.html")
    ana.connected(board)
    published = board.locator("#figure-messages .detail")
    expect(published).to_contain_text("en total")
    before = int(re.sub(r"\D", "", published.inner_text().split(" en total")[0]))
    ana.say("para el tablero")
    expect(published).to_contain_text(f"{before + 1} en total")
    expect(board.locator("#processes tr")).to_have_count(3)
    expect(board.locator("#figure-latency svg")).to_have_attribute("aria-label", re.compile("Latencia de entrega"))
    expect(board.locator("#figure-connections .value")).to_have_text(re.compile(r"^[1-9]"))
    expect(board.locator("#alerts li")).to_have_count(1)
    board.close()


def test_sessions_renew_once_for_all_the_tabs(ana: Person) -> None:
    other = ana.tab()
    other.goto(f"{ana.base}/chat.html")
    ana.connected(other)
    token = "JSON.parse(localStorage['plaza:sesion']).access_token"
    other.wait_for_function(f"old => {token} !== old", arg=other.evaluate(token))
    ana.connected(other)
    ana.connected()
    other.close()
    assert set(ana.renewals) == {200}


def test_an_ended_session_goes_back_to_the_door(luis: Person) -> None:
    luis.page.evaluate(
        "fetch('/api/logout', {method: 'POST', headers: {Authorization:"
        " `Bearer ${JSON.parse(localStorage['plaza:sesion']).access_token}`}})"
    )
    expect(luis.page.locator("#reason")).to_contain_text("Tu sesión se ha cerrado")
    luis.renewals.clear()


def test_everything_from_the_keyboard(browser: Browser, plaza: Town) -> None:
    person = Person(browser, plaza, "luis")
    page, press = person.page, person.page.keyboard.press
    page.goto(plaza.base)
    expect(page.locator("#login-name")).to_be_focused()
    page.keyboard.type("luis")
    press("Tab")
    page.keyboard.type(PASSWORD)
    press("Enter")
    person.connected()
    page.reload()
    person.connected()
    expect(page.locator(".room").first).to_be_visible()
    press("Tab")
    expect(page.locator(".skip-link")).to_be_focused()
    for _ in range(30):
        if page.evaluate("document.activeElement.textContent") == "otra":
            break
        press("Tab")
    press("Enter")
    expect(page.locator("#room-name")).to_have_text("otra")
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.type("con teclado")
    press("Enter")
    person.sees("con teclado")
    press("Shift+Tab")
    expect(page.locator("#scroller")).to_be_focused()
    press("ArrowUp")
    expect(person.message("con teclado")).to_be_focused()
    press("Enter")
    expect(page.get_by_role("menuitem", name="Editar")).to_be_focused()
    press("Escape")
    expect(page.get_by_role("menu")).to_have_count(0)
    person.close()


def test_narrow_window_does_not_scroll_sideways(browser: Browser, plaza: Town) -> None:
    person = Person(browser, plaza, "eva", width=390).sign_up()
    page = person.page

    def fits() -> None:
        assert page.evaluate("document.documentElement.scrollWidth") <= 390

    page.click("#rooms-toggle")
    expect(page.locator("#rooms-panel")).to_have_class(re.compile("open"))
    page.keyboard.press("Escape")
    expect(page.locator("#rooms-toggle")).to_be_focused()
    page.click("#rooms-toggle")
    page.click(".room:has-text('charla')")
    expect(page.locator("#room-name")).to_have_text("charla")
    person.say("m" * 300)
    expect(person.message("mmm")).to_have_count(1)
    fits()
    for path in ("tablero.html", "notificaciones.html"):
        page.goto(f"{plaza.base}/{path}")
        person.connected()
        fits()
    person.close()
