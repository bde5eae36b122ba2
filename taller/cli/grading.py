"""Órdenes de quien califica una clase: calificar y trabajador."""

import asyncio
from pathlib import Path

import click

from taller.catalog import select
from taller.cli.output import complain, console, say
from taller.cli.spanish import SpanishCommand
from taller.visible import one_line

queue_option = click.option("--cola", "queue", metavar="URL", default="", help="Repartir por una cola: redis://…")
at_once_option = click.option(
    "--procesos", "at_once", metavar="N", type=click.IntRange(0, 64), default=0, help="Cuántos ejercicios a la vez."
)
path_type = click.Path(path_type=Path)


@click.command("calificar", cls=SpanishCommand)
@click.argument("submissions", metavar="ENTREGAS", type=path_type)
@click.option("--informe", "reports", metavar="CARPETA", type=path_type, required=True, help="Dónde dejar las notas.")
@click.option("--solo", "only", metavar="2.1,03", default="", help="Solo esos ejercicios o lecciones.")
@click.option("--semilla", "seed", metavar="TEXTO", default="", help="La de los datos al azar de toda la clase.")
@click.option("--plazos", "deadlines", metavar="ARCHIVO", type=path_type, help="Fechas límite y descuentos (TOML).")
@click.option("--reanudar", "resume", is_flag=True, help="Seguir donde se interrumpió.")
@click.option("--de-nuevo", "again", is_flag=True, help="Calificarlo todo otra vez, con otra semilla.")
@at_once_option
@queue_option
@click.option("--sin-aislamiento", "open_air", is_flag=True, help="Sin encerrar el código: solo si lo has leído.")
@click.option("--moodle", metavar="PLANILLA", type=path_type, help="La planilla de Moodle que hay que rellenar.")
@click.option("--canvas", metavar="LIBRO", type=path_type, help="El libro de Canvas que hay que rellenar.")
@click.option("--gradescope", is_flag=True, help="Un results.json de Gradescope por estudiante.")
@click.option("--junit", is_flag=True, help="Un junit.xml de toda la clase.")
def grade(
    submissions: Path,
    reports: Path,
    only: str,
    seed: str,
    deadlines: Path | None,
    resume: bool,
    again: bool,
    at_once: int,
    queue: str,
    open_air: bool,
    moodle: Path | None,
    canvas: Path | None,
    gradescope: bool,
    junit: bool,
) -> int:
    """Califica una carpeta de entregas y escribe los informes."""
    from taller.cli.grading_progress import show_progress
    from taller.grading.deadlines import Deadlines, read_deadlines
    from taller.grading.plan import COURSE, Plan, gradable, grade_class
    from taller.grading.previous import previous_results
    from taller.grading.reports import check_sheets, write_reports
    from taller.grading.speed import adjust_patience

    check_sheets(COURSE, moodle, canvas)
    chosen = [exercise for key in (only.split(",") if only else [None]) for exercise in select(key)]
    plan = Plan(
        submissions=submissions,
        reports=reports,
        exercises=gradable(chosen),
        seed=seed,
        deadlines=read_deadlines(deadlines) if deadlines else Deadlines(),
        at_once=at_once,
        confined=not open_air,
        queue=queue,
        resume=resume,
        again=again,
    )
    if open_air:
        complain(WARNING)
    if queue:
        from taller.grading.queue import shown

        say(f"Atiende la cola, aquí o en otras máquinas, con: python3 curso.py trabajador --cola {shown(queue)}")
    adjust_patience()
    previous = previous_results(reports)
    with show_progress(console, len(plan.exercises)) as progress:
        results = asyncio.run(grade_class(plan, progress))
    written = write_reports(
        results, reports, moodle=moodle, canvas=canvas, gradescope=gradescope, junit=junit, previous=previous
    )
    say(f"{len(results.grades)} entregas calificadas, con la semilla {results.seed}.")
    for each in results.grades:
        if each.problem or each.unstable:
            complain(f"{one_line(each.key)}: {one_line(each.problem) or 'hay controles dudosos: míralos a mano.'}")
    say(f"Los informes están en {written[0]}")
    return 0


WARNING = (
    "Sin aislamiento, el código de las entregas puede hacer en esta máquina todo lo que puedes hacer tú. "
    "Si no lo has leído, interrumpe con Ctrl+C y quita: --sin-aislamiento"
)


@click.command("trabajador", cls=SpanishCommand)
@click.option("--cola", "queue", metavar="URL", required=True, help="La cola que se atiende: redis://…")
@at_once_option
def worker(queue: str, at_once: int) -> None:
    """Atiende una cola de «calificar --cola», hasta Ctrl+C."""
    from taller.grading.speed import adjust_patience
    from taller.grading.worker import work

    adjust_patience()
    asyncio.run(work(queue, at_once, say))


COMMANDS = (grade, worker)
