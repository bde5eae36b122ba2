"""El portal visto por HTTP: páginas, veredictos en vivo, progreso y mini-apps, con un servidor de verdad."""

import asyncio
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import CourseCopy
from portal_process import Portal, portal_on, refused

from taller.anchors import github_anchor
from taller.catalog import Lesson
from taller.portal import PortalError, serve_portal
from taller.portal.hub import BACKLOG, Hub, as_event
from taller.portal.markdown import render_lesson, render_statement

README = """# Lección 2 · Prueba de WebSockets

> **Trampa: esto falla.** Y aquí se explica.

## Entradas inválidas: contestar y seguir

Abre [el eco](../../exercises/02_websockets/e1_eco.py) o la [lección 3](../03_tareas/README.md#algo).

![Tramas](img/tramas.svg)

## Entradas inválidas: contestar y seguir

```python
x = 1
```
"""
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>'


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory, course_copy: CourseCopy) -> Iterator[Portal]:
    root = course_copy(tmp_path_factory.mktemp("portal"))
    lesson = root / "lessons" / "02_websockets"
    (lesson / "README.md").write_text(README, encoding="utf-8")
    (lesson / "img").mkdir()
    (lesson / "img" / "tramas.svg").write_text(SVG, encoding="utf-8")
    with portal_on(root) as running:
        yield running


@pytest.fixture
def fresh(tmp_path: Path, course_copy: CourseCopy) -> Iterator[Portal]:
    with portal_on(course_copy(tmp_path)) as running:
        yield running


# Páginas


def test_home_lists_the_lessons_and_points_at_the_next_step(portal: Portal) -> None:
    page = portal.http.get("/").text
    assert page.index("Prueba de WebSockets") < page.index("Esta lección aún no está escrita")
    following = page[page.index("Sigue por aquí") :]
    assert 'href="/leccion/02_websockets/2.1"' in following[:600]
    assert "sin empezar" in page


def test_lesson_is_rendered_with_github_anchors_and_useful_links(portal: Portal) -> None:
    page = portal.http.get("/leccion/02_websockets").text
    assert '<h2 id="entradas-inválidas-contestar-y-seguir">' in page
    assert '<h2 id="entradas-inválidas-contestar-y-seguir-1">' in page
    assert '<blockquote class="trampa">' in page
    assert 'href="/leccion/03_tareas#algo"' in page
    assert "abre este archivo en tu editor: <code>exercises/02_websockets/e1_eco.py</code>" in page
    assert 'src="/files/02_websockets/img/tramas.svg"' in page
    assert '<pre class="highlight"' in page


def test_only_the_images_of_a_lesson_are_served(portal: Portal) -> None:
    image = portal.http.get("/files/02_websockets/img/tramas.svg")
    assert (image.status_code, image.text) == (200, SVG)
    (portal.root / "secreto.svg").write_text(SVG, encoding="utf-8")
    for path in ("app.py", "README.md", "img", "no.svg", "%2e%2e/%2e%2e/secreto.svg", "..%2f..%2fsecreto.svg"):
        assert portal.http.get(f"/files/02_websockets/{path}").status_code == 404


def test_what_does_not_exist_is_said_in_spanish(portal: Portal) -> None:
    for path in ("/leccion/99_nada", "/leccion/02_websockets/9.9", "/leccion/03_tareas/2.1", "/nada"):
        answer = portal.http.get(path)
        assert answer.status_code == 404
        assert "Volver a las lecciones" in answer.text
    answer = portal.http.post("/api/exercises/9.9/check")
    assert (answer.status_code, answer.json()["detail"][:24]) == (404, "No hay ningún ejercicio ")


def test_unwritten_lesson_has_a_page_that_says_so(portal: Portal) -> None:
    assert "Esta lección aún no está escrita" in portal.http.get("/leccion/03_tareas").text
    assert portal.http.post("/api/demos/03_tareas").status_code == 404


