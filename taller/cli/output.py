"""Lo que ve quien usa el terminal: colores solo donde los hay, y el mismo texto sin ellos."""

import os
import sys
from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape

from taller.catalog import Exercise, Lesson
from taller.explain import failure_text
from taller.progress import Progress
from taller.verdicts import CheckVerdict, ExerciseVerdict


class Terminal(Console):
    """Una consola que, si quien la leía se va (head, less), calla en vez de interrumpir el trabajo."""

    def on_broken_pipe(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


console = Terminal(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

MARKS = {"passed": "[green]✓[/]", "failed": "[red]✗[/]", "skipped": "[dim]·[/]", "unstable": "[yellow]?[/]"}


def complain(text: str) -> None:
    """Un problema, en la salida de errores."""
    errors.print(f"[red]✗[/] {escape(text)}")


def say(text: str = "") -> None:
    console.print(escape(text))


def show_verdict(verdict: ExerciseVerdict, *, next_command: str = "") -> None:
    """El veredicto de un ejercicio: una línea por control y, de los que fallan, todo lo que ayuda."""
    mark = MARKS["passed"] if verdict.passed else MARKS["failed"]
    points = f"{verdict.points}/{verdict.max_points}"
    console.print(
        f"\n{mark} [bold]{verdict.id} {escape(verdict.title)}[/]  {points} puntos  [dim]{verdict.duration_s:.2f} s[/]"
    )
    if verdict.problem:
        console.print(f"  [red]{escape(verdict.problem)}[/]")
    for check in verdict.checks:
        show_check(check)
    if next_command:
        console.print(f"[dim]Sigue con:[/] {escape(next_command)}")


def show_check(check: CheckVerdict) -> None:
    if check.status == "failed":
        head, *rest = failure_text(check).splitlines()
        console.print(f"  {MARKS['failed']} {escape(head)}")
        for line in rest:
            console.print(f"  {escape(line)}")
        return
    reason = f"  [dim]{escape(check.received)}[/]" if check.status == "skipped" else ""
    console.print(f"  {MARKS[check.status]} {check.number}. {escape(check.title)}{reason}")


def show_course(lessons: Iterable[Lesson], progress: Progress) -> None:
    """El mapa del curso y por dónde va quien lo hace. Las rutas van enteras: se copian de aquí."""
    for lesson in lessons:
        note = "" if lesson.written else "  [dim]aún no está escrita[/]"
        console.print(f"{lesson.slug[:2]}  [bold]{escape(lesson.title)}[/]{note}")
        width = max((len(exercise.title) for exercise in lesson.exercises), default=0)
        for exercise in lesson.exercises:
            console.print(_exercise_line(exercise, width, progress))


def _exercise_line(exercise: Exercise, width: int, progress: Progress) -> str:
    record = progress.of(exercise.id)
    mark = MARKS["passed"] if record.passed_at else MARKS["failed"] if record.attempts else MARKS["skipped"]
    points = f"{record.points}/{record.max_points}" if record.attempts else ""
    path = f"exercises/{exercise.relative.as_posix()}"
    return f"    {mark} {exercise.id} {escape(exercise.title):<{width}}  {points:<5}  [dim]{path}[/]"


def interactive() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()
