"""`autor validar` encuentra cada manera de que una lección no sea sólida."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from whole_course import copy_course, environment

from taller.authoring.excerpts import check_excerpts, update_excerpts
from taller.authoring.exercise import prove
from taller.authoring.new_lesson import create_lesson
from taller.authoring.stability import stability
from taller.authoring.theory import check_links, check_theory
from taller.catalog import Exercise, find_lesson
from taller.checker import Checker


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    with Checker.start() as checker:
        checker.wait_warm()
        yield checker


@pytest.fixture
def exercise(tmp_path: Path) -> Exercise:
    """El ejercicio de una lección recién creada, que es sólido."""
    (tmp_path / "lessons").mkdir()
    list(create_lesson("61_prueba", tmp_path))
    return find_lesson("61", tmp_path).exercises[0]


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def findings(exercise: Exercise, checker: Checker) -> str:
    return "\n".join(str(finding) for finding in asyncio.run(prove(exercise, checker)))


def test_a_new_lesson_is_solid(exercise: Exercise, checker: Checker) -> None:
    assert findings(exercise, checker) == ""


def test_a_solution_that_fails_its_checks(exercise: Exercise, checker: Checker) -> None:
    replace(exercise.solution_file, 'return {"text": f"Hola, {name}"}', 'return {"text": f"Adiós, {name}"}')
    replace(exercise.variants_file, '{"text": f"Hola, {name}"}', '{"text": f"Adiós, {name}"}')
    assert "la solución no pasa test_greeting" in findings(exercise, checker)


def test_a_skeleton_that_already_passes(exercise: Exercise, checker: Checker) -> None:
    replace(exercise.solution_file, '#: return {"text": ""}', '#: return {"text": "Hola, " + name}')
    assert "el esqueleto ya pasa test_greeting" in findings(exercise, checker)


def test_a_skeleton_that_does_not_start(exercise: Exercise, checker: Checker) -> None:
    replace(
        exercise.solution_file,
        "from fastapi import FastAPI\n",
        "from fastapi import FastAPI\n\n# region TODO 2: x\n#: 1 / 0\n# endregion\n",
    )
    assert "el esqueleto no arranca" in findings(exercise, checker)


def test_a_variant_that_no_check_catches(exercise: Exercise, checker: Checker) -> None:
    replace(exercise.variants_file, """'{"text": "Hola, Ana"}'""", """'{"text": f"Hola, {name}", "lang": "es"}'""")
    assert "«same_for_all» no cae en test_greeting, que queda «passed» (lo pasa todo)" in findings(exercise, checker)


def test_a_variant_that_no_longer_applies(exercise: Exercise, checker: Checker) -> None:
    replace(exercise.variants_file, "Hola, {name}", "Buenas, {name}")
    assert "aparece 0 veces en la solución" in findings(exercise, checker)


def test_a_check_that_no_variant_needs(exercise: Exercise, checker: Checker) -> None:
    exercise.variants_file.write_text("", encoding="utf-8")
    assert "ninguna variante necesita el control test_greeting" in findings(exercise, checker)


def test_a_check_that_sends_to_a_section_that_is_not_there(exercise: Exercise, checker: Checker) -> None:
    replace(exercise.check_file, 'section="la-idea"', 'section="otra-idea"')
    assert "remite a #otra-idea, que no está en la lección" in findings(exercise, checker)


def test_a_badly_written_variants_file(exercise: Exercise, checker: Checker) -> None:
    exercise.variants_file.write_text("[a]\ncaught_by = 3\n", encoding="utf-8")
    assert "está mal escrito" in findings(exercise, checker)


def test_an_unstable_check_is_told_with_its_seed(exercise: Exercise, checker: Checker) -> None:
    replace(exercise.check_file, "    expect(response", "    assert rng.random() < 0.5\n    expect(response")
    found = asyncio.run(stability([exercise], checker, 12))
    assert len(found) == 1
    assert "semilla estabilidad-" in str(found[0])


def test_excerpts_are_compared_and_updated(exercise: Exercise) -> None:
    lesson = exercise.lesson
    assert list(check_excerpts(lesson.readme, lesson.root)) == []
    replace(lesson.folder / "app.py", "mundo", "planeta")
    assert "ha cambiado" in str(next(check_excerpts(lesson.readme, lesson.root)))
    assert update_excerpts(lesson.readme, lesson.root)
    assert list(check_excerpts(lesson.readme, lesson.root)) == []
    whole = lesson.readme.read_text(encoding="utf-8")
    code = whole[whole.index("```python\n") + 10 : whole.index("\n```\n") + 1]
    lesson.readme.write_text(whole.replace(code, ""), encoding="utf-8")
    assert update_excerpts(lesson.readme, lesson.root)
    assert lesson.readme.read_text(encoding="utf-8") == whole
    with lesson.readme.open("a", encoding="utf-8") as readme:
        readme.write("\n```python\nprint('suelto')\n```\n")
    assert "no es un extracto" in str(next(check_excerpts(lesson.readme, lesson.root)))


def test_links_and_the_map_of_the_theory(exercise: Exercise) -> None:
    lesson = exercise.lesson
    (lesson.root / "docs").mkdir()
    map_file = lesson.root / "docs" / "mapa_teoria.md"
    map_file.write_text("# Mapa\n", encoding="utf-8")
    assert "no dice dónde está" in str(next(check_theory(lesson)))
    row = "| La idea | [aquí](../lessons/61_prueba/README.md#{}) | … | 61.1 |"
    map_file.write_text(f"# Mapa\n\n## 61 Prueba\n\n{row.format('la-idea')}\n", encoding="utf-8")
    assert list(check_theory(lesson)) == []
    assert list(check_links(map_file, lesson.root)) == []
    map_file.write_text(f"# Mapa\n\n## 61 Prueba\n\n{row.format('nada')}\n", encoding="utf-8")
    assert "lleva a un apartado que no existe" in str(next(check_links(map_file, lesson.root)))


CHECKED_TWICE = """
import asyncio
import subprocess
import sys
from pathlib import Path
from taller.catalog import ROOT, select
from taller.checker import Checker

async def main():
    [exercise] = select("2.1")
    with Checker.start() as checker:
        for _ in range(2):
            await checker.prepare(exercise, ROOT / "solutions")
            verdict = await checker.check(exercise, ROOT / "solutions")
            print(verdict.checks[0].title)
            path = exercise.check_file
            path.write_text(path.read_text("utf-8").replace(verdict.checks[0].title, "Otro título"), "utf-8")

asyncio.run(main())
"""


def test_an_edited_check_is_the_next_one_to_run(tmp_path: Path) -> None:
    """Con los procesos ya calientes, que recogieron los de antes."""
    root = copy_course(tmp_path)
    command = [sys.executable, "-c", CHECKED_TWICE]
    done = subprocess.run(command, cwd=root, env=environment(root), capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[1:] == ["Otro título"], done.stdout + done.stderr
