"""Los mutantes: qué se cambia y qué no, y que los controles los descubren."""

import asyncio
from pathlib import Path

import pytest

from taller.authoring.exercise import finished, submission
from taller.authoring.mutants import mutants
from taller.authoring.mutation import _passes
from taller.catalog import find_exercise
from taller.checker import Checker

SOURCE = '''"""Nada de aquí cambia: 1 == 1."""

UNTOUCHED = 1 + 1


async def answer(n: int) -> str:
    """Tampoco esto."""
    # region TODO 1: Contesta.
    #: return ""
    ñandú = {"é": 1}
    if n > 3 and n not in (5, 6):
        await sleep(n)
    return "sí" if not n else "no"
    # endregion
'''


def test_each_change_is_one_and_only_in_what_the_student_writes() -> None:
    found = list(mutants(SOURCE))
    assert {(each.was, each.became) for each in found} >= {
        (">", " >= "),
        ("and", " or "),
        ("not in", " in "),
        ("await sleep(n)", "sleep(n)"),
        ("await sleep(n)", "pass"),
        ("not n", "n"),
        ("3", "4"),
        ('return "sí" if not n else "no"', "pass"),
        ('ñandú = {"é": 1}', "pass"),
    }
    assert {each.line for each in found} == {10, 11, 12, 13}
    assert len({each.source for each in found}) == len(found)


@pytest.fixture(scope="module")
def two() -> tuple[str, str]:
    """La solución de 2.1 y uno de sus mutantes."""
    exercise = find_exercise("2.1")
    solution = finished(exercise)[exercise.relative]
    return solution, next(each.source for each in mutants(solution) if each.was.startswith("await"))


@pytest.mark.parametrize("mutated", [False, True])
def test_the_checks_pass_the_solution_and_catch_the_mutant(two: tuple[str, str], mutated: bool) -> None:
    exercise = find_exercise("2.1")

    async def passes(folder: Path) -> bool:
        with Checker.start(thorough=False) as checker:
            return await _passes(exercise, folder, checker)

    with submission(exercise, {exercise.relative: two[mutated]}) as folder:
        assert asyncio.run(passes(folder)) is not mutated
