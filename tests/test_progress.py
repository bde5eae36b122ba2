"""El progreso: se guarda entero, se recupera y, si alguien lo daña, no se pierde nada."""

import json
from pathlib import Path

import pytest

from taller.progress import ProgressError, load_progress
from taller.verdicts import CheckVerdict, ExerciseVerdict, Status


def verdict(*statuses: Status) -> ExerciseVerdict:
    checks = [
        CheckVerdict(number=number, name=f"test_{number}", title="…", status=status, max_points=2)
        for number, status in enumerate(statuses, start=1)
    ]
    return ExerciseVerdict("2.1", "Eco", checks, 0.1)


def test_it_remembers_the_best_attempt_and_when_it_passed(tmp_path: Path) -> None:
    progress = load_progress(tmp_path)
    progress.note(verdict("passed", "failed"))
    progress.note(verdict("failed", "skipped"))
    assert (progress.of("2.1").points, progress.of("2.1").attempts) == (2, 2)
    assert progress.of("2.1").passed_at is None
    progress.note(verdict("passed", "passed"))
    progress.save()
    again = load_progress(tmp_path).of("2.1")
    assert (again.points, again.max_points, again.attempts) == (4, 4, 3)
    assert again.passed_at is not None


@pytest.mark.parametrize("damaged", ["{", "[]", '{"exercises": {"2.1": 3}}', "null", '{"exercises": 3}'])
def test_a_damaged_file_is_set_aside_whole_and_said(tmp_path: Path, damaged: str) -> None:
    path = load_progress(tmp_path).path
    path.parent.mkdir()
    path.write_text(damaged)
    progress = load_progress(tmp_path)
    assert progress.records == {}
    assert progress.warning.endswith("python3 curso.py comprobar")
    kept = [other for other in path.parent.iterdir() if other.name.startswith("progreso-ilegible")]
    assert [other.read_text() for other in kept] == [damaged]
    progress.save()
    assert json.loads(path.read_text())["exercises"] == {}


def test_what_a_newer_course_noted_is_no_damage(tmp_path: Path) -> None:
    saved = {"schema": 1, "exercises": {"2.1": {"points": 3, "seconds_spent": 60}}}
    (tmp_path / ".taller").mkdir()
    (tmp_path / ".taller" / "progreso.json").write_text(json.dumps(saved))
    progress = load_progress(tmp_path)
    assert (progress.of("2.1").points, progress.warning) == (3, "")


def test_a_folder_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    progress = load_progress(tmp_path)
    (tmp_path / ".taller").write_text("un archivo donde debía ir una carpeta")
    with pytest.raises(ProgressError, match=r"python3 curso\.py comprobar") as error:
        progress.save()
    assert "\n" not in str(error.value)
