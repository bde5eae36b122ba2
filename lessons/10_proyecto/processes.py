"""Los procesos de Plaza: los web, que se matan y se levantan en su mismo puerto, y lo que hace falta para tenerlos."""

import re
import signal
from contextlib import suppress
from pathlib import Path

import httpx

from taller.errors import TallerError
from taller.runner import Run, Runner
from taller.services.places import free_port

PROJECT = Path(__file__).resolve().parents[2] / "solutions" / "10_proyecto"
START_SECONDS, MIGRATE_SECONDS, EXIT_SECONDS = 20.0, 60.0, 5.0
METRICS_SECONDS = 1.0
EVICTED = re.compile(r"^plaza_slow_consumers_total (\S+)$", re.MULTILINE)


class StageError(TallerError):
    """El escenario no se puede montar."""


class Web:
    """Un proceso web de Plaza."""

    def __init__(self, name: str, runner: Runner, env: dict[str, str], http: httpx.AsyncClient) -> None:
        self.name, self._runner, self._env, self._http = name, runner, env, http
        self.port = free_port()
        self._run: Run | None = None

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        return self._run is not None and self._run.exit is None

    async def start(self) -> None:
        """Lo arranca, si no está en marcha, y espera a que atienda."""
        if self.alive:
            return
        options = {"log_level": "warning", "timeout_graceful_shutdown": 2}
        run = await self._runner.launch(PROJECT, "plaza.main:app", env=self._env, port=self.port, uvicorn=options)
        self._run = await run.ready(START_SECONDS)

    async def kill(self) -> None:
        """SIGKILL: sin despedirse de nadie."""
        await self._end(signal.SIGKILL)

    async def deploy(self) -> None:
        """Lo que hace un despliegue: SIGTERM, esperar a que se vaya y arrancar el nuevo."""
        await self._end(signal.SIGTERM)
        await self.start()

    async def _end(self, number: int) -> None:
        if self._run is not None:
            self._run.signal(number)
            await self._run.ended(EXIT_SECONDS)
            await self.close()

    # region metrica
    async def evicted(self) -> int:
        """Cuántas conexiones ha expulsado por lentas, según sus propias métricas; 0 si no contesta."""
        with suppress(httpx.HTTPError):
            answer = await self._http.get(f"{self.base}/metrics", timeout=METRICS_SECONDS)
            found = EVICTED.search(answer.text)
            return int(float(found[1])) if found else 0
        return 0

    # endregion

    async def close(self) -> None:
        if self._run is not None:
            await self._run.close()
            self._run = None


async def migrate(runner: Runner, env: dict[str, str]) -> None:
    """Crea las tablas de Plaza.

    Raises:
        StageError: no se ha podido.
    """
    run = await runner.once(PROJECT, "plaza.migrations", env=env)
    end = await run.ended(MIGRATE_SECONDS)
    await run.close()
    if end is None or end.code or end.signal:
        raise StageError(
            f"Plaza no ha podido crear sus tablas ({run.log[-300:]}). Prueba con: python3 curso.py proyecto"
        )
