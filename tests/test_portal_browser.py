"""El portal como lo usa un estudiante: en un navegador de verdad, guardando su archivo en el editor."""

import re
import smtplib
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from conftest import CourseCopy
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect
from portal_process import Portal

EXERCISE = "/leccion/02_websockets/2.1"
DEADLINE_MS = 15_000


@pytest.fixture
def portal(tmp_path: Path, course_copy: CourseCopy) -> Iterator[Portal]:
    root = course_copy(tmp_path)
    (root / "lessons" / "02_websockets" / "README.md").write_text(readme(root), encoding="utf-8")
    running = Portal(root)
    yield running
    if running.process.poll() is None:
        running.stop()


def readme(root: Path) -> str:
    """Una lección con las secciones a las que mandan los controles, y texto para que haya que bajar hasta ellas."""
    checks = (root / "checks" / "02_websockets" / "test_e1_eco.py").read_text(encoding="utf-8")
    anchors = dict.fromkeys(re.findall(r'(?i:section) ?= ?"([^"]+)"', checks))
    sections = [f"## {anchor.replace('-', ' ')}\n" + "\nUn párrafo.\n" * 20 for anchor in anchors]
    return "\n".join(["# Lección 2 · WebSockets de prueba\n", *sections])


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context(viewport={"width": 1400, "height": 900}, locale="es")
    opened.set_default_timeout(DEADLINE_MS)
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """Una pestaña en la que no puede fallar nada por dentro ni tropezar con la política de contenido."""
    expect.set_options(timeout=DEADLINE_MS)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if "Content Security" in message.text else None)
    yield page
    assert errors == []


def live(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator("#connection")).to_have_text("en vivo")


def save(portal: Portal, text: str) -> None:
    portal.student_file().write_text(text, encoding="utf-8")


def broken(portal: Portal) -> str:
    text = portal.solution().replace('ProtocolError("invalid_json")', 'ProtocolError("<img src=x onerror=alert(1)>")')
    assert text != portal.solution()
    return text


def test_a_student_reads_plays_fails_and_passes(portal: Portal, page: Page) -> None:
    live(page, portal.url)
    page.get_by_role("link", name="Leer la lección").click()
    expect(page.get_by_role("heading", name="Lección 2 · WebSockets de prueba")).to_be_visible()

    page.get_by_role("button", name="Arrancar la mini-app").click()
    expect(page.frame_locator("iframe").locator("h1")).to_be_visible()
    expect(page.locator(".demo [data-part=state]")).to_have_text("en marcha")

    page.locator("#ejercicios").get_by_role("link", name="2.1 ·").click()
    expect(page.locator("#connection")).to_have_text("en vivo")
    expect(page.locator(".verdict .badge")).to_have_text("sin comprobar")
    page.evaluate("window.sameDocument = true")

    page.get_by_role("button", name="Comprobar ahora").click()
    expect(page.locator(".verdict .badge")).to_have_text("aún no")
    save(portal, portal.solution())
    expect(page.locator(".celebration")).to_contain_text("¡Superado!")
    expect(page.locator("#announcer")).to_contain_text("2.1: superado")
    expect(page.locator(".check.passed")).to_have_count(page.locator(".check").count())

    save(portal, broken(portal))
    expect(page.locator(".verdict .badge")).to_have_text("aún no")
    failed = page.locator(".check.failed").first
    expect(failed.locator("dd.wanted")).to_contain_text("invalid_json")
    expect(failed.locator("dd.got")).to_contain_text("<img src=x onerror=alert(1)>")
    expect(failed.locator("dd.got mark").first).to_be_visible()
    expect(page.locator("#announcer")).to_contain_text("Falla")

    failed.get_by_role("button", name="Dame una pista").click()
    expect(failed.locator(".hints li")).to_have_count(1)
    failed.locator(".what-happened > summary").click()
    expect(failed.locator(".sequence svg .tip").first).to_be_visible()
    expect(failed.locator(".sequence .participant").nth(1)).to_contain_text("app")
    step_through(failed)
    failed.get_by_text("Lo mismo, en una lista").click()
    expect(failed.locator(".story-list li").first).to_be_visible()
    assert page.evaluate("window.sameDocument") is True

    section = failed.get_by_role("link", name="Repásalo en la lección")
    anchor = (section.get_attribute("href") or "").partition("#")[2]
    section.click()
    expect(page.locator(f"[id='{anchor}']")).to_be_in_viewport()


