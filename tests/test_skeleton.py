"""De la solución al esqueleto, y vuelta al principio sin perder lo escrito."""

import textwrap
from pathlib import Path

import pytest

from taller.catalog import Exercise, Lesson
from taller.skeleton import (
    SkeletonError,
    fingerprints,
    generate,
    skeleton_of,
    stored_fingerprints,
    synchronize,
)

SOLUTION = textwrap.dedent('''
    """9.1 Prueba"""

    def twice(x):
        # region TODO 1: Devuelve el doble.
        #   Sin multiplicar.
        #: return 0
        return x + x
        # endregion


    def thrice(x):
        # region TODO 2: Devuelve el triple.
        #: if x:
        #:     return 0
        #: return 1
        return 3 * x
        # endregion
''')


@pytest.fixture
def exercise(tmp_path: Path) -> Exercise:
    (tmp_path / "solutions" / "09_prueba").mkdir(parents=True)
    (tmp_path / "lessons" / "09_prueba").mkdir(parents=True)
    exercise = Exercise(Lesson("09_prueba", tmp_path), 1, "e1_prueba")
    exercise.solution_file.write_text(SOLUTION)
    return exercise


def test_each_region_becomes_its_todo_and_its_starting_code() -> None:
    assert generate(SOLUTION) == textwrap.dedent('''
        """9.1 Prueba"""

        def twice(x):
            # TODO 1: Devuelve el doble.
            #   Sin multiplicar.
            return 0


        def thrice(x):
            # TODO 2: Devuelve el triple.
            if x:
                return 0
            return 1
    ''')


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (SOLUTION.replace("# endregion", "", 1), "falta el «endregion»"),
        (SOLUTION + "# endregion\n", "sobra un «endregion»"),
        (SOLUTION.replace("    #: return 0\n    return x", "    return x"), "falta el código de partida"),
        (SOLUTION.replace("TODO 2", "TODO 1"), "el TODO 1 está repetido"),
        ("x = 1\n", "no tiene ninguna región"),
    ],
)
def test_wrong_marks_are_said_with_their_line(broken: str, said: str) -> None:
    with pytest.raises(SkeletonError, match=said):
        generate(broken)


def test_synchronize_writes_skeletons_and_then_finds_nothing_to_do(exercise: Exercise) -> None:
    (exercise.lesson.root / "exercises").mkdir()
    assert synchronize([exercise], exercise.lesson.root) == [exercise]
    assert exercise.student_file.read_text() == skeleton_of(exercise)
    assert synchronize([exercise], exercise.lesson.root) == []


def test_a_changed_solution_shows_in_the_fingerprints_even_if_the_student_edited(exercise: Exercise) -> None:
    root = exercise.lesson.root
    (root / "exercises").mkdir()
    synchronize([exercise], root)
    exercise.student_file.write_text("mi trabajo\n")
    assert stored_fingerprints(root) == fingerprints([exercise])
    exercise.solution_file.write_text(SOLUTION.replace("el doble", "el doble exacto"))
    assert stored_fingerprints(root) != fingerprints([exercise])
