"""Comprueba ejercicios desde el terminal, el portal o las pruebas, con los procesos que hacen falta ya calientes."""

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from taller.catalog import Exercise
from taller.misconceptions import misconceptions
from taller.patience import patience
from taller.runner import Run, Runner, start_runner
from taller.runner.fresh import FreshProcess
from taller.runner.runner import Backend, can_fork
from taller.verdicts import CheckVerdict, ExerciseVerdict

CHECK_MODULES = ("taller.wire", "anyio.pytest_plugin", "anyio._backends._asyncio", "taller.services")
# Lo que solo compensa si el proceso va a servir varias veces.
THOROUGH_MODULES = ("taller.wire.first_trip", "taller.checking.session")
EXERCISE_TIMEOUT = 60.0
# Con lo que se dice a las mini-apps y a Plaza que usen servidores de fuera.
EXPORTED = ("REDIS_URL", "DATABASE_URL", "SMTP_URL")

OnEvent = Callable[[dict[str, Any]], None]
OnVerdict = Callable[[ExerciseVerdict], None]


@dataclass
class Session:
    """Una sesión de controles ya recogidos, a la espera de la señal para empezar."""

    run: Run
    signal: socket.socket | None
    checks_version: float
    events: "asyncio.Queue[dict[str, Any]]"

    def go(self) -> None:
        if self.signal is not None:
            self.signal.send(b"g")

    async def close(self) -> None:
        if self.signal is not None:
            self.signal.close()
        await self.run.close()


