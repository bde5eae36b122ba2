"""El tablero: qué ha sido de cada tarea aceptada y qué pasa en los procesos, para quien quiera verlo en vivo."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from redis.asyncio import Redis
from service import Task

KEPT_TASKS = 400
BACKLOG = 5000
FINAL = ("done", "failed", "lost")

Event = dict[str, Any]


class Board:
    """Las últimas tareas, por orden de llegada, y quienes miran."""

    def __init__(self) -> None:
        self.tasks: dict[str, Event] = {}
        self._watchers: set[asyncio.Queue[Event]] = set()

    def publish(self, event: Event) -> None:
        for watcher in self._watchers:
            # Quien se queda atrás pierde sucesos, no memoria: al recargar verá el tablero entero.
            if not watcher.full():
                watcher.put_nowait(event)

    async def follow(self) -> AsyncIterator[Event]:
        """El tablero como está y, después, lo que vaya pasando."""
        with self._watching() as watcher:
            yield {"type": "tasks", "tasks": list(self.tasks.values())}
            while True:
                yield await watcher.get()

    @contextmanager
    def _watching(self) -> Iterator[asyncio.Queue[Event]]:
        watcher: asyncio.Queue[Event] = asyncio.Queue(BACKLOG)
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    def note(self, task: Task) -> None:
        """Apunta lo que una tarea dice de sí misma, y cuántas veces ha empezado."""
        before = self.tasks.get(task.id, {"starts": 0})
        starts = before["starts"] + (task.status == "running")
        self._show({**task.model_dump(), "starts": starts})

    def api_died(self) -> None:
        """Lo que la API llevaba en memoria ya no lo hará nadie."""
        for task in list(self.tasks.values()):
            if task["kind"] != "queue" and task["status"] not in FINAL:
                self._show({**task, "status": "lost"})

    def clear(self) -> None:
        """Olvida lo acabado."""
        self.tasks = {name: task for name, task in self.tasks.items() if task["status"] not in FINAL}
        self.publish({"type": "tasks", "tasks": list(self.tasks.values())})

    def _show(self, task: Event) -> None:
        self.tasks[task["id"]] = task
        while len(self.tasks) > KEPT_TASKS:
            del self.tasks[next(iter(self.tasks))]
        self.publish({"type": "task", "task": task})


async def watch_events(redis: Redis, board: Board) -> None:
    """Pasa al tablero lo que se anuncia en el stream `events`, por orden: también la muerte de la API."""
    last: bytes | str = "0"
    while True:
        streams: Any = await redis.xread({"events": last}, block=1000)
        for _, entries in streams:
            for entry_id, fields in entries:
                last = entry_id
                if b"task" in fields:
                    board.note(Task.model_validate_json(fields[b"task"]))
                else:
                    board.api_died()
