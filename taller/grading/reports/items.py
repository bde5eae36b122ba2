"""Qué dicen los controles de la clase: cuáles son difíciles, cuáles separan a quien sabe, y qué se entiende mal.

**Dificultad**: la parte de la clase que lo supera; un control omitido no está superado. **Discriminación**: la
correlación biserial puntual entre superarlo y los puntos de todo lo demás. Cerca de 0 no separa a nadie; por debajo, lo
supera más quien menos sabe, y conviene revisarlo. No existe si lo superan todos o nadie.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import StatisticsError, correlation

from taller.authoring.variants import variants
from taller.catalog import ROOT, exercises
from taller.grading.results import Grade
from taller.verdicts import CheckVerdict, ExerciseVerdict

# Con menos entregas, una correlación es ruido.
LEAST_GRADES = 8


@dataclass(frozen=True)
class CheckItem:
    number: int
    title: str
    difficulty: float
    discrimination: float | None
    failed: int
    skipped: int
    unstable: int


@dataclass(frozen=True)
class ExerciseItem:
    """`full`, `partial` y `none` reparten la clase según los puntos que ha ganado en el ejercicio."""

    id: str
    title: str
    max_points: int
    full: int
    partial: int
    none: int
    checks: list[CheckItem]

    @property
    def difficulty(self) -> float:
        return self.full / max(self.full + self.partial + self.none, 1)


@dataclass(frozen=True)
class Misconception:
    """Una confusión con nombre, de cuántos es y en qué control se ha visto."""

    students: int
    exercise: str
    check: str
    says: str


def exercise_items(grades: list[Grade]) -> list[ExerciseItem]:
    """Los ejercicios en orden. Lo que no se pudo calificar no cuenta."""
    taken: dict[str, list[tuple[Grade, ExerciseVerdict]]] = defaultdict(list)
    for grade in grades:
        for exercise in grade.exercises if not grade.problem else ():
            taken[exercise.id].append((grade, exercise))
    return [_exercise_item(taken[id_]) for id_ in sorted(taken, key=exercise_order)]


def exercise_order(id_: str) -> tuple[int, int]:
    lesson, _, number = id_.partition(".")
    return int(lesson), int(number)


def _exercise_item(taken: list[tuple[Grade, ExerciseVerdict]]) -> ExerciseItem:
    exercises_ = [exercise for _, exercise in taken]
    full = sum(exercise.passed for exercise in exercises_)
    none = sum(exercise.points == 0 and not exercise.passed for exercise in exercises_)
    checks: dict[int, list[tuple[CheckVerdict, int]]] = defaultdict(list)
    for grade, exercise in taken:
        for check in exercise.checks:
            checks[check.number].append((check, grade.raw_points - check.points))
    items = [_check_item(seen, len(taken)) for _, seen in sorted(checks.items())]
    first = exercises_[0]
    most = max(exercise.max_points for exercise in exercises_)
    return ExerciseItem(first.id, first.title, most, full, len(taken) - full - none, none, items)


def _check_item(seen: list[tuple[CheckVerdict, int]], taken: int) -> CheckItem:
    statuses = Counter(check.status for check, _ in seen)
    return CheckItem(
        number=seen[0][0].number,
        title=seen[0][0].title,
        difficulty=statuses["passed"] / taken,
        discrimination=_discrimination(seen),
        failed=statuses["failed"],
        skipped=statuses["skipped"],
        unstable=statuses["unstable"],
    )


def _discrimination(seen: list[tuple[CheckVerdict, int]]) -> float | None:
    if len(seen) < LEAST_GRADES:
        return None
    try:
        return correlation([check.status == "passed" for check, _ in seen], [rest for _, rest in seen])
    except StatisticsError:
        return None


def misconceptions(grades: list[Grade], root: Path = ROOT) -> list[Misconception]:
    """Las confusiones, de la más vista a la menos."""
    single = _single_variants(root)
    students: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for grade in grades:
        for exercise in grade.exercises:
            for check in exercise.checks:
                for says in _explanations(exercise.id, check, single):
                    students[exercise.id, check.title, says].add(grade.key)
    found = [Misconception(len(keys), *where) for where, keys in students.items()]
    return sorted(found, key=lambda one: (-one.students, exercise_order(one.exercise), one.check, one.says))


def _explanations(exercise: str, check: CheckVerdict, single: dict[tuple[str, str], str]) -> list[str]:
    """Las que ha reconocido el control; si no, la única que se conoce para ese control."""
    if check.status != "failed":
        return []
    return check.misconceptions or list(filter(None, [single.get((exercise, check.name))]))


def _single_variants(root: Path) -> dict[tuple[str, str], str]:
    """Los controles para los que solo hay una variante, y lo que dice."""
    says: dict[tuple[str, str], list[str]] = defaultdict(list)
    for exercise in exercises(root):
        for variant in variants(exercise):
            says[exercise.id, variant.caught_by].append(variant.says)
    return {where: only[0] for where, only in says.items() if len(only) == 1}
