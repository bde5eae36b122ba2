"""Órdenes de quien hace los ejercicios: lista, comprobar, vigilar, pista, reiniciar y solucion."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.syntax import Syntax

from taller.catalog import ROOT, Exercise, find_exercise, lessons, select, source_folder
from taller.checking.checker import Checker, OnVerdict
from taller.checking.watch import saved
from taller.cli.output import complain, console, interactive, say, show_course, show_verdict
from taller.progress import Progress, load_progress
from taller.skeleton import is_edited, reset
from taller.verdicts import ExerciseVerdict, report

Which = Annotated[str | None, typer.Argument(metavar="[EJERCICIO|LECCIÓN]", help="2.1, 02 o nada: todo")]
ExerciseId = Annotated[str, typer.Argument(metavar="EJERCICIO", help="por ejemplo, 2.1")]
Source = Annotated[str, typer.Option("--de", metavar="ORIGEN", help="ejercicios, soluciones o una carpeta")]
Seed = Annotated[str | None, typer.Option("--semilla", help="repite los datos al azar de otra vez")]


def register(app: typer.Typer) -> None:
    app.command("lista")(list_course)
    app.command("comprobar")(check)
    app.command("vigilar")(watch)
    app.command("pista")(hint)
    app.command("reiniciar")(restart)
    app.command("solucion")(solution)


def list_course() -> None:
    """Lecciones y ejercicios, con tu progreso."""
    show_course(lessons(), open_progress())


def check(
    which: Which = None,
    source: Source = "ejercicios",
    as_json: Annotated[bool, typer.Option("--json", help="un objeto JSON en vez de texto")] = False,
    seed: Seed = None,
) -> int:
    """Comprueba un ejercicio, una lección o todo."""
    chosen, folder = select(which), source_folder(source)
    progress = open_progress() if source == "ejercicios" else None
    on_verdict = _note_only(progress) if as_json else _show_and_note(progress)
    with Checker.start(thorough=len(chosen) > 1) as checker:
        checker.wait_warm()
        verdicts = asyncio.run(checker.check_all(chosen, folder, seed=seed, on_verdict=on_verdict))
    if as_json:
        print(json.dumps(report(verdicts), ensure_ascii=False, indent=2))
    else:
        _summarize(verdicts)
    if progress is not None:
        progress.save()
    return 0 if all(verdict.passed for verdict in verdicts) else 1


def watch(which: Which = None) -> None:
    """Comprueba cada vez que guardas, sin salir del terminal."""
    chosen = select(which)
    say(f"Vigilo {_names(chosen)}. Guarda el archivo en tu editor y verás el veredicto. Ctrl+C para terminar.")
    try:
        asyncio.run(_watch(chosen, source_folder("ejercicios"), open_progress()))
    except KeyboardInterrupt:
        say("\nHasta luego. Para ver por dónde vas: python3 curso.py lista")


async def _watch(chosen: list[Exercise], folder: Path, progress: Progress) -> None:
    with Checker.start() as checker:
        await asyncio.to_thread(checker.wait_warm)
        await _check_and_show(checker, chosen[0], folder, progress)
        async for changed in saved(chosen, folder):
            if interactive():
                console.clear()
            await _check_and_show(checker, changed[0], folder, progress)


async def _check_and_show(checker: Checker, exercise: Exercise, folder: Path, progress: Progress) -> None:
    verdict = await checker.check(exercise, folder)
    show_verdict(verdict)
    progress.note(verdict)
    progress.save()
    await checker.prepare(exercise, folder)


def hint(exercise_id: ExerciseId) -> None:
    """La siguiente pista del primer control que falla: cada una desvela un poco más."""
    exercise, progress = find_exercise(exercise_id), open_progress()
    with Checker.start(thorough=False) as checker:
        checker.wait_warm()
        verdict = asyncio.run(checker.check(exercise, source_folder("ejercicios")))
    failed = next((check for check in verdict.checks if check.status == "failed"), None)
    if failed is None:
        say(f"{exercise.id} ya pasa todos sus controles. Mira la solución: python3 curso.py solucion {exercise.id}")
        return
    record = progress.of(exercise.id)
    index = min(record.hints_seen, len(failed.hints) - 1)
    record.hints_seen += 1
    progress.save()
    say(f"Control {failed.number}, «{failed.title}». Pista {index + 1} de {len(failed.hints)}:")
    say(f"  {failed.hints[index]}")
    say(f"La lección lo explica en lessons/{exercise.lesson.slug}/README.md#{failed.section}")


def restart(
    exercise_id: ExerciseId,
    yes: Annotated[bool, typer.Option("--si", help="sin preguntar")] = False,
) -> None:
    """Devuelve el archivo de un ejercicio a como estaba al principio (guarda antes una copia)."""
    exercise = find_exercise(exercise_id)
    if exercise.student_file.exists() and not is_edited(exercise):
        say(f"{exercise.student_file.relative_to(ROOT)} ya está como al principio.")
        return
    if interactive() and not yes and not typer.confirm(f"¿Devolver {exercise.id} a su estado inicial?"):
        return
    backup = reset(exercise, ROOT / ".taller" / "copias")
    say(f"{exercise.student_file.relative_to(ROOT)} está como al principio.")
    if backup:
        say(f"Lo que tenías queda en {backup.relative_to(ROOT)}")
    say(f"Sigue con: python3 curso.py comprobar {exercise.id}")


def solution(exercise_id: ExerciseId) -> None:
    """Enseña la solución de un ejercicio (y lo apunta en tu progreso)."""
    exercise, progress = find_exercise(exercise_id), open_progress()
    progress.of(exercise.id).solution_seen = True
    progress.save()
    text = exercise.solution_file.read_text(encoding="utf-8")
    console.print(Syntax(text, "python", theme="ansi_dark") if interactive() else text, markup=False)


def open_progress() -> Progress:
    """El progreso; si hubo que empezarlo de nuevo, lo dice."""
    progress = load_progress()
    if progress.warning:
        complain(progress.warning)
    return progress


def _show_and_note(progress: Progress | None) -> OnVerdict:
    def on_verdict(verdict: ExerciseVerdict) -> None:
        show_verdict(verdict)
        _note_only(progress)(verdict)

    return on_verdict


def _note_only(progress: Progress | None) -> OnVerdict:
    def on_verdict(verdict: ExerciseVerdict) -> None:
        if progress is not None:
            progress.note(verdict)

    return on_verdict


def _summarize(verdicts: list[ExerciseVerdict]) -> None:
    passed = sum(verdict.passed for verdict in verdicts)
    if len(verdicts) > 1:
        say(f"\n{passed} de {len(verdicts)} ejercicios superados.")
    pending = next((verdict for verdict in verdicts if not verdict.passed), None)
    if pending:
        say(f"Para una pista: python3 curso.py pista {pending.id}")


def _names(chosen: list[Exercise]) -> str:
    return ", ".join(exercise.id for exercise in chosen)