def test_statement_never_lets_html_through() -> None:
    html = render_statement("Hola <script>x</script> y `código`\n\n    <b>bloque</b>")
    assert "<script>" not in html
    assert "<b>" not in html
    assert "<code>código</code>" in html


def test_columns_of_figures_are_aligned_without_inline_style() -> None:
    html = render_statement("| a | b |\n| --- | ---: |\n| uno | 1 |\n")
    assert '<th class="num">b</th>' in html
    assert '<td class="num">1</td>' in html
    assert "style" not in html


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("El estado de cada conexión", "el-estado-de-cada-conexión"),
        ("¿Qué son?", "qué-son"),
        ("SSE vs WebSockets: cuándo", "sse-vs-websockets-cuándo"),
        ("`async def` y a_b", "async-def-y-a_b"),
    ],
)
def test_anchors_are_those_of_github(heading: str, anchor: str) -> None:
    assert github_anchor(heading.replace("`", "")) == anchor
    assert render_lesson(f"## {heading}", Lesson("02_websockets")).headings[0].anchor == anchor


# Veredictos en vivo


def test_a_save_runs_the_checks_and_pushes_each_result(fresh: Portal) -> None:
    with fresh.events(lesson="02_websockets", exercise="2.1") as events:
        states = {card["id"]: card["state"] for card in events.until("snapshot")["exercises"]}
        assert states["2.1"] == "idle"
        fresh.student_file().write_text(fresh.solution(), encoding="utf-8")
        done = events.until("finished")
    names = [name for name, _ in events.seen]
    total = done["total"]
    assert names[-total - 3 :] == ["running", "collected", *["check"] * total, "finished"]
    assert (done["id"], done["state"], done["passed"]) == ("2.1", "passed", total)
    assert done["record"]["passed_at"]
    assert fresh.progress()["2.1"]["points"] == total
    assert "superado" in fresh.http.get("/").text


def test_a_newer_save_cancels_the_run_it_makes_stale(fresh: Portal) -> None:
    with fresh.events(lesson="02_websockets", exercise="2.1") as events:
        events.until("snapshot")
        fresh.student_file().write_text("import time\nwhile True: time.sleep(1)\n", encoding="utf-8")
        events.until("collected")
        started = time.monotonic()
        fresh.student_file().write_text(fresh.solution(), encoding="utf-8")
        done = events.until("finished")
    assert done["state"] == "passed"
    assert time.monotonic() - started < 4
    assert done["record"]["attempts"] == 1


def test_hints_stay_hidden_until_they_are_asked_for(fresh: Portal) -> None:
    with fresh.events(lesson="02_websockets") as events:
        events.until("snapshot")
        assert fresh.http.post("/api/exercises/2.1/check").status_code == 202
        failed = events.until("check", lambda data: data["check"]["status"] == "failed")["check"]
        assert failed["hints"] == []
        assert failed["hints_left"] > 1
        assert failed["expected"]
        assert failed["received"]
        assert failed["transcript"][0].keys() == {"t", "from", "to", "kind", "text"}
        events.until("finished")
        hints = f"/api/exercises/2.1/checks/{failed['number']}/hints"
        for opened in range(1, failed["hints_left"] + 1):
            assert fresh.http.post(hints).status_code == 204
            check = events.until("check")["check"]
            assert (len(check["hints"]), check["hints_left"]) == (opened, failed["hints_left"] - opened)
    assert fresh.http.post(hints).status_code == 409
    assert fresh.progress()["2.1"]["hints_seen"] == failed["hints_left"]
    with fresh.events(lesson="02_websockets") as events:
        card = next(card for card in events.until("snapshot")["exercises"] if card["id"] == "2.1")
    again = next(check for check in card["checks"] if check["number"] == failed["number"])
    assert again["hints_left"] == 0


