"""Comprueba ejercicios de código que nadie ha leído: cada uno en su jaula, con los procesos ya calientes."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from taller.catalog import Exercise
from taller.checker import (
    CHECK_MODULES,
    Checker,
    OnEvent,
    Session,
)
from taller.grading.fixtures import TEMPLATE
from taller.patience import patience
from taller.runner import Run, Runner
from taller.runner.forked import WarmProcess
from taller.runner.runner import APP_MODULES, FIRST_TRIP, SOME_APP_MODULES
from taller.runner.sandbox import Cells, Sandbox
from taller.verdicts import CheckVerdict

CONFINED_MODULES = ("taller.runner.confine", "taller.runner.command")
SESSION_MODULES = ("taller.wire.first_trip", "taller.grading.session", "taller.grading.fixtures")
COLLECT_SECONDS = 60.0
# El proceso del que nacen las apps no sabe nada de quien califica: ni siquiera su entorno.
KNOWN_TO_APPS = {"LANG": "C.UTF-8"}


@dataclass
class ConfinedSession(Session):
    """Una sesión con su jaula, que se cierra con ella."""

    sandbox: Sandbox
    stack: AsyncExitStack

    async def close(self) -> None:
        await super().close()
        await self.stack.aclose()


@dataclass
class Collected:
    """El proceso del que nacen las sesiones, y la ejecución que es a su vez."""

    run: Run
    process: WarmProcess


@dataclass
class ConfinedChecker(Checker):
    """Un `Checker` que encierra cada ejercicio. `template` son los datos de PostgreSQL que copia cada jaula."""

    cells: Cells
    exercises: Sequence[Exercise]
    template: Path | None = None
    # Los controles de cada ejercicio, de cuando se recogieron: lo que no llega a comprobarse también cuenta.
    known: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    ready: "Collected | None" = None
    collecting: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    def confined(cls, cells: Cells, exercises: Sequence[Exercise], template: Path | None = None) -> Self:
        """Lanza los procesos, para comprobar esos ejercicios, sin esperarlos."""
        modules = [*APP_MODULES, *needed_modules(exercises), FIRST_TRIP, *CONFINED_MODULES]
        apps = WarmProcess.spawn(modules, env=KNOWN_TO_APPS)
        fd = apps.control.fileno()
        sessions = WarmProcess.spawn([*CHECK_MODULES, *SESSION_MODULES], [fd])
        return cls(Runner(apps), sessions, fd, cells, exercises, template)

    def environment(self) -> dict[str, str]:
        """El de los controles."""
        return {**os.environ, **({TEMPLATE: str(self.template)} if self.template else {})}

    async def collected(self) -> WarmProcess:
        """El proceso que ya ha recogido todos los controles; la primera vez, y si muere, se hace uno."""
        async with self.collecting:
            if self.ready is None or self.ready.run.exit:
                ours, theirs = socket.socketpair()
                payload = {"check_files": [str(exercise.check_file) for exercise in self.exercises]}
                request = {"entry": "taller.grading.template", "payload": payload, "env": self.environment()}
                with theirs:
                    run = await self.sessions.run(request, theirs)
                await run.ready(patience(COLLECT_SECONDS))
                self.ready = Collected(run, WarmProcess(ours))
        return self.ready.process

    def __exit__(self, *_: object) -> None:
        if self.ready is not None:
            self.ready.process.close()
        super().__exit__()

    async def _open(self, exercise: Exercise, folder: Path, seed: str, only: str | None = None) -> Session:
        events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        needed = [self.template] if self.template and uses_postgres(exercise) else []
        async with AsyncExitStack() as stack:
            sandbox = await stack.enter_async_context(self.cells.open(folder, *needed))
            payload = {
                "check_file": str(exercise.check_file),
                "folder": str(folder),
                "seed": seed,
                "runner_fd": self.runner_fd,
                "uid": sandbox.uid,
            }
            request = {"entry": "taller.grading.session", "payload": payload, "env": self.environment()}
            sessions = await self.collected()
            ours, theirs = socket.socketpair()
            with ours, theirs:
                run = await sessions.run(request, theirs, on_event=events.put_nowait)
                socket.send_fds(ours, [b"c"], [sandbox.cell, sandbox.shared])
            return ConfinedSession(run, None, 0.0, events, sandbox, stack.pop_all())
        raise AssertionError

    async def _follow(self, exercise: Exercise, session: Session, on_event: OnEvent) -> tuple[list[CheckVerdict], str]:
        assert isinstance(session, ConfinedSession)

        def note(event: dict[str, Any]) -> None:
            if event["event"] == "collected":
                self.known[exercise.id] = event["checks"]
            on_event(event)

        checks, problem = await super()._follow(exercise, session, note)
        problem = session.sandbox.trouble or problem
        return complete(checks, self.known.get(exercise.id, []), problem), problem


def complete(checks: list[CheckVerdict], known: list[dict[str, Any]], problem: str) -> list[CheckVerdict]:
    """Los controles a los que no se llegó son fallos: dejar la comprobación a medias no puede salir a cuenta."""
    done = {check.name for check in checks}
    missing = [
        CheckVerdict(
            number=each["number"],
            name=each["name"],
            title=each["title"],
            status="failed",
            max_points=each["points"],
            todo=each["todo"],
            section=each["section"],
            expected="que se pueda comprobar",
            received=problem,
        )
        for each in known
        if each["name"] not in done
    ]
    return [*checks, *missing]


def needed_modules(exercises: Sequence[Exercise]) -> list[str]:
    """De los módulos que no usan todas las apps, los que usan las de esos ejercicios: cada `fork` los copia todos."""
    folders = {exercise.solution_file.parent for exercise in exercises}
    sources = "".join(path.read_text(encoding="utf-8") for folder in folders for path in folder.rglob("*.py"))
    return [name for name in SOME_APP_MODULES if name.partition(".")[0] in sources]


def uses_postgres(exercise: Exercise) -> bool:
    """Si sus controles piden una base de datos."""
    files = [exercise.check_file, exercise.check_file.with_name("conftest.py")]
    with contextlib.suppress(FileNotFoundError):
        return any("Postgres" in path.read_text(encoding="utf-8") for path in files if path.exists())
    return False
