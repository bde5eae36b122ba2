"""El curso entero: cada lección escrita es sólida, y lo que dicen los documentos es verdad."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from taller.authoring.exercise import prove
from taller.authoring.theory import check_links
from taller.authoring.validate import check_files
from taller.catalog import ROOT, Exercise, Lesson, exercises, find_exercise, find_lesson, lessons
from taller.checker import Checker
from taller.cli.main import cli

WRITTEN = [lesson for lesson in lessons() if lesson.written]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *(lesson.readme for lesson in lessons())]


def tracked() -> Iterator[Path]:
    """Los archivos de texto del repositorio; en una copia sin git, los que hay."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    names = listed.stdout.split("\0") if listed.returncode == 0 else []
    paths = [ROOT / name for name in names if name] or [path for path in ROOT.rglob("*") if ".venv" not in path.parts]
    for path in paths:
        if path.is_file() and path.suffix not in {".png", ".svg", ".ico"}:
            yield path


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    with Checker.start() as checker:
        checker.wait_warm()
        yield checker


@pytest.mark.parametrize("lesson", WRITTEN, ids=lambda lesson: lesson.slug)
def test_a_written_lesson_has_all_its_parts(lesson: Lesson) -> None:
    assert [str(finding) for finding in check_files(lesson)] == []


@pytest.mark.timeout(900)
@pytest.mark.parametrize("exercise", exercises(), ids=lambda exercise: exercise.id)
def test_an_exercise_is_solid(exercise: Exercise, checker: Checker) -> None:
    """El esqueleto falla, la solución pasa y cada variante cae en el control que la nombra.

    Las de un proyecto arrancan una ciudad entera cada una, y son minutos: las prueba `autor validar 10`.
    """
    findings = asyncio.run(prove(exercise, checker, with_variants=exercise.lesson.package is None))
    assert [str(finding) for finding in findings] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document: Path) -> None:
    assert [str(finding) for finding in check_links(document, ROOT)] == []


COMMAND = re.compile(r"python3 curso\.py((?: [a-z0-9.-][\w.-]*)+)")


def test_each_command_that_somebody_is_told_to_type_exists() -> None:
    sources = [path for folder in ("taller", "solutions", "checks") for path in ROOT.glob(f"{folder}/**/*.py")]
    told = {words for path in [*DOCUMENTS, *sources] for words in COMMAND.findall(path.read_text(encoding="utf-8"))}
    assert len(told) > 50
    for words in told:
        assert understood(words.split()), words


def understood(words: list[str]) -> bool:
    """Si la orden, sus opciones y la lección o el ejercicio que nombra existen; no la ejecuta."""
    command: click.Command = cli
    rest = iter(words)
    for word in rest:
        if word.startswith("--"):
            known = {name: option for option in command.params for name in option.opts + option.secondary_opts}
            if word != "--ayuda" and word not in known:
                return False
            if word in known and not getattr(known[word], "is_flag", False):
                next(rest, None)
        elif isinstance(command, click.Group):
            if word not in command.commands:
                return False
            command = command.commands[word]
        elif re.fullmatch(r"0\d|10|\d+\.\d+", word):
            find_exercise(word) if "." in word else find_lesson(word)
    return True


def test_the_map_in_the_readme_tells_the_state_of_each_lesson() -> None:
    rows = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    for lesson in lessons():
        row = next(row for row in rows if f"lessons/{lesson.slug}/README.md" in row)
        state = f"{len(lesson.exercises)} ejercicios" if lesson.written else "por escribir"
        assert row.endswith(f"| {state} |"), row


def test_nothing_names_a_machine_or_a_registry() -> None:
    forbidden = re.compile(
        r"(/root/|/home/\w|/work/|/Users/\w|https?://(?:[\w.-]*\.)?(?:pypi|pythonhosted|npmjs)\.org)"
    )
    for path in tracked():
        if path.name != "test_course.py":
            found = forbidden.search(path.read_text(encoding="utf-8", errors="replace"))
            assert found is None, f"{path.relative_to(ROOT)}: {found}"


def test_the_lock_has_a_hash_for_everything_and_no_addresses() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in lock
    for requirement in re.findall(r"(?m)^\S+==(?:.*\\\n)*.*$", lock):
        assert "--hash=sha256:" in requirement, requirement


def test_modules_stay_small() -> None:
    for path in (ROOT / "taller").rglob("*.py"):
        assert path.read_text(encoding="utf-8").count("\n") <= 350, path


@pytest.mark.timeout(180)
@pytest.mark.parametrize("tool", ["ruff check", "ruff format --check", "mypy"])
def test_the_code_is_clean(tool: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", *tool.split()], cwd=ROOT, capture_output=True, text=True, timeout=170, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