def step_through(failed: Locator) -> None:
    """Los mandos del diagrama: hacia atrás, de una vez al principio, y solo hasta el final."""
    steps = failed.locator(".sequence .step").count()
    failed.get_by_role("button", name="Paso anterior").click()
    expect(failed.locator(".sequence .future")).to_have_count(1)
    failed.get_by_role("slider", name="Paso").press("Home")
    expect(failed.locator(".sequence .future")).to_have_count(steps - 1)
    expect(failed.locator(".player output")).to_have_text(f"Paso 1 de {steps}")
    failed.get_by_role("button", name="Reproducir").click()
    expect(failed.locator(".sequence .future")).to_have_count(0)
    expect(failed.get_by_role("button", name="Reproducir")).to_be_visible()


def test_a_known_misconception_is_named(portal: Portal, page: Page) -> None:
    live(page, f"{portal.url}{EXERCISE}")
    shared = portal.solution().replace("    session = Session()\n", "")
    assert shared != portal.solution()
    save(portal, f"{shared}\n\nsession = Session()\n")
    expect(page.locator(".misconception")).to_contain_text("Puede ser esto: Lo que se crea fuera de la función")


def test_a_page_left_open_survives_a_restart_of_the_portal(portal: Portal, page: Page) -> None:
    live(page, portal.url + EXERCISE)
    save(portal, broken(portal))
    expect(page.locator(".verdict .badge")).to_have_text("aún no")
    page.evaluate("window.sameDocument = true")
    portal.stop()
    expect(page.locator("#connection")).to_have_text("sin conexión: reconectando…")
    save(portal, portal.solution())
    again = Portal(portal.root, portal.port)
    try:
        expect(page.locator("#connection")).to_have_text("en vivo")
        expect(page.locator(".celebration")).to_be_visible()
        assert page.evaluate("window.sameDocument") is True
    finally:
        again.stop()


def test_start_again_and_give_up_ask_first(portal: Portal, page: Page) -> None:
    save(portal, broken(portal))
    live(page, portal.url + EXERCISE)
    expect(page.locator(".verdict .badge")).to_have_text("aún no")
    page.get_by_role("button", name="Empezar de nuevo").click()
    page.get_by_role("button", name="Mejor no").click()
    assert portal.student_file().read_text(encoding="utf-8") == broken(portal)
    page.get_by_role("button", name="Empezar de nuevo").click()
    page.get_by_role("button", name="Sí, adelante").click()
    expect(page.locator(".told")).to_contain_text(".taller/copias/2.1-")
    page.get_by_role("button", name="Deshacer").click()
    expect(page.locator(".told")).to_contain_text("Recuperado")
    assert portal.student_file().read_text(encoding="utf-8") == broken(portal)

    page.get_by_role("link", name="Ver la solución").click()
    page.get_by_role("button", name="Me rindo").click()
    page.keyboard.press("Escape")
    expect(page.locator("table.diff")).to_have_count(0)
    page.get_by_role("button", name="Me rindo").click()
    page.get_by_role("button", name="Sí, adelante").click()
    expect(page.locator("table.diff .its").first).to_be_visible()


def test_a_deleted_file_offers_to_restore_it(portal: Portal, page: Page) -> None:
    live(page, portal.url + EXERCISE)
    portal.student_file().unlink()
    expect(page.locator(".verdict .badge")).to_have_text("falta el archivo")
    page.get_by_role("button", name="Restaurar el archivo").click()
    expect(page.locator(".verdict .badge")).to_have_text("aún no")
    assert portal.student_file().exists()


def test_home_follows_the_progress_without_being_reloaded_by_hand(portal: Portal, page: Page) -> None:
    live(page, portal.url)
    expect(page.locator(".next-exercise")).to_contain_text("2.1")
    save(portal, portal.solution())
    expect(page.locator('[data-chip="2.1"]')).to_contain_text("superado")
    expect(page.locator(".next-exercise")).not_to_contain_text("2.1")


def test_a_crashed_mini_app_says_so_and_starts_again(portal: Portal, page: Page) -> None:
    app = portal.root / "lessons" / "02_websockets" / "app.py"
    works = app.read_text(encoding="utf-8")
    app.write_text("raise RuntimeError('vaya')\n", encoding="utf-8")
    live(page, portal.url + "/leccion/02_websockets")
    page.get_by_role("button", name="Arrancar la mini-app").click()
    expect(page.locator(".demo-crash [data-part=reason]")).to_contain_text("vaya")
    expect(page.locator(".demo-crash [data-part=log]")).to_contain_text("RuntimeError")
    app.write_text(works, encoding="utf-8")
    page.get_by_role("button", name="Arrancarla de nuevo").click()
    expect(page.frame_locator("iframe").locator("h1")).to_be_visible()


