"""Un ensayo: lo que tarda en montarse se hace una vez, y varios controles miran qué pasó."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from taller.verdicts import Entry
from taller.wire import Mismatch, transcript

T = TypeVar("T")


class Rehearsal(Generic[T]):
    """El resultado de una escena que se representa una sola vez. Quien la mire después ve su misma transcripción."""

    def __init__(self, scene: Callable[[], Awaitable[T]]) -> None:
        self._scene = scene
        self._result: T | None = None
        self._problem: Exception | None = None
        self._entries: list[Entry] | None = None

    async def look(self) -> T:
        """Lo que devolvió la escena; la primera vez, la representa.

        Raises:
            Exception: lo que lanzó la escena, a cada control que la mire.
        """
        if self._entries is None:
            await self._play()
        transcript.entries[:] = self._entries or []
        if self._problem is not None:
            raise self._problem
        assert self._result is not None
        return self._result

    async def _play(self) -> None:
        try:
            self._result = await self._scene()
        except asyncio.CancelledError:
            # Se acabó el plazo del control que la representaba: los demás no deben quedarse sin explicación.
            self._problem = Mismatch("que lo que ensaya el control anterior termine", "sigue a medias")
            raise
        except Exception as problem:
            self._problem = problem
        finally:
            self._entries = list(transcript.entries)
