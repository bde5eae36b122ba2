"""Prueba un ejercicio: el esqueleto falla, la solución pasa y cada variante cae en su control."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from taller.anchors import anchors
from taller.authoring.findings import Finding
from taller.authoring.variants import Variant, VariantError, variants
from taller.catalog import Exercise
from taller.checker import Checker
from taller.skeleton import SkeletonError, generate, package_modules, skeletons, sources, stage_of, todos
from taller.verdicts import CheckVerdict, ExerciseVerdict

VARIANTS_AT_ONCE = 2


async def prove(exercise: Exercise, checker: Checker, *, with_variants: bool = True) -> list[Finding]:
    """Todo lo que falla en un ejercicio; vacío si es sólido. Sin las variantes, solo la solución y el esqueleto."""
    try:
        solution, skeleton = finished(exercise), unfinished(exercise)
        known = list(variants(exercise))
    except (SkeletonError, VariantError) as error:
        return [Finding(exercise.id, str(error))]
    if not exercise.check_file.exists():
        return [Finding(exercise.id, f"no tiene controles: falta {exercise.check_file.name}")]
    passed = await _check(exercise, checker, solution)
    found = list(_in_solution(exercise, passed))
    found += _in_skeleton(exercise, await _check(exercise, checker, skeleton))
    found += _in_hints(exercise, passed.checks)
    if with_variants:
        found += await _in_variants(exercise, checker, known, solution)
    needed = {variant.caught_by for variant in known}
    unneeded = [check.name for check in passed.checks if check.name not in needed]
    found += [Finding(exercise.id, f"ninguna variante necesita el control {name}") for name in unneeded]
    return found


Files = dict[Path, str]


def finished(exercise: Exercise) -> Files:
    """La solución. De un proyecto, con las etapas siguientes sin empezar: ninguna puede depender de las que vienen."""
    if exercise.lesson.package is None:
        return sources(exercise)
    return _package(exercise, lambda number: stage_of(number) > exercise.number)


def unfinished(exercise: Exercise) -> Files:
    """El ejercicio sin empezar. De un proyecto, con las etapas anteriores hechas, como lo encuentra el estudiante."""
    if exercise.lesson.package is None:
        return skeletons(exercise)
    return _package(exercise, lambda number: stage_of(number) >= exercise.number)


def _package(exercise: Exercise, pending: Callable[[int], bool]) -> Files:
    """El proyecto entero con esos TODO pendientes."""
    solutions = exercise.lesson.root / "solutions"
    modules = {path.relative_to(solutions): text for path, text in package_modules(exercise.lesson).items()}
    return sources(exercise) | {
        path: generate(text, pending) if todos(text) else text for path, text in modules.items()
    }


async def _check(exercise: Exercise, checker: Checker, files: Files, only: str | None = None) -> ExerciseVerdict:
    with submission(exercise, files) as folder:
        return await checker.check(exercise, folder, only=only)


@contextmanager
def submission(exercise: Exercise, files: Files) -> Iterator[Path]:
    """Una carpeta con la forma de `exercises/` en la que el ejercicio son esos archivos."""
    with tempfile.TemporaryDirectory(prefix="taller-") as name:
        folder = Path(name).resolve()
        shutil.copytree(
            exercise.solution_file.parent,
            folder / exercise.lesson.slug,
            ignore=shutil.ignore_patterns("e[0-9]*_*.py", "__pycache__"),
        )
        for path, text in files.items():
            (folder / path).write_text(text, encoding="utf-8")
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
    known_todos = {number for text in sources(exercise).values() for number in todos(text)}
    for check in checks:
        if check.section not in known_anchors:
            yield Finding(exercise.id, f"{check.name} remite a #{check.section}, que no está en la lección")
        if check.todo is not None and check.todo not in known_todos:
            yield Finding(exercise.id, f"{check.name} remite al TODO {check.todo}, que no está en la solución")


async def _in_variants(exercise: Exercise, checker: Checker, known: list[Variant], solution: Files) -> list[Finding]:
    """Lo que falla en las variantes, por su orden. Casi todas esperan: se prueban varias a la vez."""
    free = asyncio.Semaphore(VARIANTS_AT_ONCE)

    async def one(variant: Variant) -> list[Finding]:
        async with free:
            return await _in_variant(exercise, checker, variant, solution)

    return [finding for each in await asyncio.gather(*map(one, known)) for finding in each]


async def _in_variant(exercise: Exercise, checker: Checker, variant: Variant, solution: Files) -> list[Finding]:
    try:
        files = variant.apply(exercise, solution)
    except VariantError as error:
        return [Finding(exercise.id, str(error))]
    # Casi siempre cae donde debe, y entonces los demás controles no importan.
    status = _statuses(await _check(exercise, checker, files, variant.caught_by)).get(variant.caught_by)
    if status is None:
        return [Finding(exercise.id, f"«{variant.name}» nombra {variant.caught_by}, que no existe")]
    statuses = {variant.caught_by: status} if status == "failed" else _statuses(await _check(exercise, checker, files))
    if statuses.get(variant.caught_by) == "failed":
        return []
    others = [name for name, other in statuses.items() if other == "failed"]
    explanation = f"(fallan {', '.join(others)})" if others else "(lo pasa todo)"
    return [Finding(exercise.id, f"«{variant.name}» no cae en {variant.caught_by}, que queda «{status}» {explanation}")]


def _statuses(verdict: ExerciseVerdict) -> dict[str, str]:
    return {check.name: check.status for check in verdict.checks}
