"""`taller autor validar`: todo lo que hace falta para dar por buena una lección."""

import asyncio
from collections.abc import Callable, Iterator, Sequence

from taller.authoring.excerpts import check_excerpts
from taller.authoring.exercise import prove
from taller.authoring.findings import Finding
from taller.authoring.symptoms import check_symptoms
from taller.authoring.theory import check_links, check_theory
from taller.catalog import Exercise, Lesson
from taller.checker import Checker
from taller.skeleton import FINGERPRINTS, fingerprints, is_edited, stored_fingerprints

PARTS = ("README.md", "app.py", "index.html", "pasos")


async def validate(
    lessons: Sequence[Lesson], checker: Checker, on_progress: Callable[[str], None] = lambda text: None
) -> list[Finding]:
    """Los hallazgos de unas lecciones escritas; vacío si todas son sólidas."""
    found = [finding for lesson in lessons for check in (check_sync, check_files) for finding in check(lesson)]
    for lesson in lessons:
        proofs = await asyncio.gather(*(_prove(exercise, checker, on_progress) for exercise in lesson.exercises))
        found += [finding for proof in proofs for finding in proof]
    return found


async def _prove(exercise: Exercise, checker: Checker, on_progress: Callable[[str], None]) -> list[Finding]:
    found = await prove(exercise, checker)
    on_progress(f"{exercise.id} {exercise.title}: {'sólido' if not found else f'{len(found)} hallazgos'}")
    return found


def check_files(lesson: Lesson) -> Iterator[Finding]:
    """Lo que se puede ver sin ejecutar nada: partes que faltan, huellas, síntomas, extractos, enlaces y mapa."""
    for part in PARTS:
        if not (lesson.folder / part).exists():
            yield Finding(lesson.slug, f"falta lessons/{lesson.slug}/{part}")
    if not lesson.notebook.exists():
        yield Finding(lesson.slug, f"falta notebooks/{lesson.notebook.name}")
    yield from check_fingerprints(lesson)
    if lesson.package is None:  # las variantes de un proyecto tardan demasiado para anotar lo que se ve en cada una
        for exercise in lesson.exercises:
            yield from check_symptoms(exercise)
    yield from check_excerpts(lesson.readme, lesson.root)
    yield from check_links(lesson.readme, lesson.root)
    yield from check_theory(lesson)


def check_sync(lesson: Lesson) -> Iterator[Finding]:
    """Los archivos de `exercises/` son los que salen hoy de las soluciones: nadie los ha editado."""
    for exercise in lesson.exercises:
        if not exercise.student_file.exists() or is_edited(exercise):
            yield Finding(exercise.id, "su esqueleto no sale de la solución: python3 curso.py autor sincronizar")


def check_fingerprints(lesson: Lesson) -> Iterator[Finding]:
    """Ninguna solución ha cambiado desde la última sincronización; vale aunque el alumno haya editado lo suyo."""
    stored = stored_fingerprints(lesson.root)
    for name, fingerprint in fingerprints(list(lesson.exercises)).items():
        if stored.get(name) != fingerprint:
            yield Finding(FINGERPRINTS.as_posix(), f"{name} no está al día: python3 curso.py autor sincronizar")
