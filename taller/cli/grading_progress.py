"""Cómo va una calificación: una barra con los nombres y lo que falta, o una línea por entrega donde no hay terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from taller.grading.classroom import Progress
from taller.grading.results import Grade
from taller.grading.submissions import Submission
from taller.verdicts import ExerciseVerdict
from taller.visible import one_line

MOST_NAMES, LONGEST_NAME = 3, 40


class ShownProgress(Progress):
    def __init__(self, console: Console, bar: Bar, exercises: int) -> None:
        self.console, self.bar, self.exercises = console, bar, exercises
        self.task = bar.add_task("", total=None)
        self.busy: dict[str, str] = {}

    def expect(self, submissions: int) -> None:
        self.bar.update(self.task, total=submissions * self.exercises)

    def started(self, submission: Submission) -> None:
        self.busy[submission.key] = submission.student
        self._show_names()

    def examined(self, submission: Submission, verdict: ExerciseVerdict, *, reused: bool) -> None:
        self.bar.advance(self.task)

    def finished(self, submission: Submission, grade: Grade) -> None:
        del self.busy[submission.key]
        self._show_names()
        if not self.console.is_terminal:
            self.console.print(f"{escape(one_line(submission.key))}  {grade.points:g}/{grade.max_points}")

    def _show_names(self) -> None:
        names = [one_line(name)[:LONGEST_NAME] for name in self.busy.values()]
        more = f" y {len(names) - MOST_NAMES} más" if len(names) > MOST_NAMES else ""
        self.bar.update(self.task, description=escape(", ".join(names[:MOST_NAMES]) + more))


@contextmanager
def show_progress(console: Console, exercises: int) -> Iterator[ShownProgress]:
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield ShownProgress(console, bar, exercises)