def test_a_deleted_file_is_noticed_and_can_be_restored(fresh: Portal) -> None:
    pristine = fresh.student_file().read_text(encoding="utf-8")
    with fresh.events(lesson="02_websockets") as events:
        events.until("snapshot")
        fresh.student_file().unlink()
        assert events.until("finished")["state"] == "missing"
        assert fresh.http.post("/api/exercises/2.1/restore").status_code == 204
        assert events.until("finished")["state"] == "failed"
    assert fresh.student_file().read_text(encoding="utf-8") == pristine


def test_starting_again_keeps_a_copy_of_what_there_was(fresh: Portal) -> None:
    pristine = fresh.student_file().read_text(encoding="utf-8")
    fresh.student_file().write_text("# mío\n", encoding="utf-8")
    backup = fresh.http.post("/api/exercises/2.1/reset").json()["backup"]
    assert backup.startswith(".taller/copias/2.1-")
    assert (fresh.root / backup / "02_websockets" / "e1_eco.py").read_text(encoding="utf-8") == "# mío\n"
    assert fresh.student_file().read_text(encoding="utf-8") == pristine
    assert fresh.http.delete("/api/exercises/2.1/reset").status_code == 204
    assert fresh.student_file().read_text(encoding="utf-8") == "# mío\n"
    assert fresh.http.delete("/api/exercises/2.2/reset").status_code == 409


def test_the_solution_is_shown_after_giving_up_and_it_is_noted(fresh: Portal) -> None:
    path = "/leccion/02_websockets/2.1/solucion"
    page = fresh.http.get(path).text
    assert "Me rindo" in page
    assert 'class="diff' not in page
    assert fresh.http.post("/api/exercises/2.1/solution").status_code == 204
    page = fresh.http.get(path).text
    assert 'class="diff' in page
    assert "invalid_message" in page
    assert "#:" not in page
    assert "endregion" not in page
    assert fresh.progress()["2.1"]["solution_seen"] is True


def test_a_fault_of_the_course_is_said_and_the_next_save_is_checked(fresh: Portal) -> None:
    """Sin esto, la página se quedaría diciendo que comprueba."""
    symptoms = fresh.root / "checks" / "02_websockets" / "symptoms_e1_eco.json"
    before = symptoms.read_text(encoding="utf-8")
    symptoms.write_text("{", encoding="utf-8")
    with fresh.events(lesson="02_websockets") as events:
        events.until("snapshot")
        fresh.student_file().write_text(fresh.solution().replace('"echo"', '"eco"'), encoding="utf-8")
        assert events.until("finished")["state"] == "problem"
        symptoms.write_text(before, encoding="utf-8")
        fresh.student_file().write_text(fresh.solution(), encoding="utf-8")
        assert events.until("finished")["state"] == "passed"


# Progreso con problemas


def test_damaged_progress_is_set_aside_with_a_warning(tmp_path: Path, course_copy: CourseCopy) -> None:
    root = course_copy(tmp_path)
    (root / ".taller").mkdir(exist_ok=True)
    (root / ".taller" / "progreso.json").write_text("{roto", encoding="utf-8")
    with portal_on(root) as portal, portal.events() as events:
        assert "no se entendía" in events.until("snapshot")["trouble"]
    assert len(list((root / ".taller").glob("progreso-ilegible-*.json"))) == 1


def test_progress_that_cannot_be_saved_is_a_banner_and_not_a_crash(fresh: Portal) -> None:
    (fresh.root / ".taller").write_text("esto debería ser una carpeta", encoding="utf-8")
    with fresh.events(lesson="02_websockets") as events:
        assert "progreso.json" in events.until("snapshot")["trouble"]
        fresh.student_file().write_text(fresh.solution(), encoding="utf-8")
        assert events.until("finished")["state"] == "passed"
    assert "superado" in fresh.http.get("/").text


