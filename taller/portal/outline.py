"""El curso y lo que se lleva hecho: lo que enseña la portada."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from taller.catalog import Exercise, Lesson, lessons
from taller.progress import Progress, Record


@dataclass(frozen=True)
class Step:
    exercise: Exercise
    record: Record

    @property
    def passed(self) -> bool:
        return self.record.passed_at is not None


@dataclass(frozen=True)
class Stage:
    """Una lección y sus pasos."""

    lesson: Lesson
    steps: tuple[Step, ...]

    @property
    def passed(self) -> int:
        return sum(step.passed for step in self.steps)

    @property
    def points(self) -> int:
        return sum(step.record.points for step in self.steps)


@dataclass(frozen=True)
class Outline:
    stages: tuple[Stage, ...]

    @cached_property
    def steps(self) -> list[Step]:
        return [step for stage in self.stages if stage.lesson.written for step in stage.steps]

    @property
    def passed(self) -> int:
        return sum(step.passed for step in self.steps)

    @property
    def points(self) -> int:
        return sum(step.record.points for step in self.steps)

    @property
    def next_step(self) -> Step | None:
        """Por dónde seguir: el primer ejercicio sin superar."""
        return next((step for step in self.steps if not step.passed), None)

    @property
    def project(self) -> Lesson | None:
        """La lección a la que llevan todas, si está escrita."""
        return next((stage.lesson for stage in self.stages if stage.lesson.package and stage.lesson.written), None)

    def has_passed(self, exercise: Exercise) -> bool:
        return any(step.passed for step in self.steps if step.exercise == exercise)

    def after(self, exercise: Exercise) -> Exercise | None:
        """El ejercicio que sigue a otro."""
        order = [step.exercise for step in self.steps]
        following = order[order.index(exercise) + 1 :] if exercise in order else []
        return following[0] if following else None


def outline(root: Path, progress: Progress) -> Outline:
    stages = [
        Stage(lesson, tuple(Step(exercise, progress.of(exercise.id)) for exercise in lesson.exercises))
        for lesson in lessons(root)
    ]
    return Outline(tuple(stages))
