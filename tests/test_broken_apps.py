"""Apps rotas de todas las maneras: cada una acaba en su plazo, se explica y no deja nada detrás.

Cada archivo de `tests/broken/` dice en su primera línea lo que el estudiante debe leer.
"""

import asyncio
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from taller.catalog import ROOT, find_exercise
from taller.checker import Checker
from taller.verdicts import ExerciseVerdict

BROKEN = sorted((Path(__file__).parent / "broken").glob("*.py"))
EXERCISE = find_exercise("2.1")
DEADLINE = 12.0


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Una carpeta temporal propia: lo que quede en ella es nuestro, y en su nombre se reconocen los procesos."""
    # Corta, porque dentro van sockets Unix.
    folder = Path(tempfile.mkdtemp(prefix="rotas-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", None)
        yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def checker(scratch: Path) -> Iterator[Checker]:
    with Checker.start() as checker:
        checker.wait_warm()
        yield checker


def traces(scratch: Path) -> tuple[set[str], set[str]]:
    """Los procesos que arrancamos nosotros y siguen vivos, y lo que hay en nuestra carpeta temporal."""
    processes = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if str(scratch).encode() in (folder / "environ").read_bytes():
                processes.add(folder.name)
        except OSError:
            continue
    return processes, {path.name for path in scratch.iterdir()}


async def check_broken(checker: Checker, source: Path, folder: Path) -> ExerciseVerdict:
    (folder / EXERCISE.lesson.slug).mkdir(exist_ok=True)
    shutil.copy(source, folder / EXERCISE.relative)
    return await checker.check(EXERCISE, folder)


def assert_only(before: tuple[set[str], set[str]], scratch: Path) -> None:
    """No queda nada más que lo que había: los supervisores terminan de limpiar milisegundos después del veredicto."""
    deadline = time.monotonic() + 5.0
    while (after := traces(scratch)) != before and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert after[0] <= before[0], "han quedado procesos"
    assert after[1] <= before[1], "han quedado carpetas temporales"


def expected_texts(source: Path) -> list[str]:
    """Lo que debe leer el estudiante; con `//`, cualquiera de varias cosas, según lo rápida que sea la máquina."""
    first = source.read_bytes().decode("utf-8", "replace").partition("\n")[0]
    return (first.removeprefix('"""Espera: ').removesuffix('"""') or "no define «app»").split(" // ")


@pytest.mark.parametrize("source", BROKEN, ids=lambda path: path.stem)
def test_a_broken_app_is_explained_and_leaves_nothing(
    checker: Checker, scratch: Path, source: Path, tmp_path: Path
) -> None:
    before = traces(scratch)
    started = time.monotonic()
    verdict = asyncio.run(check_broken(checker, source, tmp_path))
    assert time.monotonic() - started < DEADLINE
    failed = [check for check in verdict.checks if check.status == "failed"]
    assert failed, verdict
    told = f"{failed[0].expected} | {failed[0].received}"
    assert any(text in told for text in expected_texts(source)), told
    assert not verdict.passed
    assert failed[0].hint
    assert_only(before, scratch)


def test_a_missing_file_is_said(checker: Checker, tmp_path: Path) -> None:
    (tmp_path / EXERCISE.lesson.slug).mkdir()
    verdict = asyncio.run(checker.check(EXERCISE, tmp_path))
    assert "No existe e1_eco.py" in verdict.checks[0].received
    assert {check.status for check in verdict.checks[1:]} == {"skipped"}


SECOND_TIME = """
import os
if "MAX_CONNECTIONS" in os.environ:
    raise RuntimeError("con otros ajustes, no")
"""


def test_an_app_that_does_not_start_with_other_settings_only_fails_there(checker: Checker, tmp_path: Path) -> None:
    """Ni se dice que no arranca, que arranca, ni se dejan de mirar los demás controles."""
    exercise = find_exercise("2.4")
    (tmp_path / exercise.lesson.slug).mkdir()
    text = (ROOT / "solutions" / exercise.relative).read_text(encoding="utf-8")
    (tmp_path / exercise.relative).write_text(f"{text}\n{SECOND_TIME}", encoding="utf-8")
    verdict = asyncio.run(checker.check(exercise, tmp_path))
    (failed,) = [check for check in verdict.checks if check.status == "failed"]
    assert "con otros ajustes, no" in failed.received
    assert "no arranca" not in "".join(failed.hints)
    assert {check.status for check in verdict.checks if check is not failed} == {"passed"}


def test_a_cancelled_check_leaves_nothing(checker: Checker, scratch: Path, tmp_path: Path) -> None:
    async def cancel_half_way() -> None:
        started = asyncio.Event()
        source = Path(__file__).parent / "broken" / "never_answers.py"
        (tmp_path / EXERCISE.lesson.slug).mkdir()
        shutil.copy(source, tmp_path / EXERCISE.relative)
        task = asyncio.create_task(checker.check(EXERCISE, tmp_path, on_event=lambda event: started.set()))
        await asyncio.wait_for(started.wait(), DEADLINE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    before = traces(scratch)
    asyncio.run(cancel_half_way())
    assert_only(before, scratch)
