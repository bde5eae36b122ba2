"""Las mini-apps de las lecciones: cada una en su proceso, mientras alguien la mira."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from taller.catalog import Lesson
from taller.portal.hub import Hub
from taller.runner import LaunchError, Run, Runner

START_TIMEOUT = 20.0
UNWATCHED_S = 30.0
# Lo que se espera a que una app que no arranca acabe de escribir por qué.
LAST_WORDS_S = 1.0
# Servicios de fuera que el alumno haya elegido; sin ellos, la mini-app levanta los suyos.
SERVICES = ("REDIS_URL", "DATABASE_URL", "SMTP_URL")

State = Literal["stopped", "starting", "running", "failed"]


@dataclass
class Demo:
    lesson: Lesson
    state: State = "stopped"
    url: str = ""
    reason: str = ""
    log: str = ""
    run: Run | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def to_json(self) -> dict[str, Any]:
        return {
            "lesson": self.lesson.slug,
            "state": self.state,
            "url": self.url,
            "reason": self.reason,
            "log": self.log[-8000:],
        }


class Demos:
    def __init__(self, runner: Runner, warm: Callable[[], Awaitable[None]], hub: Hub) -> None:
        self.runner, self.warm, self.hub = runner, warm, hub
        self._demos: dict[str, Demo] = {}
        self._keepers: set[asyncio.Task[None]] = set()

    def of(self, lesson: Lesson) -> Demo:
        return self._demos.setdefault(lesson.slug, Demo(lesson))

    async def start(self, lesson: Lesson) -> Demo:
        """La deja en marcha, si no lo estaba; si no puede, `reason` y `log` dicen por qué."""
        demo = self.of(lesson)
        async with demo.turn:
            if demo.state != "running":
                self._show(demo, "starting")
                await self._launch(demo)
        return demo

    async def _launch(self, demo: Demo) -> None:
        env = {name: os.environ[name] for name in SERVICES if name in os.environ}
        try:
            await self.warm()
            demo.run = await self.runner.launch(demo.lesson.folder, "app:app", env=env, port=0)
            await demo.run.ready(START_TIMEOUT)
        except (LaunchError, OSError) as error:
            if demo.run is not None:
                await demo.run.ended(LAST_WORDS_S)
            await self._end(demo)
            self._show(demo, "failed", reason=str(error))
            return
        assert demo.run.address is not None
        self._show(demo, "running", url=f"{demo.run.address.http}/")
        self._keep(demo, demo.run)

    def _keep(self, demo: Demo, run: Run) -> None:
        task = asyncio.create_task(self._watch_over(demo, run))
        self._keepers.add(task)
        task.add_done_callback(self._keepers.discard)

    async def _watch_over(self, demo: Demo, run: Run) -> None:
        """Avisa si se cae; la para si en dos rondas seguidas nadie tiene abierta su lección."""
        unwatched = 0
        while (end := await run.ended(UNWATCHED_S)) is None:
            unwatched = 0 if self.hub.is_watched(demo.lesson.slug) else unwatched + 1
            if unwatched == 2:
                await self.stop(demo.lesson)
        if demo.run is run:
            await self._end(demo)
            self._show(demo, "failed", reason=f"La mini-app {end}.")

    async def stop(self, lesson: Lesson) -> None:
        demo = self.of(lesson)
        async with demo.turn:
            await self._end(demo)
            self._show(demo, "stopped")

    async def close(self) -> None:
        for task in self._keepers:
            task.cancel()
        await asyncio.gather(*self._keepers, *map(self._end, self._demos.values()), return_exceptions=True)

    async def _end(self, demo: Demo) -> None:
        run, demo.run = demo.run, None
        if run is not None:
            await run.close()
            demo.log = run.log

    def _show(self, demo: Demo, state: State, *, url: str = "", reason: str = "") -> None:
        demo.state, demo.url, demo.reason = state, url, reason
        self.hub.publish("demo", demo.to_json(), demo.lesson.slug)
