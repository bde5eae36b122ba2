"""El escenario: la API y su obrero, dos procesos de verdad que se pueden matar y levantar."""

import signal
from pathlib import Path
from typing import Literal

import httpx
from board import Board
from redis.asyncio import Redis

from taller.runner import Run, Runner

HERE = Path(__file__).parent
START_SECONDS = 20.0
LAST_SECONDS = 5.0

Role = Literal["api", "worker"]


class Stage:
    def __init__(self, runner: Runner, board: Board, redis: Redis, redis_url: str) -> None:
        self._runner, self._board, self._redis = runner, board, redis
        self._env = {"REDIS_URL": redis_url}
        self.runs: dict[Role, Run] = {}
        self._client: httpx.AsyncClient | None = None

    async def start(self, role: Role) -> None:
        """Levanta el proceso, si no está en marcha."""
        if self.alive(role):
            return
        if role == "api":
            run = await self._runner.launch(HERE, "service:app", env=self._env)
        else:
            run = await self._runner.work(HERE, "service:broker", env=self._env)
        self.runs[role] = await run.ready(START_SECONDS)
        if role == "api":
            self._client = new_client(run)
        self._announce()

    async def kill(self, role: Role) -> None:
        """kill -9: muere en el acto, con lo que tuviera a medias."""
        if not self.alive(role):
            return
        run = self.runs[role]
        run.signal(signal.SIGKILL)
        await run.ended(LAST_SECONDS)
        await run.close()
        self._announce()
        if role == "api":
            self._client = None
            # Por el mismo stream que sus tareas: así se lee después de lo último que anunció.
            await self._redis.xadd("events", {"died": "api"}, maxlen=10_000)

    def alive(self, role: Role) -> bool:
        return role in self.runs and self.runs[role].exit is None

    @property
    def api(self) -> httpx.AsyncClient | None:
        """Un cliente de la API; None si está muerta."""
        return self._client if self.alive("api") else None

    @property
    def status(self) -> dict[str, bool | str]:
        return {"type": "processes", "api": self.alive("api"), "worker": self.alive("worker")}

    async def close(self) -> None:
        for run in self.runs.values():
            await run.close()

    def _announce(self) -> None:
        self._board.publish(dict(self.status))


def new_client(run: Run) -> httpx.AsyncClient:
    assert run.address is not None
    transport = httpx.AsyncHTTPTransport(uds=run.address.path or None, limits=httpx.Limits(max_connections=None))
    return httpx.AsyncClient(transport=transport, base_url=run.address.http, timeout=None, trust_env=False)
