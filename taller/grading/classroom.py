"""Califica una clase: varias entregas a la vez, apuntando cada una en el cuaderno en cuanto está."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from taller.catalog import Exercise
from taller.grading.deadlines import Deadlines
from taller.grading.digests import exercise_digest, submission_digest
from taller.grading.grader import Examiner
from taller.grading.notebook import Notebook, Page
from taller.grading.results import Grade
from taller.grading.submissions import Contents, Submission, read
from taller.grading.trees import TreeError
from taller.verdicts import CheckVerdict, ExerciseVerdict


class Progress:
    """Quien quiera saber cómo va; por defecto, nadie."""

    def expect(self, submissions: int) -> None:
        """Cuántas entregas hay."""

    def started(self, submission: Submission) -> None:
        """Se ha empezado con una entrega."""

    def examined(self, submission: Submission, verdict: ExerciseVerdict, *, reused: bool) -> None:
        """Hay veredicto de un ejercicio; `reused`, si es el de la otra vez."""

    def finished(self, submission: Submission, grade: Grade) -> None:
        """Una entrega está calificada y apuntada."""


@dataclass
class Classroom:
    """Lo que hace falta para calificar: qué ejercicios, quién los comprueba, dónde se apuntan y los plazos."""

    exercises: Sequence[Exercise]
    examiner: Examiner
    notebook: Notebook
    deadlines: Deadlines = field(default_factory=Deadlines)
    progress: Progress = field(default_factory=Progress)

    async def grade_all(self, submissions: Sequence[Submission], at_once: int) -> None:
        """Las califica todas, `at_once` a la vez como mucho, y deja el cuaderno terminado."""
        self.notebook.keys, self.notebook.finished = [submission.key for submission in submissions], False
        self.notebook.save()
        self.progress.expect(len(submissions))
        waiting = iter(submissions)

        async def work() -> None:
            for submission in waiting:
                await self.grade(submission)

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(work())
        self._fill_gaps()
        self.notebook.finished = True
        self.notebook.save()

    async def grade(self, submission: Submission) -> Grade:
        """Una entrega. Lo que se calificó con la misma huella no se repite."""
        self.progress.started(submission)
        started = time.perf_counter()
        grade, digests = await self._examine(submission)
        grade = replace(grade, duration_s=time.perf_counter() - started)
        self.notebook.write(Page(grade, digests))
        self.progress.finished(submission, grade)
        return grade

    async def _examine(self, submission: Submission) -> tuple[Grade, dict[str, str]]:
        if submission.problem:
            return self._without_verdicts(submission, submission.problem)
        try:
            contents = await asyncio.to_thread(read, submission, self.exercises)
        except (TreeError, OSError) as error:
            return self._without_verdicts(submission, str(error))
        digests = {each.id: exercise_digest(each, contents, self.notebook.seed) for each in self.exercises}
        known = self.notebook.known(submission.key)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._one(submission, each, contents, digests[each.id], known))
                for each in self.exercises
            ]
        submitted_at = self.deadlines.submitted_at(submission, contents.modified_at)
        grade = Grade(
            key=submission.key,
            student=submission.student,
            digest=submission_digest(digests.values()),
            exercises=[task.result() for task in tasks],
            duration_s=0.0,
            submitted_at=submitted_at,
            late=self.deadlines.late((each.lesson.number for each in self.exercises), submitted_at),
            files={str(path): contents.text(path) for path in contents.files if path.suffix == ".py"},
        )
        return grade, digests

    async def _one(
        self,
        submission: Submission,
        exercise: Exercise,
        contents: Contents,
        digest: str,
        known: dict[str, ExerciseVerdict],
    ) -> ExerciseVerdict:
        verdict = known.get(digest)
        reused = verdict is not None
        if verdict is None:
            verdict = await self.examiner.examine(exercise, contents, self.notebook.seed, digest)
        self.progress.examined(submission, verdict, reused=reused)
        return verdict

    def _without_verdicts(self, submission: Submission, problem: str) -> tuple[Grade, dict[str, str]]:
        empty = [ExerciseVerdict(each.id, each.title, [], 0.0, problem) for each in self.exercises]
        for verdict in empty:
            self.progress.examined(submission, verdict, reused=False)
        return Grade(submission.key, submission.student, "", empty, 0.0, problem), {}

    def _fill_gaps(self) -> None:
        """Quien no entregó nada que comprobar tiene un cero sobre lo mismo que los demás, no sobre cero."""
        pages = map(self.notebook.read, self.notebook.keys)
        outline: dict[str, list[CheckVerdict]] = {}
        gaps: list[Page] = []
        for page in filter(None, pages):
            for verdict in page.grade.exercises:
                if verdict.checks:
                    outline.setdefault(verdict.id, [not_done(check) for check in verdict.checks])
            if any(not verdict.checks for verdict in page.grade.exercises):
                gaps.append(page)
        for page in gaps:
            exercises = [
                verdict if verdict.checks else replace(verdict, checks=outline.get(verdict.id, []))
                for verdict in page.grade.exercises
            ]
            self.notebook.write(replace(page, grade=replace(page.grade, exercises=exercises)))


def not_done(check: CheckVerdict) -> CheckVerdict:
    """Ese control en una entrega en la que no se ha podido hacer."""
    return CheckVerdict(
        check.number, check.name, check.title, "skipped", check.max_points, check.todo, section=check.section
    )
