"""El escenario: dos servidores de verdad, el de los apuntes y el correcto, con cuatro pestañas de Ana en cada uno."""

import asyncio
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal

import httpx
from pydantic import BaseModel
from tabs import Tab, TabState

from taller.runner import Run, Runner

HERE = Path(__file__).parent
START_SECONDS = 20.0
EXIT_SECONDS = 3.0
# Con cuatro pestañas y este peso, la congelada atasca a los apuntes a mitad de la ráfaga.
FILLING = "x" * 9_000
PACE_SECONDS = 0.03

Kind = Literal["naive", "right"]
MODULES: dict[Kind, str] = {"naive": "notes_server:app", "right": "server:app"}
# Antes de la congelada, ella y detrás: en los apuntes el orden importa.
NAMES = ("portátil", "congelada", "móvil", "tableta")


class Farewell(BaseModel):
    """Lo que vio cada uno al apagarse el servidor; `seconds`, desde SIGTERM."""

    seconds: float
    exit: str
    order: str
    stream: str
    report_saved: bool
    resources_closed: bool


class SideState(BaseModel):
    """`pending` son los envíos pedidos que aún no han vuelto; `queues`, lo que espera en la cola de cada pestaña."""

    alive: bool
    sent: int
    pending: int
    limit: int | None
    queues: dict[str, int]
    tabs: list[TabState]
    farewell: Farewell | None


class Side:
    def __init__(self, kind: Kind, runner: Runner) -> None:
        self.kind, self._runner = kind, runner
        self.run: Run | None = None
        self.tabs: list[Tab] = []
        self.sent = self.pending = 0
        self.farewell: Farewell | None = None
        self._sending: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Estrena servidor y pestañas."""
        await self.close()
        self.sent = self.pending = 0
        self.farewell = None
        uvicorn = {"timeout_graceful_shutdown": 2} if self.kind == "right" else {}
        run = await self._runner.launch(HERE, MODULES[self.kind], env={"SEND_SECONDS": "2"}, uvicorn=uvicorn)
        self.run = await run.ready(START_SECONDS)
        assert run.address is not None
        transport = httpx.AsyncHTTPTransport(
            uds=run.address.path or None, limits=httpx.Limits(max_connections=None, max_keepalive_connections=0)
        )
        self.http = httpx.AsyncClient(
            transport=transport, base_url=run.address.http, timeout=httpx.Timeout(None), trust_env=False
        )
        for name in NAMES:
            self.tabs.append(await Tab.open(run.address, name))

    async def close(self) -> None:
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        for tab in self.tabs:
            await tab.close()
        self.tabs = []
        if self.run is not None:
            await self.http.aclose()
            await self.run.close()
            self.run = None

    @property
    def alive(self) -> bool:
        return self.run is not None and self.run.exit is None

    def tab(self, name: str) -> Tab:
        """
        Raises:
            KeyError: ninguna pestaña se llama así.
        """
        found = next((tab for tab in self.tabs if tab.name == name), None)
        if found is None:
            raise KeyError(name)
        return found

    # region rafaga
    async def burst(self, count: int) -> None:
        """`count` mensajes para Ana, uno detrás de otro, sin esperar a que vuelva el anterior."""
        for _ in range(count):
            if not self.alive:
                return
            self.sent += 1
            task = asyncio.create_task(self._send(self.sent))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
            await asyncio.sleep(PACE_SECONDS)

    async def _send(self, number: int) -> None:
        self.pending += 1
        try:
            with suppress(httpx.HTTPError):
                await self.http.post("/users/ana/messages", json={"n": number, "filling": FILLING})
        finally:
            self.pending -= 1

    # endregion

    async def come_back(self, name: str) -> None:
        """Un cambio de antena: esa pestaña vuelve con el mismo nombre, y la conexión vieja se cierra después."""
        old = self.tab(name)
        assert self.run is not None
        assert self.run.address is not None
        new = await Tab.open(self.run.address, name)
        self.tabs[self.tabs.index(old)] = new
        await old.close()

    async def state(self) -> SideState:
        limit, queues = None, dict[str, int]()
        if self.alive:
            with suppress(httpx.HTTPError, TimeoutError):
                async with asyncio.timeout(0.5):
                    answer = (await self.http.get("/queues/ana")).json()
                limit, queues = answer["limit"], {queue["tab"]: queue["size"] for queue in answer["queues"]}
        return SideState(
            alive=self.alive,
            sent=self.sent,
            pending=self.pending,
            limit=limit,
            queues=queues,
            tabs=[tab.state for tab in self.tabs],
            farewell=self.farewell,
        )

    async def terminate(self) -> Farewell:
        """SIGTERM con todo abierto: una petición a medias, un flujo, una tarea y las pestañas."""
        assert self.run is not None
        order = asyncio.create_task(self._order())
        stream = asyncio.create_task(self._follow())
        await self.http.post("/reports")
        await self._until_log("petición empezada", "informe empezado")
        started = time.monotonic()
        self.run.signal(signal.SIGTERM)
        ended = await self.run.ended(EXIT_SECONDS)
        seconds = time.monotonic() - started
        if ended is None:
            self.run.signal(signal.SIGKILL)
            await self.run.ended(EXIT_SECONDS)
        await stream
        self.farewell = Farewell(
            seconds=round(seconds, 2),
            exit="sigue vivo: kill -9" if ended is None else str(ended),
            order=await order,
            stream="acabado" if "flujo cerrado" in self.run.log else "cortado",
            report_saved="informe guardado" in self.run.log,
            resources_closed="recursos cerrados" in self.run.log,
        )
        return self.farewell

    async def _order(self) -> str:
        try:
            return str((await self.http.post("/orders")).status_code)
        except httpx.HTTPError:
            return "cortada"

    async def _follow(self) -> None:
        """Sigue el flujo hasta que se acaba o se corta."""
        with suppress(httpx.HTTPError):
            async with self.http.stream("GET", "/events") as response:
                async for _ in response.aiter_lines():
                    pass

    async def _until_log(self, *wanted: str) -> None:
        assert self.run is not None
        async with asyncio.timeout(5.0):
            while not all(text in self.run.log for text in wanted):  # noqa: ASYNC110  # lo dice otro proceso
                await asyncio.sleep(0.01)


class Stage:
    def __init__(self, runner: Runner) -> None:
        self.sides: dict[Kind, Side] = {kind: Side(kind, runner) for kind in MODULES}
        self.changing = asyncio.Lock()

    @property
    def both(self) -> list[Side]:
        return list(self.sides.values())

    async def restart(self) -> None:
        await asyncio.gather(*(side.start() for side in self.both))

    async def close(self) -> None:
        await asyncio.gather(*(side.close() for side in self.both))
