"""La primera hora de un estudiante, y la de quien escribe una lección nueva: todo lo que hacen, por su orden."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from whole_course import copy_course, portal, run

from taller.skeleton import generate

pytestmark = pytest.mark.timeout(180)
DEADLINE_MS = 20_000


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_course(tmp_path_factory.mktemp("hora"))


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    expect.set_options(timeout=DEADLINE_MS)
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="es")
    context.set_default_timeout(DEADLINE_MS)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


def test_a_student_goes_from_the_clone_to_2_1_solved(course: Path, page: Page) -> None:
    mine = course / "exercises" / "02_websockets" / "e1_eco.py"
    solution = (course / "solutions" / "02_websockets" / "e1_eco.py").read_text(encoding="utf-8")
    with portal(course) as address:
        page.goto(address)
        expect(page.locator(".next-exercise")).to_contain_text("1.1")
        page.get_by_role("link", name="Lección 2: WebSockets").click()
        expect(page.get_by_role("heading", name="El apretón de manos")).to_be_visible()

        page.get_by_role("button", name="Arrancar la mini-app").click()
        chat = page.frame_locator("iframe")
        chat.locator("#person-Ana form input").fill("hola, Luis")
        chat.locator("#person-Ana form input").press("Enter")
        expect(chat.locator("#person-Luis .messages")).to_contain_text("hola, Luis")

        page.locator("#ejercicios").get_by_role("link", name="2.1 ·").click()
        expect(page.locator("#connection")).to_have_text("en vivo")
        page.get_by_role("button", name="Comprobar ahora").click()
        first = page.locator(".check.failed").first
        expect(first.locator("dd.got")).to_contain_text("not_implemented")
        first.get_by_role("button", name="Dame una pista").click()
        expect(first.locator(".hints li")).to_have_count(1)

        # Un TODO cada vez, y cada vez algo más en verde.
        for pending, passed in (({2, 3}, 2), ({3}, 5), (set(), 7)):
            mine.write_text(generate(solution, pending.__contains__), encoding="utf-8")
            expect(page.locator(".check.passed")).to_have_count(passed)
        expect(page.locator(".celebration")).to_contain_text("¡Superado!")

        page.goto(address)
        expect(page.locator("[data-lesson-passed='02_websockets']")).to_have_text("1")

    with portal(course) as address:
        page.goto(address)
        expect(page.locator("[data-lesson-passed='02_websockets']")).to_have_text("1")
    assert "✓ 2.1" in run(course, "lista").stdout


def test_an_author_takes_a_new_lesson_from_nothing_to_solid(course: Path, page: Page) -> None:
    created = run(course, "autor", "nueva", "61_prueba")
    assert created.stdout.endswith("python3 curso.py autor validar 61\n"), created
    assert run(course, "autor", "sincronizar", "61").returncode == 0

    missing = run(course, "autor", "validar", "61")
    assert "61.1 Un saludo: sólido" in missing.stdout
    for what in ("docs/mapa_teoria.md: no dice dónde está", "python3 curso.py autor sintomas 61"):
        assert what in missing.stderr
    assert missing.returncode == 1
    assert run(course, "autor", "sintomas", "61").returncode == 0
    add_to_the_map(course / "docs" / "mapa_teoria.md")
    proven = run(course, "autor", "validar", "61")
    assert proven.stdout.endswith("1 lecciones, ningún hallazgo.\n"), proven

    with portal(course) as address:
        page.goto(f"{address}/leccion/61_prueba")
        page.get_by_role("button", name="Arrancar la mini-app").click()
        expect(page.frame_locator("iframe").locator("#text")).to_contain_text("Hola")
        page.locator("#ejercicios").get_by_role("link", name="61.1 ·").click()
        page.get_by_role("button", name="Comprobar ahora").click()
        expect(page.locator(".check.failed")).not_to_have_count(0)
        solution = (course / "solutions" / "61_prueba" / "e1_saludo.py").read_text(encoding="utf-8")
        (course / "exercises" / "61_prueba" / "e1_saludo.py").write_text(solution, encoding="utf-8")
        expect(page.locator(".celebration")).to_contain_text("¡Superado!")


def add_to_the_map(path: Path) -> None:
    row = "| La idea | [La idea](../lessons/61_prueba/README.md#la-idea) | el saludo | 61.1 |"
    header = "| Apartado | En la lección | En la mini-app | Ejercicio |\n| --- | --- | --- | --- |"
    with path.open("a", encoding="utf-8") as theory:
        theory.write(f"\n## 61 Prueba\n\n{header}\n{row}\n")