@pytest.mark.parametrize("path", ["/", "/leccion/02_websockets", EXERCISE, f"{EXERCISE}/solucion"])
def test_nothing_overflows_a_narrow_window(portal: Portal, browser: Browser, path: str) -> None:
    save(portal, broken(portal))
    portal.http.post("/api/exercises/2.1/solution")
    page = browser.new_page(viewport={"width": 360, "height": 740})
    live(page, portal.url + path)
    if path == EXERCISE:
        page.locator(".check.failed .what-happened > summary").first.click(timeout=DEADLINE_MS)
        expect(page.locator(".sequence svg").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.close()


def test_works_with_the_keyboard_alone(portal: Portal, page: Page) -> None:
    save(portal, broken(portal))
    live(page, portal.url + EXERCISE)
    expect(page.locator(".check.failed").first).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Saltar al contenido")).to_be_focused()
    page.keyboard.press("Enter")
    hint = page.get_by_role("button", name="Dame una pista").first
    for _ in range(30):
        page.keyboard.press("Tab")
        if hint.evaluate("element => element === document.activeElement"):
            break
    expect(hint).to_be_focused()
    page.keyboard.press("Enter")
    # Al llegar la pista se repinta el control; el foco sigue en el botón, para pedir otra.
    expect(page.locator(".hints li").first).to_be_visible()
    expect(page.locator("[data-do=hint]").first).to_be_focused()


def test_each_save_shows_its_own_verdict(portal: Portal, page: Page) -> None:
    """Cuánto tarda lo mide bench/veredicto.py; aquí, que nunca se quede en pantalla el de antes."""
    live(page, portal.url + EXERCISE)
    for text, badge in [(broken(portal), "aún no"), (portal.solution(), "superado")] * 3:
        save(portal, text)
        expect(page.locator(".verdict .badge")).to_have_text(badge)
        expect(page.locator(".verdict.stale")).to_have_count(0)


def test_a_teacher_presents_the_steps_with_the_clock_and_a_remote(portal: Portal, page: Page) -> None:
    live(page, f"{portal.url}/leccion/02_websockets")
    page.get_by_role("link", name="En directo").click()
    expect(page.locator("[data-part=clock]")).to_contain_text("previsto hasta aquí")
    page.get_by_role("button", name="Empezar a contar").click()
    expect(page.locator("[data-part=clock]")).to_contain_text("para acabar este paso")
    page.keyboard.press("PageDown")
    expect(page.locator(".presenter .eyebrow")).to_contain_text("Paso 2 de 5")
    expect(page.locator("[data-part=clock]")).to_contain_text("para acabar este paso")
    expect(page.locator(".changes .added").first).to_be_visible()
    page.get_by_role("button", name="Poner este paso en vivo.py").click()
    expect(page.locator(".told")).to_contain_text("Hecho")
    step = portal.root / "lessons" / "02_websockets" / "pasos" / "paso_2.py"
    copy = portal.root / ".taller" / "vivo" / "02_websockets" / "vivo.py"
    assert copy.read_text(encoding="utf-8") == step.read_text(encoding="utf-8")


def test_services_are_started_used_and_stopped_from_their_page(portal: Portal, page: Page) -> None:
    live(page, portal.url)
    page.get_by_role("link", name="Servicios").click()
    page.get_by_role("button", name="Arrancar").click()
    expect(page.locator("[data-part=state]")).to_have_text("en marcha")
    expect(page.locator(".servers")).to_contain_text("export DATABASE_URL=postgresql://")
    page.locator(".servers details").nth(1).get_by_text("Lo que escribe").click()
    expect(page.locator(".servers pre").nth(1)).to_contain_text("database system is ready")

    send_mail(page.locator(".servers code", has_text="SMTP_URL").inner_text())
    expect(page.frame_locator("iframe").get_by_text("Hola desde fuera")).to_be_visible()
    page.get_by_role("button", name="Parar").click()
    expect(page.locator("[data-part=state]")).to_have_text("parados")
    expect(page.locator(".servers section")).to_have_count(0)


def send_mail(order: str) -> None:
    address = urlsplit(order.partition("=")[2])
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "ana@example.com", "luis@example.com", "Hola desde fuera"
    with smtplib.SMTP(str(address.hostname), address.port or 0, timeout=10) as smtp:
        smtp.send_message(message)
