"""Califica una entrega: cada ejercicio en su jaula y, lo que falla, dos veces."""

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Protocol

from taller.catalog import Exercise
from taller.errors import TallerError
from taller.grading.gate import Gate
from taller.grading.submissions import Contents
from taller.verdicts import CheckVerdict, ExerciseVerdict


class Examiner(Protocol):
    """Quien comprueba un ejercicio de una entrega: este equipo (`Grader`) o una cola de ellos."""

    async def examine(self, exercise: Exercise, contents: Contents, seed: str, digest: str) -> ExerciseVerdict: ...


class ExerciseChecker(Protocol):
    async def check(self, exercise: Exercise, folder: Path, *, seed: str | None = None) -> ExerciseVerdict: ...


@dataclass
class Grader:
    """Comprueba como mucho `at_once` ejercicios a la vez, y solo si caben (`Gate`)."""

    checker: ExerciseChecker
    at_once: int
    _gate: Gate = field(init=False)

    def __post_init__(self) -> None:
        self._gate = Gate(self.at_once)

    async def examine(self, exercise: Exercise, contents: Contents, seed: str, digest: str) -> ExerciseVerdict:
        """El veredicto de un ejercicio. Lo que falla se repite, con la misma semilla: si se contradice, es dudoso."""
        async with self._gate.turn(), staged(contents, exercise) as folder:
            started = time.perf_counter()
            try:
                verdict = await self._examine(exercise, folder, seed)
            except TallerError as error:
                # Una jaula que no se abre es cosa de este ejercicio: la clase sigue, y con --reanudar se repite.
                verdict = ExerciseVerdict(exercise.id, exercise.title, [], 0.0, str(error))
            verdict = replace(verdict, duration_s=time.perf_counter() - started)
        refused = contents.refused.get(PurePosixPath(exercise.relative))
        return replace(verdict, problem=refused) if refused else verdict

    async def _examine(self, exercise: Exercise, folder: Path, seed: str) -> ExerciseVerdict:
        verdict = await self.checker.check(exercise, folder, seed=seed)
        if verdict.passed:
            return verdict
        return agree(verdict, await self.checker.check(exercise, folder, seed=seed), seed)


@contextlib.asynccontextmanager
async def staged(contents: Contents, exercise: Exercise) -> AsyncIterator[Path]:
    """Una carpeta con la forma de `exercises/` y los archivos de la lección, que se borra al salir."""
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="taller-entrega-"))
    try:
        await asyncio.to_thread(_write, folder, contents, exercise.lesson.slug)
        yield folder
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _write(folder: Path, contents: Contents, slug: str) -> None:
    # Dentro de la jaula los lee otro usuario.
    folder.chmod(0o755)
    (folder / slug).mkdir()
    for path, data in contents.files.items():
        if path.parts[0] == slug:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)


def agree(first: ExerciseVerdict, second: ExerciseVerdict, seed: str) -> ExerciseVerdict:
    """Lo que dicen juntas dos comprobaciones iguales; donde no coinciden, ni aprobado ni suspendido."""
    again = {check.name: check for check in second.checks}
    checks = [_settle(check, again.get(check.name, check), seed) for check in first.checks or second.checks]
    return replace(first, checks=checks, problem=first.problem and second.problem)


def settled(verdict: ExerciseVerdict) -> bool:
    """Si ya no hay más que hablar; lo dudoso, y lo que no se pudo comprobar, se intenta otra vez."""
    return not verdict.problem and all(check.status != "unstable" for check in verdict.checks)


def _settle(first: CheckVerdict, second: CheckVerdict, seed: str) -> CheckVerdict:
    if first.status == second.status:
        return first
    failed = first if first.status != "passed" else second
    received = f"Salió de dos maneras, con la semilla {seed}: {first.status} y {second.status}. {failed.received}"
    return replace(failed, status="unstable", received=received.strip())
