"""Qué ha cambiado respecto de otra vez que se calificó la clase."""

from collections.abc import Iterator
from dataclasses import dataclass

from taller.grading.results import ClassResults, Grade


@dataclass(frozen=True)
class Change:
    """Una entrega que ha cambiado: sus puntos antes y ahora (`None` si no estaba), y qué controles han cambiado."""

    key: str
    before: float | None
    now: float | None
    checks: list[str]


def changes(previous: ClassResults, current: ClassResults) -> list[Change]:
    before = {grade.key: grade for grade in previous.grades}
    now = {grade.key: grade for grade in current.grades}
    return [change for key in sorted(before | now) if (change := _change(key, before.get(key), now.get(key)))]


def _change(key: str, before: Grade | None, now: Grade | None) -> Change | None:
    checks = list(_checks(before, now)) if before and now else []
    points = [grade.points if grade else None for grade in (before, now)]
    return Change(key, points[0], points[1], checks) if checks or points[0] != points[1] else None


def _checks(before: Grade, now: Grade) -> Iterator[str]:
    old, new = _statuses(before), _statuses(now)
    for where, (title, status) in new.items():
        if where in old and old[where][1] != status:
            yield f"{where[0]}, control {where[1]} «{title}»: {WORDS[old[where][1]]} → {WORDS[status]}"


def _statuses(grade: Grade) -> dict[tuple[str, int], tuple[str, str]]:
    return {
        (exercise.id, check.number): (check.title, check.status)
        for exercise in grade.exercises
        for check in exercise.checks
    }


WORDS = {"passed": "superado", "failed": "no superado", "skipped": "omitido", "unstable": "inestable"}
