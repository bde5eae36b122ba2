"""Del archivo guardado al veredicto en pantalla."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

from watchfiles import Change, awatch

from taller.catalog import Exercise, exercises
from taller.checker import Checker
from taller.portal.board import Card
from taller.portal.hub import Hub
from taller.portal.ledger import Ledger
from taller.progress import Progress
from taller.runner import LaunchError
from taller.watch import saved

# Un editor puede guardar borrando y creando: se da por borrado lo que sigue sin estar tras este plazo.
GONE_MS = 300
RETRY_SECONDS = 1.0

logger = logging.getLogger(__name__)


class Live:
    """Comprueba cada ejercicio que se guarda y publica lo que va pasando."""

    def __init__(self, root: Path, checker: Checker, hub: Hub, ledger: Ledger) -> None:
        self.folder = root / "exercises"
        self.checker, self.hub, self.ledger = checker, hub, ledger
        self.cards = {exercise.id: Card(exercise) for exercise in exercises(root)}
        self._runs: dict[str, asyncio.Task[None]] = {}
        self._preparing: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._warm: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Vigila mientras dura el bloque; al salir no queda nada en marcha."""
        self._warm = self._spawn(asyncio.to_thread(self.checker.wait_warm))
        self.folder.mkdir(parents=True, exist_ok=True)
        self._spawn(self._keep(self._watch_saves))
        self._spawn(self._keep(self._watch_deletions))
        try:
            yield
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self.checker.discard_prepared()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def card(self, exercise: Exercise) -> Card:
        return self.cards.setdefault(exercise.id, Card(exercise))

    async def warm(self) -> None:
        """Espera a que los procesos del curso estén listos para trabajar."""
        if self._warm is not None:
            await asyncio.shield(self._warm)

    def check(self, exercise: Exercise) -> None:
        """Empieza a comprobar; si ya se estaba comprobando, aquello ya no vale y se cancela."""
        previous = self._runs.get(exercise.id)
        if previous is not None:
            previous.cancel()
        self._runs[exercise.id] = self._spawn(self._check(self.card(exercise), previous))

    def prepare(self, exercise: Exercise) -> None:
        """Deja lista la próxima comprobación del ejercicio que se tiene delante."""
        self._preparing = self._spawn(self._prepare(exercise, self._preparing))

    async def _prepare(self, exercise: Exercise, previous: asyncio.Task[None] | None) -> None:
        if previous is not None:
            await asyncio.wait([previous])
        with contextlib.suppress(LaunchError, OSError):
            await self.warm()
            await self.checker.prepare(exercise, self.folder)

    async def _check(self, card: Card, previous: asyncio.Task[None] | None) -> None:
        if previous is not None:
            await asyncio.wait([previous])
        if not card.exercise.student_file.exists():
            self._show_missing(card)
            return
        card.state, card.problem = "running", ""
        self._publish(card, "running", {"id": card.exercise.id})
        try:
            await self.warm()
            verdict = await self.checker.check(
                card.exercise, self.folder, on_event=lambda event: self._on_event(card, event)
            )
            card.settle(verdict)
            self.ledger.update(lambda progress: progress.note(verdict))
        except Exception as error:
            # Sea lo que sea, la página no puede quedarse diciendo que comprueba.
            if not isinstance(error, (LaunchError, OSError)):
                logger.exception("no se ha podido comprobar %s", card.exercise.id)
            card.state = "problem"
            card.problem = f"No se pudo comprobar ({error}). Cierra el curso y ábrelo de nuevo: python3 curso.py"
        self._finish(card)
        self.prepare(card.exercise)

    def _on_event(self, card: Card, event: dict[str, Any]) -> None:
        exercise_id = card.exercise.id
        if event["event"] == "collected":
            card.collect(event["checks"])
            checks = [card.check_json(number) for number in card.checks]
            self._publish(card, "collected", {"id": exercise_id, "checks": checks})
        else:
            number = event["check"]["number"]
            card.checks[number] = event["check"]
            self._publish(card, "check", {"id": exercise_id, "check": card.check_json(number)})

    def open_hint(self, exercise: Exercise, number: int) -> bool:
        """Abre la pista siguiente de un control y la apunta; False si no hay más."""
        card = self.card(exercise)
        if not card.open_hint(number):
            return False
        self.ledger.update(lambda progress: _count_hint(progress, exercise.id))
        self._publish(card, "check", {"id": exercise.id, "check": card.check_json(number)})
        return True

    def snapshot(self, lesson: str) -> dict[str, Any]:
        """Todo lo que debe saber una pestaña al conectarse: con controles, los de su lección."""
        progress = self.ledger.read()
        cards = [
            card.to_json(progress.of(key))
            if card.exercise.lesson.slug == lesson
            else card.summary_json(progress.of(key))
            for key, card in self.cards.items()
        ]
        return {"exercises": cards, "trouble": self.ledger.trouble}

    async def _keep(self, watch: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Una vigilancia que falla vuelve a empezar: si no, guardar dejaría de hacer nada, y nadie sabría por qué."""
        while True:
            try:
                return await watch()
            except Exception:
                logger.exception("la vigilancia de los archivos ha fallado, y vuelve a empezar")
                await asyncio.sleep(RETRY_SECONDS)

    async def _watch_saves(self) -> None:
        async for changed in saved([card.exercise for card in self.cards.values()], self.folder):
            for exercise in changed:
                self.check(exercise)

    async def _watch_deletions(self) -> None:
        async for _ in awatch(
            self.folder,
            watch_filter=lambda change, path: change == Change.deleted,
            step=GONE_MS,
            raise_interrupt=False,
        ):
            for card in self.cards.values():
                if card.state != "missing" and not card.exercise.student_file.exists():
                    self._show_missing(card)

    def _show_missing(self, card: Card) -> None:
        card.state, card.checks = "missing", {}
        self._finish(card)

    def _finish(self, card: Card) -> None:
        """El final interesa a todas las pestañas: la portada y las demás lecciones enseñan el progreso."""
        self.hub.publish("finished", card.summary_json(self.ledger.read().of(card.exercise.id)))

    def _publish(self, card: Card, name: str, data: dict[str, Any]) -> None:
        self.hub.publish(name, data, card.exercise.lesson.slug)


def _count_hint(progress: Progress, exercise_id: str) -> None:
    progress.of(exercise_id).hints_seen += 1
