"""Lo que cuenta la página de la clase."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median, quantiles
from typing import NamedTuple

from taller.grading.reports.changes import Change
from taller.grading.reports.items import ExerciseItem, exercise_items, misconceptions
from taller.grading.reports.names import student_page
from taller.grading.reports.pages import write_page
from taller.grading.reports.platforms import Filled
from taller.grading.reports.similarity import Pair
from taller.grading.results import ClassResults, Grade
from taller.verdicts import ExerciseVerdict

BINS = 10
MOST_MISCONCEPTIONS = 15


class Row(NamedTuple):
    """Una fila del mapa: las celdas van en el orden de los ejercicios de la clase."""

    grade: Grade
    page: str
    cells: list[ExerciseVerdict | None]


class Attention(NamedTuple):
    """Algo que conviene mirar a mano antes de dar las notas por buenas."""

    kind: str
    who: str
    page: str
    text: str


@dataclass(frozen=True)
class Distribution:
    """Cómo se reparten las notas, de 0 a 1; `bins` cuenta las de cada décima parte."""

    bins: list[int]
    mean: float
    quartiles: list[float]

    @classmethod
    def of(cls, marks: list[float]) -> "Distribution":
        bins = [0] * BINS
        for mark in marks:
            bins[min(int(mark * BINS), BINS - 1)] += 1
        # Con una sola nota, todo coincide con ella.
        middle = quantiles(marks, n=4, method="inclusive") if len(marks) > 1 else [median(marks)] * 3
        return cls(bins, mean(marks), middle)


def write_class_page(
    path: Path, results: ClassResults, pairs: list[Pair], sheets: list[Filled], changes: list[Change] | None
) -> Path:
    items = exercise_items(results.grades)
    return write_page(
        path,
        "class.html",
        results=results,
        items=items,
        rows=[_row(grade, items) for grade in results.grades],
        full_marks=_full_marks(results),
        attention=[
            *_problems(results.grades),
            *_unstable(results.grades),
            *_suspect_items(items),
            *_exercise_problems(results.grades),
        ],
        distribution=_distribution(results),
        misconceptions=misconceptions(results.grades)[:MOST_MISCONCEPTIONS],
        pairs=pairs,
        sheets=sheets,
        changes=changes,
    )


def _row(grade: Grade, items: list[ExerciseItem]) -> Row:
    found = {exercise.id: exercise for exercise in grade.exercises}
    return Row(grade, student_page(grade), [found.get(item.id) for item in items])


def _full_marks(results: ClassResults) -> int:
    return max((grade.max_points for grade in results.grades), default=0)


def _distribution(results: ClassResults) -> Distribution | None:
    full_marks = _full_marks(results)
    marks = [grade.points / full_marks for grade in results.grades if not grade.problem] if full_marks else []
    return Distribution.of(marks) if marks else None


def _problems(grades: list[Grade]) -> Iterator[Attention]:
    for grade in grades:
        if grade.problem:
            yield Attention("problema", grade.student, student_page(grade), grade.problem)


def _exercise_problems(grades: list[Grade]) -> Iterator[Attention]:
    """Cada problema de una entrega, una vez, con los ejercicios que lo tienen."""
    for grade in grades:
        found: dict[str, list[str]] = {}
        for exercise in grade.exercises:
            if exercise.problem and not grade.problem:
                found.setdefault(exercise.problem, []).append(exercise.id)
        for problem, ids in found.items():
            yield Attention(
                "problema", grade.student, f"{student_page(grade)}#ejercicio-{ids[0]}", f"{', '.join(ids)}: {problem}"
            )


def _unstable(grades: list[Grade]) -> Iterator[Attention]:
    for grade in grades:
        for exercise in grade.exercises:
            for check in exercise.checks:
                if check.status == "unstable":
                    where = f"{student_page(grade)}#ejercicio-{exercise.id}"
                    text = f"{exercise.id}, control {check.number} «{check.title}»: al repetirlo dio otro resultado."
                    yield Attention("inestable", grade.student, where, text)


def _suspect_items(items: list[ExerciseItem]) -> Iterator[Attention]:
    for item in items:
        for check in item.checks:
            if check.discrimination is not None and check.discrimination < 0:
                text = f"{item.id}, control {check.number} «{check.title}»: lo supera más quien menos puntos tiene."
                yield Attention("control", "Control dudoso", f"#analisis-{item.id}", text)
