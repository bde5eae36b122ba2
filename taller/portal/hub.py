"""Reparte cada suceso entre las pestañas abiertas, sin que una lenta retenga a las demás."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

# Lo que espera una pestaña que no lee; si se llena, se tira todo y recibe una foto nueva del estado.
BACKLOG = 256


class Event(NamedTuple):
    """Un suceso ya escrito en JSON: se escribe una vez y se envía a muchos."""

    name: str
    data: str


@dataclass(eq=False)
class Tab:
    """Una pestaña conectada. `lesson` es la que enseña (vacía, la portada); `whole` le cuenta el estado entero."""

    lesson: str
    whole: Callable[[], Event]
    _behind: bool = True
    _closed: bool = False
    _pending: deque[Event] = field(default_factory=deque)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, event: Event) -> None:
        if len(self._pending) == BACKLOG:
            self._behind = True
            self._pending.clear()
        if not self._behind:
            self._pending.append(event)
        self._news.set()

    def close(self) -> None:
        self._closed = True
        self._news.set()

    async def events(self) -> AsyncIterator[Event]:
        """El estado entero al conectarse, o tras quedarse atrás, y después cada suceso."""
        while not self._closed:
            if self._behind:
                self._behind = False
                yield self.whole()
            elif self._pending:
                yield self._pending.popleft()
            else:
                self._news.clear()
                await self._news.wait()


class Hub:
    def __init__(self) -> None:
        self._tabs: set[Tab] = set()

    @contextmanager
    def connected(self, lesson: str, whole: Callable[[], Event]) -> Iterator[Tab]:
        tab = Tab(lesson, whole)
        self._tabs.add(tab)
        try:
            yield tab
        finally:
            self._tabs.discard(tab)

    def close(self) -> None:
        """Termina los flujos abiertos: el servidor se va a apagar."""
        for tab in self._tabs:
            tab.close()

    def is_watched(self, lesson: str) -> bool:
        return any(tab.lesson == lesson for tab in self._tabs)

    def publish(self, name: str, data: dict[str, Any], lesson: str | None = None) -> None:
        """A las pestañas de `lesson`, o a todas si es None."""
        event = as_event(name, data)
        for tab in self._tabs:
            if lesson is None or tab.lesson == lesson:
                tab.put(event)


def as_event(name: str, data: dict[str, Any]) -> Event:
    return Event(name, json.dumps(data, ensure_ascii=False, separators=(",", ":")))
