"""Un trabajador: atiende la cola de una clase con todo lo que hay en esta máquina."""

import os

from taller.catalog import exercises
from taller.grading.plan import EXERCISES_PER_CORE, gradable, local_grader
from taller.grading.queue import Report, connected, serve, shown
from taller.services import stop_event


async def work(url: str, at_once: int, report: Report) -> None:
    """Hasta SIGINT o SIGTERM; entonces termina lo empezado.

    Raises:
        GradingError: no se llega a la cola.
        SandboxError: no se puede encerrar el código de los estudiantes.
    """
    slots = at_once or EXERCISES_PER_CORE * (os.cpu_count() or 1)
    async with connected(url):
        report("La cola contesta; preparando los procesos…")
    with stop_event() as stop:
        async with local_grader(gradable(exercises()), slots) as grader:
            report(f"Atiendo {shown(url)}, {slots} ejercicios a la vez. Ctrl+C para terminar.")
            await serve(url, grader, stop, report)
