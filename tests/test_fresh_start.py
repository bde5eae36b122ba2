"""Empezar de nuevo y arrepentirse no pierde nada."""

from pathlib import Path

import pytest
from conftest import CourseCopy
from whole_course import copy_course

from taller.catalog import Exercise, find_exercise
from taller.fresh_start import NothingToUndo, latest, reset, restore, undo
from taller.skeleton import is_edited, skeleton_of


@pytest.fixture
def exercise(course_copy: CourseCopy, tmp_path: Path) -> Exercise:
    return find_exercise("2.1", course_copy(tmp_path))


def write(exercise: Exercise, text: str) -> None:
    exercise.student_file.write_text(text, encoding="utf-8")


def read(exercise: Exercise) -> str:
    return exercise.student_file.read_text(encoding="utf-8")


def test_reset_keeps_what_the_student_had(exercise: Exercise) -> None:
    write(exercise, "mi trabajo\n")
    kept = reset(exercise)
    assert kept
    assert (kept / exercise.relative).read_text(encoding="utf-8") == "mi trabajo\n"
    assert not is_edited(exercise)
    assert reset(exercise) is None


def test_undo_brings_it_back_and_can_itself_be_undone(exercise: Exercise) -> None:
    write(exercise, "primero\n")
    reset(exercise)
    write(exercise, "segundo\n")
    undo(exercise)
    assert read(exercise) == "primero\n"
    undo(exercise)
    assert read(exercise) == "segundo\n"


def test_two_copies_in_one_second_are_two(exercise: Exercise) -> None:
    texts = [f"intento {number}\n" for number in range(3)]
    for text in texts:
        write(exercise, text)
        reset(exercise)
    copies = latest(exercise)
    assert copies
    assert sorted(path.read_text(encoding="utf-8") for path in copies.parent.glob(f"*/{exercise.relative}")) == texts
    undo(exercise)
    assert read(exercise) == texts[-1]


def test_nothing_to_undo(exercise: Exercise) -> None:
    with pytest.raises(NothingToUndo, match=r"python3 curso\.py lista"):
        undo(exercise)
    assert read(exercise) == skeleton_of(exercise)


def test_restoring_a_file_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    """Una etapa de Plaza son muchos archivos: que falte uno no es motivo para perder lo escrito en los demás."""
    stage = find_exercise("10.2", copy_course(tmp_path))
    mine = stage.lesson.root / "exercises" / stage.lesson.slug / "plaza" / "notices.py"
    mine.write_text("mi trabajo\n", encoding="utf-8")
    stage.student_file.unlink()
    restore(stage)
    assert stage.student_file.exists()
    assert mine.read_text(encoding="utf-8") == "mi trabajo\n"
