"""Una calificación de principio a fin: lo que se pide por la orden `calificar`."""

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from taller.catalog import ROOT, Exercise, lessons
from taller.checker import EXPORTED, Checker
from taller.grading.checker import ConfinedChecker, uses_postgres
from taller.grading.classroom import Classroom, Progress
from taller.grading.database import make_template
from taller.grading.deadlines import Deadlines
from taller.grading.errors import GradingError
from taller.grading.grader import Examiner, Grader
from taller.grading.notebook import Notebook
from taller.grading.results import ClassResults
from taller.grading.submissions import discover
from taller.runner.sandbox import UIDS, Cells

COURSE = "Taller de APIs en tiempo real"
# Los controles esperan más que calculan.
EXERCISES_PER_CORE = 2


@dataclass(frozen=True)
class Plan:
    """Qué se califica y cómo. `seed` vacía: la de la vez anterior o, si no la hubo, una nueva."""

    submissions: Path
    reports: Path
    exercises: Sequence[Exercise]
    seed: str = ""
    deadlines: Deadlines = field(default_factory=Deadlines)
    at_once: int = 0
    confined: bool = True
    queue: str = ""
    resume: bool = False
    again: bool = False


def slots(at_once: int) -> int:
    """Cuántos ejercicios a la vez; 0, los que convengan en esta máquina. Cada uno necesita una jaula."""
    return min(at_once or EXERCISES_PER_CORE * (os.cpu_count() or 1), UIDS)


async def grade_class(plan: Plan, progress: Progress) -> ClassResults:
    """Califica lo que haga falta y devuelve la clase entera.

    Raises:
        GradingError: no hay entregas, los plazos nombran a quien no ha entregado, o la vez anterior quedó a medias y
            no se dice qué hacer con ella.
        SandboxError: no se puede encerrar el código de los estudiantes.
    """
    submissions = discover(plan.submissions)
    plan.deadlines.refuse_strangers(submissions)
    notebook = open_notebook(plan)
    async with examiner(plan) as one:
        classroom = Classroom(plan.exercises, one, notebook, plan.deadlines, progress)
        await classroom.grade_all(submissions, slots(plan.at_once))
    return ClassResults(COURSE, notebook.seed, datetime.now(UTC), notebook.grades())


def open_notebook(plan: Plan) -> Notebook:
    """El cuaderno de esta calificación: el de la anterior, si la semilla es la misma, o uno por empezar."""
    before = None if plan.again else Notebook.open(plan.reports)
    if before and not before.finished and not plan.resume:
        raise GradingError(
            f"En {plan.reports} hay una calificación a medias. "
            "Síguela repitiendo la orden con: --reanudar (o empieza otra con: --de-nuevo)"
        )
    if plan.resume and not before:
        raise GradingError(f"En {plan.reports} no hay nada que reanudar. Repite la orden sin: --reanudar")
    seed = plan.seed or (before.seed if before else secrets.token_hex(4))
    return Notebook.start(plan.reports, seed, forget=plan.again)


@contextlib.asynccontextmanager
async def examiner(plan: Plan) -> AsyncIterator[Examiner]:
    """Quien comprueba: este equipo o los que atienden la cola."""
    if plan.queue:
        from taller.grading.queue import remote_examiner

        async with remote_examiner(plan.queue) as remote:
            yield remote
    else:
        async with local_grader(plan.exercises, slots(plan.at_once), confined=plan.confined) as grader:
            yield grader


@contextlib.asynccontextmanager
async def local_grader(exercises: Sequence[Exercise], at_once: int, *, confined: bool = True) -> AsyncIterator[Grader]:
    """Este equipo, con sus procesos ya calientes; al salir no queda ninguno."""
    # Tampoco los ve el código de los estudiantes.
    for variable in EXPORTED:
        os.environ.pop(variable, None)
    async with AsyncExitStack() as stack:
        if confined:
            cells = stack.enter_context(Cells.create())
            needed = any(map(uses_postgres, exercises))
            template = await make_template(cells.folder) if needed else None
            checker: Checker = stack.enter_context(ConfinedChecker.confined(cells, exercises, template))
        else:
            checker = stack.enter_context(Checker.start())
        await asyncio.to_thread(checker.wait_warm)
        yield Grader(checker, at_once)


def gradable(chosen: Sequence[Exercise]) -> list[Exercise]:
    """Los que tienen controles, por orden."""
    order = {lesson.slug: index for index, lesson in enumerate(lessons(ROOT))}
    found = [exercise for exercise in dict.fromkeys(chosen) if exercise.check_file.exists()]
    return sorted(found, key=lambda exercise: (order[exercise.lesson.slug], exercise.number))
