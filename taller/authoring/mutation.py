"""`taller autor mutantes`: qué parte de los mutantes de cada ejercicio descubren sus controles."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taller.authoring.exercise import finished, submission
from taller.authoring.mutants import Mutant, mutants
from taller.catalog import Exercise
from taller.checker import Checker
from taller.skeleton import stage_of, todos

AT_ONCE = 4


class Caught(Exception):
    """Un control ha fallado: lo demás ya no importa."""


@dataclass(frozen=True)
class Score:
    """`survivors`: los que lo pasan todo, con el archivo en que están."""

    exercise: Exercise
    total: int
    survivors: list[tuple[Path, Mutant]]

    @property
    def caught(self) -> int:
        return self.total - len(self.survivors)

    def __str__(self) -> str:
        return f"{self.exercise.id} {self.exercise.title}: {self.caught} de {self.total}"


async def mutation(
    exercises: Sequence[Exercise], checker: Checker, on_score: Callable[[Score], None] = lambda score: None
) -> list[Score]:
    """Prueba todos los mutantes de unos ejercicios; `on_score` recibe el resultado de cada ejercicio al acabarlo."""
    scores = []
    for exercise in exercises:
        scores.append(await _score(exercise, checker))
        on_score(scores[-1])
    return scores


async def _score(exercise: Exercise, checker: Checker) -> Score:
    solution = finished(exercise)
    candidates = [
        (path, mutant)
        for path, text in solution.items()
        if path.suffix == ".py"
        for mutant in mutants(text, _own(exercise, text))
    ]
    free = asyncio.Semaphore(AT_ONCE)

    async def survives(path: Path, mutant: Mutant) -> bool:
        async with free:
            with submission(exercise, solution | {path: mutant.source}) as folder:
                return await _passes(exercise, folder, checker)

    passed = await asyncio.gather(*(survives(path, mutant) for path, mutant in candidates))
    return Score(exercise, len(candidates), [each for each, alive in zip(candidates, passed, strict=True) if alive])


def _own(exercise: Exercise, text: str) -> list[int]:
    """Los TODO de ese ejercicio: en un proyecto por etapas, un archivo tiene los de varias."""
    staged = exercise.lesson.package is not None
    return [number for number in todos(text) if not staged or stage_of(number) == exercise.number]


async def _passes(exercise: Exercise, folder: Path, checker: Checker) -> bool:
    def stop_at_failure(event: dict[str, Any]) -> None:
        if event["event"] == "check" and event["check"]["status"] == "failed":
            raise Caught

    try:
        return (await checker.check(exercise, folder, seed="mutantes", on_event=stop_at_failure)).passed
    except Caught:
        return False
