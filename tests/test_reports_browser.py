"""Las páginas de los informes, en un navegador: sin guiones, sin red, y legibles de varias maneras."""

import time
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect
from reports_class import HOSTILE, exercise, grade, transcript, whole_class

from taller.grading.reports import write_reports
from taller.grading.results import Grade

DEADLINE_MS = 15_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("informe")
    class_ = whole_class()
    copied = "def f(a):\n" + "\n".join(f"    a = g(a, {number}) {'+-*/'[number % 4]} h[a]" for number in range(40))
    pair = [replace(grade(key, key), files={"02_websockets/e1_eco.py": copied + HOSTILE}) for key in ("una", "otra")]
    write_reports(replace(class_, grades=[*class_.grades, *pair, long_story()]), folder, previous=class_)
    return folder


def long_story() -> Grade:
    made = exercise("2.1", ["failed", "passed"])
    checks = [replace(made.checks[0], transcript=transcript(300)), made.checks[1]]
    return Grade("larga", "Historia Larga", "h", [replace(made, checks=checks)], 1.0)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Una pestaña que anota lo que pide a la red, lo que se ejecuta y lo que dice la consola."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="es")
    context.set_default_timeout(DEADLINE_MS)
    page = context.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("pageerror", lambda error: said.append(str(error)))
    yield page
    assert said == []
    assert [url for url in asked if not url.endswith(".html")] == []
    context.close()


def student(folder: Path, name: str) -> str:
    [path] = folder.glob(f"estudiantes/*{name}*.html")
    return path.as_uri()


def test_no_script_runs_and_no_request_leaves(folder: Path, page: Page) -> None:
    for path in (folder / "index.html", folder / "parecidos.html"):
        page.goto(path.as_uri())
        assert page.title() != "pwned"
    page.goto(student(folder, "pwned"))
    assert page.title().startswith("\\x1b[2J\\x1b]0;pwned\\x07<script>")


def test_no_page_has_more_than_text_and_drawings(folder: Path) -> None:
    pages = list(folder.rglob("*.html"))
    assert len(pages) == len(whole_class().grades) + 3 + 2
    for path in pages:
        text = path.read_text(encoding="utf-8")
        parser = Tags()
        parser.feed(text)
        assert parser.tags.isdisjoint({"script", "img", "iframe", "object", "embed", "link", "form", "base", "video"})
        assert parser.attributes.isdisjoint({"src", "srcset", "style", "action", "onerror", "onload", "xlink:href"})
        assert all(address.partition("#")[0].count(":") == 0 for address in parser.addresses)
        assert "\x1b" not in text and "\u202e" not in text


