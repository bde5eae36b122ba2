"""Programar en directo: los pasos, lo que cambia entre ellos y una copia de trabajo en la que nada se pierde."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from taller.authoring.new_lesson import create_lesson
from taller.catalog import ROOT, CatalogError, Lesson, find_lesson, lessons
from taller.livecoding import find_step, go_to, steps, working_copy


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def lesson(tmp_path: Path) -> Lesson:
    """Una lección con dos pasos."""
    (tmp_path / "lessons").mkdir()
    list(create_lesson("61_prueba", tmp_path))
    lesson = find_lesson("61", tmp_path)
    first = steps(lesson)[0]
    second = first.source.replace("Paso 1.", "Paso 2.").replace("mundo", "planeta")
    first.path.with_name("paso_2.py").write_text(second, encoding="utf-8")
    return lesson


def test_a_step_tells_what_to_say_and_what_changes(lesson: Lesson) -> None:
    first, second = steps(lesson)
    assert first.speech.startswith("Paso 1. Una ruta que saluda.")
    assert first.changes_since(None).count("\n+") > 5
    changes = second.changes_since(first)
    assert '-async def hello(name: str = "mundo") -> dict[str, str]:' in changes
    assert '+async def hello(name: str = "planeta") -> dict[str, str]:' in changes


def test_a_step_of_the_course_says_its_title_what_to_say_and_how_long_it_takes() -> None:
    second = find_step(find_lesson("02"), 2)
    assert second.title == "Un protocolo. Mensajes con tipo, y errores que no matan la conexión"
    assert second.notes["Di"].startswith("«WebSocket lleva textos;")
    assert "Arranca" not in second.notes["Enseña"]
    assert second.minutes == int(second.notes["Minutos"])
    assert not any(line.startswith(('"""', "Di:")) for line in second.code)


@pytest.mark.parametrize("slug", [lesson.slug for lesson in lessons() if lesson.written])
def test_every_step_says_how_long_it_takes(slug: str) -> None:
    assert all(step.minutes and {"Di", "Enseña"} <= set(step.notes) for step in steps(find_lesson(slug)))


def test_the_guide_adds_up_the_minutes_of_each_lesson() -> None:
    guide = (ROOT / "docs" / "guia_docente.md").read_text(encoding="utf-8")
    written = [lesson for lesson in lessons() if lesson.written]
    minutes = [sum(step.minutes for step in steps(lesson)) for lesson in written]
    assert f"| | {' | '.join(f'{lesson.number:02}' for lesson in written)} |" in guide
    assert f"| minutos en directo | {' | '.join(map(str, minutes))} |" in guide


def test_going_to_a_step_keeps_what_the_teacher_had_written(lesson: Lesson) -> None:
    first, second = steps(lesson)
    folder = working_copy(first)
    live = folder / "vivo.py"
    assert live.read_text(encoding="utf-8") == first.source
    assert go_to(second, folder) is None
    live.write_text("# lo que he improvisado\n", encoding="utf-8")
    backup = go_to(first, folder)
    assert backup is not None
    assert backup.read_text(encoding="utf-8") == "# lo que he improvisado\n"
    assert live.read_text(encoding="utf-8") == first.source


def test_a_step_that_is_not_there_is_said(lesson: Lesson) -> None:
    with pytest.raises(CatalogError, match=r"va del 1 al 2\. Empieza con: python3 curso\.py vivo 61 --paso 1"):
        find_step(lesson, 9)


def test_a_step_of_a_real_lesson_is_served(free_port: int, tmp_path: Path) -> None:
    # En una copia: la carpeta .taller/vivo de verdad puede tener una clase a medias.
    for part in ("taller", "lessons/02_websockets"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "taller", "vivo", "02", "--paso", "1", "--puerto", str(free_port)]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    with process:
        assert process.stdout is not None
        try:
            shown = ""
            while "Application startup complete" not in shown:
                line = process.stdout.readline()
                assert line, shown
                shown += line
            assert re.search(r"Paso 1 de \d", shown)
            assert "python3 curso.py vivo 02 --paso 2" in shown
            assert httpx.get(f"http://127.0.0.1:{free_port}/").status_code == 200
        finally:
            os.killpg(process.pid, signal.SIGKILL)