@dataclass
class Checker:
    """`with Checker.start() as checker: await checker.check(ejercicio, carpeta)`.

    Mantiene dos procesos calientes: de uno salen las apps y de otro los controles.
    """

    runner: Runner
    sessions: Backend
    runner_fd: int | None
    _ready: dict[tuple[str, Path], Session] = field(init=False, default_factory=dict)

    @classmethod
    def start(cls, *, thorough: bool = True) -> Self:
        """Lanza los procesos sin esperarlos; con `thorough` se calientan más: compensa si se usan varias veces."""
        runner = start_runner(thorough=thorough)
        if not can_fork():
            return cls(runner, FreshProcess(), None)
        from taller.runner.forked import WarmProcess

        assert isinstance(runner.backend, WarmProcess)
        fd = runner.backend.control.fileno()
        entries = THOROUGH_MODULES if thorough else ("taller.checking.plugin",)
        return cls(runner, WarmProcess.spawn([*CHECK_MODULES, *entries], [fd]), fd)

    @classmethod
    def start_for(cls, exercises: Sequence[Exercise]) -> Self:
        """Calienta más si compensa: para varios ejercicios, o para un proyecto, que importa de todo varias veces."""
        return cls.start(thorough=len(exercises) > 1 or any(exercise.lesson.package for exercise in exercises))

    def wait_warm(self) -> None:
        self.runner.backend.wait_warm()
        self.sessions.wait_warm()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sessions.close()
        self.runner.close()

    async def check(
        self,
        exercise: Exercise,
        folder: Path,
        *,
        seed: str | None = None,
        only: str | None = None,
        on_event: OnEvent = lambda event: None,
    ) -> ExerciseVerdict:
        """Los controles de un ejercicio sobre el archivo que hay en `folder` (con la forma de `exercises/`).

        Con `only`, el nombre de un control, solo ese y los que necesita. `on_event` recibe los avisos de `session`
        según llegan. Si se cancela, no queda nada en marcha.
        """
        started = time.perf_counter()
        session = await self._take_ready(exercise, folder) if seed is None and only is None else None
        session = session or await self._open(exercise, folder, seed or secrets.token_hex(4), only)
        try:
            session.go()
            checks, problem = await self._follow(exercise, session, on_event)
        finally:
            await session.close()
        return ExerciseVerdict(exercise.id, exercise.title, checks, time.perf_counter() - started, problem)

    async def prepare(self, exercise: Exercise, folder: Path) -> None:
        """Deja una sesión esperando, para que el próximo `check` de ese ejercicio empiece en el acto."""
        key = (exercise.id, folder)
        if can_fork() and key not in self._ready:
            self._ready[key] = await self._open(exercise, folder, secrets.token_hex(4))
            for stale in list(self._ready)[:-1]:
                await self._ready.pop(stale).close()

    async def discard_prepared(self) -> None:
        for key in list(self._ready):
            await self._ready.pop(key).close()

    async def _take_ready(self, exercise: Exercise, folder: Path) -> Session | None:
        session = self._ready.pop((exercise.id, folder), None)
        if session is None:
            return None
        if session.run.exit or session.checks_version != _version(exercise):
            await session.close()
            return None
        return session

    async def _open(self, exercise: Exercise, folder: Path, seed: str, only: str | None = None) -> Session:
        events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        ours, theirs = socket.socketpair() if can_fork() else (None, None)
        chosen = ["--solo", only] if only else []
        how = ["-q", "--no-header", "--tb=native"]
        arguments = [str(exercise.check_file), "--de", str(folder), "--semilla", seed, *how, *chosen]
        request = {
            "entry": "taller.checking.session",
            "payload": {"arguments": arguments, "runner_fd": self.runner_fd},
            # Los controles vacían y matan los servidores que usan: nunca los que alguien haya exportado para lo suyo.
            "env": {name: value for name, value in os.environ.items() if name not in EXPORTED},
        }
        with theirs or contextlib.nullcontext():
            run = await self.sessions.run(request, theirs, on_event=events.put_nowait)
        return Session(run, ours, _version(exercise), events)

    async def _follow(self, exercise: Exercise, session: Session, on_event: OnEvent) -> tuple[list[CheckVerdict], str]:
        checks: list[CheckVerdict] = []
        collected = -1
        try:
            async with asyncio.timeout(patience(EXERCISE_TIMEOUT)):
                while len(checks) != collected:
                    event = await session.events.get()
                    match event["event"]:
                        case "collected":
                            collected = len(event["checks"])
                            on_event(event)
                        case "check":
                            checks.append(_recognised(exercise, CheckVerdict.from_json(event["check"])))
                            on_event({"event": "check", "check": checks[-1].to_json()})
                        case "finished" | "exit":
                            break
        except TimeoutError:
            return checks, f"Los controles de {exercise.id} no terminaron en {EXERCISE_TIMEOUT:g} s."
        if checks and len(checks) == collected:
            # El último veredicto basta: no hace falta esperar a que pytest recoja sus cosas.
            return checks, ""
        last = (session.run.log.strip().splitlines() or ["sin más explicación"])[-1]
        return checks, f"Los controles de {exercise.id} no se pudieron ejecutar: {last}"

    async def check_all(
        self,
        exercises: Sequence[Exercise],
        folder: Path,
        *,
        seed: str | None = None,
        at_once: int | None = None,
        on_verdict: OnVerdict = lambda verdict: None,
    ) -> list[ExerciseVerdict]:
        """Varios ejercicios a la vez (esperan más que calculan); el resultado conserva su orden."""
        free = asyncio.Semaphore(at_once or (os.cpu_count() or 1) + 1)

        async def one(exercise: Exercise) -> ExerciseVerdict:
            async with free:
                verdict = await self.check(exercise, folder, seed=seed)
            on_verdict(verdict)
            return verdict

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(exercise)) for exercise in exercises]
        return [task.result() for task in tasks]


def _recognised(exercise: Exercise, check: CheckVerdict) -> CheckVerdict:
    return replace(check, misconceptions=misconceptions(exercise, check))


def _version(exercise: Exercise) -> float:
    """Cuándo cambiaron por última vez sus controles, o lo que comparten con los de la lección."""
    return max(path.stat().st_mtime for path in exercise.check_file.parent.glob("*.py"))
