"""Órdenes de quien hace los ejercicios: lista, comprobar, vigilar, pista, reiniciar y solucion."""

import asyncio
import json
from pathlib import Path

import click
from rich.syntax import Syntax

from taller.catalog import ROOT, Exercise, find_exercise, lessons, select, source_folder
from taller.checker import Checker, OnVerdict
from taller.cli.output import complain, console, interactive, say, show_course, show_verdict
from taller.cli.spanish import SpanishCommand
from taller.fresh_start import reset, undo
from taller.progress import Progress, load_progress
from taller.skeleton import is_edited, sources
from taller.verdicts import ExerciseVerdict, report

which_argument = click.argument("which", metavar="[EJERCICIO|LECCIÓN]", required=False)
exercise_argument = click.argument("exercise_id", metavar="EJERCICIO")


@click.command("lista", cls=SpanishCommand)
def list_course() -> None:
    """Lecciones y ejercicios, con tu progreso."""
    show_course(lessons(), open_progress())


@click.command("comprobar", cls=SpanishCommand)
@which_argument
@click.option("--de", "source", metavar="ORIGEN", default="ejercicios", help="ejercicios, soluciones o una carpeta.")
@click.option("--json", "as_json", is_flag=True, help="Un objeto JSON en vez de texto.")
@click.option("--semilla", "seed", metavar="TEXTO", help="Repite los datos al azar de otra vez.")
def check(which: str | None, source: str, as_json: bool, seed: str | None) -> int:
    """Comprueba un ejercicio (2.1), una lección (02) o, sin argumento, todo."""
    chosen, folder = select(which), source_folder(source)
    on_verdict: OnVerdict = (lambda verdict: None) if as_json else show_verdict
    with Checker.start_for(chosen) as checker:
        checker.wait_warm()
        verdicts = asyncio.run(checker.check_all(chosen, folder, seed=seed, on_verdict=on_verdict))
    if as_json:
        print(json.dumps(report(verdicts), ensure_ascii=False, indent=2))
    else:
        _summarize(verdicts)
    if source == "ejercicios":
        _note(*verdicts)
    return 0 if all(verdict.passed for verdict in verdicts) else 1


@click.command("vigilar", cls=SpanishCommand)
@which_argument
def watch(which: str | None) -> None:
    """Comprueba cada vez que guardas, sin salir del terminal."""
    chosen = select(which)
    say(f"Vigilo {_names(chosen)}. Guarda el archivo en tu editor y verás el veredicto. Ctrl+C para terminar.")
    try:
        asyncio.run(_watch(chosen, source_folder("ejercicios")))
    except KeyboardInterrupt:
        say("\nHasta luego. Para ver por dónde vas: python3 curso.py lista")


async def _watch(chosen: list[Exercise], folder: Path) -> None:
    from taller.watch import saved

    with Checker.start() as checker:
        await asyncio.to_thread(checker.wait_warm)
        await _check_and_show(checker, chosen[0], folder)
        async for changed in saved(chosen, folder):
            if interactive():
                console.clear()
            await _check_and_show(checker, changed[0], folder)


async def _check_and_show(checker: Checker, exercise: Exercise, folder: Path) -> None:
    verdict = await checker.check(exercise, folder)
    show_verdict(verdict)
    _note(verdict)
    await checker.prepare(exercise, folder)


@click.command("pista", cls=SpanishCommand)
@exercise_argument
def hint(exercise_id: str) -> None:
    """La siguiente pista del primer control que falla: cada una desvela un poco más."""
    exercise = find_exercise(exercise_id)
    with Checker.start_for([exercise]) as checker:
        checker.wait_warm()
        verdict = asyncio.run(checker.check(exercise, source_folder("ejercicios")))
    failed = next((check for check in verdict.checks if check.status == "failed"), None)
    if failed is None and verdict.problem:
        complain(f"{verdict.problem} Vuelve a intentarlo con: python3 curso.py comprobar {exercise.id}")
        return
    if failed is None:
        say(f"{exercise.id} ya pasa todos sus controles. Mira la solución: python3 curso.py solucion {exercise.id}")
        return
    progress = open_progress()
    record = progress.of(exercise.id)
    # La primera ya se ve en `comprobar`: aquí se empieza por la segunda, si la hay.
    seen = record.hints_by_check.get(failed.name, 0)
    index = min(seen + 1, len(failed.hints) - 1)
    record.hints_by_check[failed.name] = seen + 1
    record.hints_seen += 1
    progress.save()
    say(f"Control {failed.number}, «{failed.title}». Pista {index + 1} de {len(failed.hints)}:")
    say(f"  {failed.hints[index]}")
    say(f"La lección lo explica en lessons/{exercise.lesson.slug}/README.md#{failed.section}")


@click.command("reiniciar", cls=SpanishCommand)
@exercise_argument
@click.option("--si", "yes", is_flag=True, help="Sin preguntar.")
@click.option("--deshacer", "undone", is_flag=True, help="Recupera lo que tenías antes de empezar de nuevo.")
def restart(exercise_id: str, yes: bool, undone: bool) -> None:
    """Devuelve el archivo de un ejercicio a como estaba al principio (guarda antes una copia)."""
    exercise = find_exercise(exercise_id)
    name = exercise.student_file.relative_to(ROOT)
    if undone:
        kept = undo(exercise)
        say(f"{name} está como antes de empezar de nuevo.")
    elif exercise.student_file.exists() and not is_edited(exercise):
        say(f"{name} ya está como al principio.")
        return
    elif interactive() and not yes and not click.confirm(f"¿Devolver {exercise.id} a su estado inicial?"):
        return
    else:
        kept = reset(exercise)
        say(f"{name} está como al principio. Para arrepentirte: python3 curso.py reiniciar {exercise.id} --deshacer")
    if kept:
        say(f"Lo que tenías queda en {kept.relative_to(ROOT)}")
    say(f"Sigue con: python3 curso.py comprobar {exercise.id}")


@click.command("solucion", cls=SpanishCommand)
@exercise_argument
def solution(exercise_id: str) -> None:
    """Enseña la solución de un ejercicio (y lo apunta en tu progreso)."""
    exercise, progress = find_exercise(exercise_id), open_progress()
    progress.of(exercise.id).solution_seen = True
    progress.save()
    for path, text in sources(exercise).items():
        if exercise.lesson.package is not None:
            say(f"# {path.as_posix()}")
        console.print(Syntax(text, "python", theme="ansi_dark") if interactive() else text, markup=False)


def open_progress() -> Progress:
    """El progreso; si hubo que empezarlo de nuevo, lo dice."""
    progress = load_progress()
    if progress.warning:
        complain(progress.warning)
    return progress


def _note(*verdicts: ExerciseVerdict) -> None:
    """Lo apunta sobre lo que haya ahora en el archivo: el portal también escribe en él mientras se comprueba."""
    progress = open_progress()
    for verdict in verdicts:
        progress.note(verdict)
    progress.save()


def _summarize(verdicts: list[ExerciseVerdict]) -> None:
    passed = sum(verdict.passed for verdict in verdicts)
    if len(verdicts) > 1:
        say(f"\n{passed} de {len(verdicts)} ejercicios superados.")
    pending = next((verdict for verdict in verdicts if not verdict.passed), None)
    if pending:
        say(f"Para una pista: python3 curso.py pista {pending.id}")


def _names(chosen: list[Exercise]) -> str:
    return ", ".join(exercise.id for exercise in chosen)


COMMANDS = (list_course, check, watch, hint, restart, solution)