def test_what_could_not_be_saved_is_saved_later(fresh: Portal) -> None:
    obstacle = fresh.root / ".taller" / f"progreso.{fresh.process.pid}.tmp"
    obstacle.mkdir(parents=True)
    with fresh.events(lesson="02_websockets") as events:
        assert events.until("snapshot")["trouble"] == ""
        fresh.student_file().write_text(fresh.solution(), encoding="utf-8")
        assert "No se puede guardar" in events.until("trouble")["text"]
        assert events.until("finished")["record"]["attempts"] == 1
        obstacle.rmdir()
        fresh.http.post("/api/exercises/2.1/check")
        assert events.until("trouble")["text"] == ""
        assert events.until("finished")["record"]["attempts"] == 2
    assert fresh.progress()["2.1"]["attempts"] == 2


# Mini-apps


def test_the_mini_app_starts_on_demand_and_stops(fresh: Portal) -> None:
    state = fresh.http.post("/api/demos/02_websockets").json()
    assert state["state"] == "running"
    assert fresh.http.get(state["url"]).status_code == 200
    again = fresh.http.post("/api/demos/02_websockets").json()
    assert again["url"] == state["url"]
    assert fresh.http.delete("/api/demos/02_websockets").status_code == 204
    assert refused(state["url"])
    assert fresh.http.get("/api/demos/02_websockets").json()["state"] == "stopped"


def test_a_mini_app_that_cannot_start_says_why(fresh: Portal) -> None:
    app = fresh.root / "lessons" / "02_websockets" / "app.py"
    works = app.read_text(encoding="utf-8")
    app.write_text("print('antes de caer')\nraise RuntimeError('vaya')\n", encoding="utf-8")
    state = fresh.http.post("/api/demos/02_websockets").json()
    assert state["state"] == "failed"
    assert "vaya" in state["reason"]
    assert "antes de caer" in state["log"]
    app.write_text(works, encoding="utf-8")
    assert fresh.http.post("/api/demos/02_websockets").json()["state"] == "running"


def test_a_mini_app_that_crashes_is_announced_with_its_log(fresh: Portal) -> None:
    app = fresh.root / "lessons" / "02_websockets" / "app.py"
    app.write_text(
        "import os\nfrom fastapi import FastAPI\napp = FastAPI()\n"
        "@app.get('/die')\ndef die():\n    print('me muero', flush=True)\n    os._exit(3)\n",
        encoding="utf-8",
    )
    with fresh.events(lesson="02_websockets") as events:
        events.until("snapshot")
        url = fresh.http.post("/api/demos/02_websockets").json()["url"]
        assert refused(f"{url}die")
        crash = events.until("demo", lambda data: data["state"] == "failed")
    assert "código 3" in crash["reason"]
    assert "me muero" in crash["log"]


# Arranque y final


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ends_soon_with_streams_and_mini_app_open(fresh: Portal, number: int) -> None:
    url = fresh.http.post("/api/demos/02_websockets").json()["url"]
    with fresh.events(lesson="02_websockets", exercise="2.1") as events:
        events.until("snapshot")
        assert fresh.stop(number) < 5
    assert fresh.process.returncode == 0
    assert fresh.lines[1:] == ["fin"]
    assert refused(url)


def test_a_taken_port_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortalError) as caught:
            asyncio.run(serve_portal(port, lambda url: None))
    assert str(caught.value) == f"El puerto {port} está ocupado. Elige otro: python3 curso.py --puerto {port + 1}"


def test_a_tab_that_does_not_read_gets_the_whole_state_again() -> None:
    async def scenario() -> list[str]:
        hub, names = Hub(), []
        with hub.connected("02_websockets", lambda: as_event("snapshot", {})) as tab:
            stream = tab.events()
            names.append((await anext(stream)).name)
            for _ in range(BACKLOG + 1):
                hub.publish("check", {}, "02_websockets")
            names.append((await anext(stream)).name)
            hub.publish("finished", {})
            hub.publish("check", {}, "03_tareas")
            names.append((await anext(stream)).name)
            hub.close()
            names.extend([event.name async for event in stream])
        return names

    assert asyncio.run(scenario()) == ["snapshot", "snapshot", "finished"]
