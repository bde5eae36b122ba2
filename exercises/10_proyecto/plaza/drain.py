"""Apagarse sin dejar a nadie a medias.

uvicorn, ante SIGTERM, cierra los WebSockets enseguida, y el `lifespan` no acaba hasta después: para despedirse hay que
enterarse antes. Por eso se pone un manejador delante del suyo, y cuando la despedida ha salido se llama al de uvicorn.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

PATIENCE_SECONDS = 1.0


@dataclass
class Drain:
    """`closing` se enciende al empezar a apagarse: la salud dice que no, los flujos terminan."""

    closing: asyncio.Event = field(default_factory=asyncio.Event)

    @contextlib.asynccontextmanager
    async def on_termination(self, farewell: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Mientras dura el bloque, SIGTERM ejecuta `farewell` y luego lo que hubiera hecho uvicorn."""
        loop = asyncio.get_running_loop()
        original = signal.getsignal(signal.SIGTERM)
        if not callable(original):
            yield
            return
        task: asyncio.Task[None] | None = None

        async def say_goodbye() -> None:
            self.closing.set()
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PATIENCE_SECONDS):
                        await farewell()
            finally:
                original(signal.SIGTERM, None)

        def begin() -> None:
            nonlocal task
            if task is None:
                task = asyncio.create_task(say_goodbye())
            else:
                original(signal.SIGTERM, None)

        loop.add_signal_handler(signal.SIGTERM, begin)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGTERM)
            signal.signal(signal.SIGTERM, original)
