"""Un trabajador: atiende la cola de una clase con todo lo que hay en esta máquina."""

from taller.catalog import exercises
from taller.grading.plan import gradable, local_grader, slots
from taller.grading.queue import Report, connected, serve, shown
from taller.services import stop_event


async def work(url: str, at_once: int, report: Report) -> None:
    """Hasta SIGINT o SIGTERM; entonces termina lo empezado.

    Raises:
        GradingError: no se llega a la cola.
        SandboxError: no se puede encerrar el código de los estudiantes.
    """
    cells = slots(at_once)
    async with connected(url):
        report("La cola contesta; preparando los procesos…")
    with stop_event() as stop:
        async with local_grader(gradable(exercises()), cells) as grader:
            report(f"Atiendo {shown(url)}, {cells} ejercicios a la vez. Ctrl+C para terminar.")
            await serve(url, grader, stop, report)