class Tags(HTMLParser):
    """Las etiquetas, los atributos y las direcciones de una página."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.addresses: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses |= {value for name, value in attrs if name == "href" and value}


def test_the_policy_stops_a_script_that_got_in(folder: Path, browser: Browser, tmp_path: Path) -> None:
    """Aunque algún día se escapara una etiqueta, no se ejecuta ni pide nada."""
    text = (folder / "index.html").read_text(encoding="utf-8")
    harm = "document.title='pwned'"
    attack = f'<script>{harm}</script><img src="https://example.invalid/x" onerror="{harm}">'
    broken = tmp_path / "index.html"
    broken.write_text(text.replace("</main>", attack + "</main>"), encoding="utf-8")
    page = browser.new_page()
    refused: list[str] = []
    stopped: list[str | None] = []
    page.on("console", lambda message: refused.append(message.text))
    page.on("requestfailed", lambda request: stopped.append(request.failure))
    page.goto(broken.as_uri())
    assert page.title().startswith("La clase")
    assert sum("Content Security Policy" in text for text in refused) >= 2
    assert stopped == ["csp"]
    page.close()


def test_hostile_text_is_shown_as_text(folder: Path, page: Page) -> None:
    page.goto(student(folder, "pwned"))
    expect(page.locator("h1")).to_contain_text("\\x1b[2J\\x1b]0;pwned\\x07<script>document.title='pwned'</script>")
    expect(page.locator("h1")).to_contain_text("\\u202etxt.exe")
    expect(page.locator(".sides .got + p").first).to_contain_text("<img src=x onerror=")


def test_from_the_map_to_a_check_and_its_diagram(folder: Path, page: Page) -> None:
    page.goto((folder / "index.html").as_uri())
    expect(page.locator(".attention li").first).to_contain_text("Luis Mora")
    expect(page.locator(".attention li", has_text="inestable").first).to_contain_text("Marta Gil")
    page.locator(".heat tr", has_text="Marta Gil").locator("td a").nth(1).click()
    expect(page.locator("h1")).to_have_text("Marta Gil")
    assert page.url.endswith("#ejercicio-2.2")
    section = page.get_by_role("region", name="2.2 · El apretón de manos")
    expect(section.locator(".badge")).to_have_text("aún no")
    story = section.locator(".what-happened").first
    story.locator("summary").first.click()
    drawing = story.get_by_role("img", name="Diagrama de secuencia de 5 pasos")
    expect(drawing).to_be_visible()
    expect(drawing.locator(".arrow")).to_have_count(4)
    expect(drawing.locator(".participant")).to_have_text(["cliente 1", "app"])
    story.locator(".as-list summary").click()
    expect(story.locator(".story-list li")).to_have_count(5)
    expect(story.locator(".story-list li").first).to_contain_text("cliente 1 → app")


def test_a_long_story_folds(folder: Path, page: Page) -> None:
    page.goto(student(folder, "larga"))
    story = page.locator(".what-happened")
    story.locator("summary").first.click()
    drawings = story.locator("svg")
    expect(drawings).to_have_count(2)
    expect(drawings.first.locator(".step")).to_have_count(40)
    expect(drawings.last).to_be_hidden()
    story.get_by_text("200 pasos más").click()
    expect(drawings.last.locator(".step")).to_have_count(200)
    expect(page.get_by_text("Hay 301 pasos; aquí están los 240 primeros.")).to_be_visible()


def test_the_text_of_a_diagram_can_be_selected(folder: Path, page: Page) -> None:
    page.goto(student(folder, "larga"))
    page.locator(".what-happened summary").first.click()
    page.locator("svg .message").first.dblclick()
    assert page.evaluate("getSelection().toString().trim()") in ["abre", "un", "WebSocket", "en", "/ws"]


def test_a_pair_is_shown_side_by_side(folder: Path, page: Page) -> None:
    page.goto((folder / "index.html").as_uri())
    page.get_by_role("link", name="una y otra").click()
    figures = page.locator("#pareja-1 .regions").first.locator("figure")
    expect(figures).to_have_count(2)
    left, right = figures.first.bounding_box(), figures.last.bounding_box()
    assert left and right and left["y"] == right["y"] and left["x"] < right["x"]


def test_what_changed_since_the_other_time(folder: Path, page: Page) -> None:
    page.goto((folder / "index.html").as_uri())
    expect(page.locator("#cambios tbody tr")).to_have_count(3)
    expect(page.locator("#cambios tbody tr").first).to_contain_text("nueva")


def test_nothing_spills_over_a_narrow_window(folder: Path, page: Page) -> None:
    page.set_viewport_size({"width": 340, "height": 700})
    class_pages = [(folder / name).as_uri() for name in ("index.html", "parecidos.html")]
    for address in (*class_pages, student(folder, "pwned"), student(folder, "larga")):
        page.goto(address)
        page.evaluate("document.querySelectorAll('details').forEach((box) => (box.open = true))")
        assert page.evaluate("document.documentElement.scrollWidth") <= 340, address


def test_everything_can_be_reached_with_the_keyboard(folder: Path, page: Page) -> None:
    page.goto(student(folder, "larga"))
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Saltar al contenido")).to_be_focused()
    summary = page.locator(".what-happened > summary")
    summary.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator(".sequence").first).to_be_focused()
    page.keyboard.press("End")
    # Preguntando desde aquí: la política de la página no deja que Playwright pregunte desde dentro.
    limit = time.monotonic() + 10
    while page.evaluate("document.querySelector('.sequence').scrollTop") == 0:
        assert time.monotonic() < limit, "el diagrama no se desplaza con el teclado"


CONTRAST = """([selector, floor]) => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = (part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  const light = (color) => {
    const [red, green, blue] = rgb(color).map((part) => linear(part / 255));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const background = (node) => {
    const color = getComputedStyle(node).backgroundColor;
    return rgb(color)[3] === 255 ? color : background(node.parentElement);
  };
  const ratio = (node) => {
    const [one, other] = [light(getComputedStyle(node).color), light(background(node))];
    return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  };
  const nodes = [...document.querySelectorAll(selector)];
  const poor = nodes.map((node) => [node.textContent, ratio(node)]).filter(([, found]) => found < floor);
  return { count: nodes.length, poor };
}"""
LEVELS = """() => new Set(
  [...document.querySelectorAll(".legend [class^=l]")].map((node) => getComputedStyle(node).backgroundColor)).size"""


def test_every_level_of_the_map_can_be_read(folder: Path, page: Page) -> None:
    page.goto((folder / "index.html").as_uri())
    schemes: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        found = page.evaluate(CONTRAST, [".heat td > a, .legend span, .heat th, .badge, main a, main p", 4.5])
        assert found["count"] > 60 and found["poor"] == []
        assert page.evaluate(LEVELS) == 5


def test_printed_diagrams_are_whole(folder: Path, page: Page) -> None:
    page.goto(student(folder, "larga"))
    page.evaluate("document.querySelectorAll('details').forEach((box) => (box.open = true))")
    box = page.locator(".sequence").first
    assert box.evaluate("(node) => node.scrollHeight > node.clientHeight")
    page.emulate_media(media="print")
    assert not box.evaluate("(node) => node.scrollHeight > node.clientHeight")
