"""Prueba un ejercicio: el esqueleto falla, la solución pasa y cada variante cae en su control."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from taller.anchors import anchors
from taller.authoring.findings import Finding
from taller.authoring.variants import Variant, VariantError, variants
from taller.catalog import Exercise
from taller.checker import Checker
from taller.skeleton import SkeletonError, skeleton_of, todos
from taller.verdicts import CheckVerdict, ExerciseVerdict


async def prove(exercise: Exercise, checker: Checker) -> list[Finding]:
    """Todo lo que falla en un ejercicio; vacío si es sólido."""
    try:
        skeleton = skeleton_of(exercise)
        known = list(variants(exercise))
    except (SkeletonError, VariantError) as error:
        return [Finding(exercise.id, str(error))]
    if not exercise.check_file.exists():
        return [Finding(exercise.id, f"no tiene controles: falta {exercise.check_file.name}")]
    solution = exercise.solution_file.read_text(encoding="utf-8")
    passed = await _check_text(exercise, checker, solution)
    found = list(_in_solution(exercise, passed))
    found += _in_skeleton(exercise, await _check_text(exercise, checker, skeleton))
    found += _in_hints(exercise, passed.checks)
    for variant in known:
        found += await _in_variant(exercise, checker, variant, solution)
    needed = {variant.caught_by for variant in known}
    unneeded = [check.name for check in passed.checks if check.name not in needed]
    found += [Finding(exercise.id, f"ninguna variante necesita el control {name}") for name in unneeded]
    return found


async def _check_text(exercise: Exercise, checker: Checker, text: str) -> ExerciseVerdict:
    with submission(exercise, text) as folder:
        return await checker.check(exercise, folder)


@contextmanager
def submission(exercise: Exercise, text: str) -> Iterator[Path]:
    """Una carpeta con la forma de `exercises/` en la que el archivo del ejercicio contiene `text`."""
    with tempfile.TemporaryDirectory(prefix="taller-") as name:
        folder = Path(name).resolve()
        shutil.copytree(
            exercise.solution_file.parent,
            folder / exercise.lesson.slug,
            ignore=shutil.ignore_patterns("e[0-9]*_*.py", "__pycache__"),
        )
        (folder / exercise.relative).write_text(text, encoding="utf-8")
        yield folder


def _in_solution(exercise: Exercise, verdict: ExerciseVerdict) -> Iterator[Finding]:
    if verdict.problem:
        yield Finding(exercise.id, verdict.problem)
    for check in verdict.checks:
        if check.status != "passed":
            yield Finding(exercise.id, f"la solución no pasa {check.name}: {check.expected} / {check.received}")
    numbers = [check.number for check in verdict.checks]
    if numbers != list(range(1, len(numbers) + 1)):
        yield Finding(exercise.id, f"los controles no están numerados en orden: {numbers}")


def _in_skeleton(exercise: Exercise, verdict: ExerciseVerdict) -> Iterator[Finding]:
    for check in verdict.checks:
        if check.status == "passed":
            yield Finding(exercise.id, f"el esqueleto ya pasa {check.name}")
        if check.status == "failed" and not (check.expected and check.received and check.hint and check.transcript):
            yield Finding(exercise.id, f"{check.name} falla sin decir qué se esperaba, qué llegó, una pista o qué pasó")
        if check.expected.startswith("una app que arranca"):
            yield Finding(exercise.id, f"el esqueleto no arranca: {check.received}")


def _in_hints(exercise: Exercise, checks: list[CheckVerdict]) -> Iterator[Finding]:
    known_anchors = anchors(exercise.lesson.readme.read_text(encoding="utf-8"))
    known_todos = todos(exercise.solution_file.read_text(encoding="utf-8"))
    for check in checks:
        if check.section not in known_anchors:
            yield Finding(exercise.id, f"{check.name} remite a #{check.section}, que no está en la lección")
        if check.todo is not None and check.todo not in known_todos:
            yield Finding(exercise.id, f"{check.name} remite al TODO {check.todo}, que no está en la solución")


async def _in_variant(exercise: Exercise, checker: Checker, variant: Variant, solution: str) -> list[Finding]:
    try:
        verdict = await _check_text(exercise, checker, variant.apply(solution))
    except VariantError as error:
        return [Finding(exercise.id, str(error))]
    caught = {check.name: check.status for check in verdict.checks}
    status = caught.get(variant.caught_by)
    if status == "failed":
        return []
    if status is None:
        return [Finding(exercise.id, f"«{variant.name}» nombra {variant.caught_by}, que no existe")]
    others = [name for name, other in caught.items() if other == "failed"]
    explanation = f"(fallan {', '.join(others)})" if others else "(lo pasa todo)"
    return [Finding(exercise.id, f"«{variant.name}» no cae en {variant.caught_by}, que queda «{status}» {explanation}")]
