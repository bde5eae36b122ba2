"""El escenario: Plaza entera, con dos procesos web y su obrero, los robots que la usan y los mandos para romperla."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

import httpx
from client import PASSWORD, Person
from ledger import Ledger, ReaderState
from processes import PROJECT, Web, migrate
from pydantic import BaseModel
from robots import Reader, Talker, Town, turns

from taller.runner import start_runner
from taller.services import Postgres, Valkey, postgres, smtp, valkey

# Cada cual habla por una conexión y lee por otra. Quien es cuidadoso, al volver, dice por dónde iba.
PEOPLE = {"ana": True, "bruno": True, "carla": False}
LOOK_SECONDS, CANCEL_SECONDS = 0.25, 3.0
SETTINGS = {
    # Una sesión que dure lo que una clase, y límites que no estorben a los robots ni al cuaderno.
    "PLAZA_ACCESS_SECONDS": "86400",
    "PLAZA_MESSAGES_PER_SECOND": "100",
    "PLAZA_CONNECTIONS_PER_USER": "1000",
    # Poco plazo, para que a quien no lee se le note en segundos; y sitio para lo que se pierda mientras tanto.
    "PLAZA_SEND_SECONDS": "2",
    "PLAZA_OUTBOX_BYTES": str(8 * 2**20),
}

Health = Literal["up", "paused", "down", "busy"]


class StageState(BaseModel):
    """`parts`: cómo está cada pieza; `news`: lo último que ha pasado, como (número, segundos de época, texto)."""

    parts: dict[str, Health]
    bases: dict[str, str]
    password: str
    room: int
    talking: bool
    same_id: bool
    said: int
    acknowledged: int
    readers: list[ReaderState]
    news: list[tuple[int, float, str]]


@dataclass
class Stage:
    webs: Mapping[str, Web]
    redis: Valkey
    database: Postgres
    town: Town
    readers: list[Reader]
    redis_paused: bool = False
    latest: StageState = field(init=False)
    _locks: dict[str, asyncio.Lock] = field(init=False)

    def __post_init__(self) -> None:
        self._locks = {part: asyncio.Lock() for part in (*self.webs, "redis", "postgres")}
        self.latest = self._state()

    # region mandos
    @asynccontextmanager
    async def handling(self, part: str, text: str) -> AsyncIterator[None]:
        """Mientras se toca una pieza: nadie más la toca, y queda apuntado."""
        async with self._locks[part]:
            self.town.ledger.note(text)
            yield

    async def kill(self, web: Web) -> None:
        async with self.handling(web.name, f"kill -9 al proceso {web.name}"):
            await web.kill()

    async def deploy(self, web: Web) -> None:
        async with self.handling(web.name, f"SIGTERM al proceso {web.name}, y otro en su lugar"):
            await web.deploy()

    async def pause_redis(self) -> None:
        async with self.handling("redis", "Redis se queda mudo"):
            self.redis.pause()
            self.redis_paused = True

    async def restart_postgres(self) -> None:
        async with self.handling("postgres", "PostgreSQL se reinicia"):
            await self.database.restart()

    # endregion

    async def start(self, web: Web) -> None:
        async with self.handling(web.name, f"Arranca el proceso {web.name}"):
            await web.start()

    async def resume_redis(self) -> None:
        async with self.handling("redis", "Redis vuelve a contestar"):
            self.redis.resume()
            self.redis_paused = False

    async def restart_redis(self) -> None:
        async with self.handling("redis", "Redis se reinicia, y vuelve vacío"):
            await self.redis.restart()
            self.redis_paused = False

    def stall(self) -> None:
        """El primer lector deja de leer; los robots hablan largo, para que se le note antes."""
        self.town.chatty = True
        self.readers[0].stall()
        self.town.ledger.note(f"{self.readers[0].name} pasa a una conexión estrecha y deja de leer")

    def wake(self) -> None:
        self.town.chatty = False
        self.readers[0].wake()
        self.town.ledger.note(f"{self.readers[0].name} vuelve a leer")

    async def look(self) -> None:
        """Una foto cada poco: la misma para todos los que miran."""
        while True:
            self.latest = self._state()
            await asyncio.sleep(LOOK_SECONDS)

    async def watch_slow(self) -> None:
        """Lo que cuenta Plaza de quien no lee: quien se ha atascado no lo sabe hasta que vuelve."""
        before = dict.fromkeys(self.webs, 0)
        while True:
            for name, web in self.webs.items():
                evicted = await web.evicted()
                if evicted > before[name]:
                    self.town.ledger.note(f"El proceso {name} expulsa a una conexión que no lee (4008)")
                before[name] = evicted
            await asyncio.sleep(LOOK_SECONDS)

    def _state(self) -> StageState:
        town = self.town
        return StageState(
            parts={part: self._health(part) for part in self._locks},
            bases=town.bases,
            password=PASSWORD,
            room=town.room,
            talking=town.talking.is_set(),
            same_id=town.same_id,
            said=len(town.ledger.said),
            acknowledged=town.ledger.acknowledged,
            readers=[reader.state() for reader in self.readers],
            news=list(town.ledger.news),
        )

    def _health(self, part: str) -> Health:
        if self._locks[part].locked():
            return "busy"
        if part in self.webs:
            return "up" if self.webs[part].alive else "down"
        return "paused" if part == "redis" and self.redis_paused else "up"


@asynccontextmanager
async def open_stage() -> AsyncIterator[Stage]:
    """Todo en marcha; al salir se deshace al revés, y no queda nada."""
    runner = start_runner(thorough=True)
    async with AsyncExitStack() as stack:
        stack.callback(runner.close)
        database = await stack.enter_async_context(postgres())
        redis = await stack.enter_async_context(valkey())
        mailbox = await stack.enter_async_context(smtp())
        servers = {"DATABASE_URL": await database.create_database(), "REDIS_URL": redis.url, "SMTP_URL": mailbox.url}
        env = SETTINGS | servers
        await asyncio.to_thread(runner.backend.wait_warm)
        await migrate(runner, env)
        # Uno para todas las miradas: hacer un cliente lee los certificados del sistema, y eso son milisegundos de CPU.
        http = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
        webs = {name: Web(name, runner, env, http) for name in ("A", "B")}
        for web in webs.values():
            stack.push_async_callback(web.close)
        worker = await runner.work(PROJECT, "plaza.tasks:broker", env=env)
        stack.push_async_callback(worker.close)
        await asyncio.gather(*(web.start() for web in webs.values()))
        stage = await _populate(webs, redis, database, stack)
        yield stage


async def _populate(webs: dict[str, Web], redis: Valkey, database: Postgres, stack: AsyncExitStack) -> Stage:
    """La gente, la sala y los robots, cada uno en su tarea."""
    town = Town({name: web.base for name, web in webs.items()}, Ledger(PEOPLE))
    base, names = webs["A"].base, list(webs)
    people = [Person(name) for name in PEOPLE]
    await asyncio.gather(*(person.enter(base) for person in people))
    town.room = await people[0].open_room(base, "la plaza")
    talkers = [Talker(person, town, turns(place, names)) for place, person in enumerate(people)]
    readers = [Reader(person, town, PEOPLE[person.name], turns(place, names)) for place, person in enumerate(people)]
    stage = Stage(webs, redis, database, town, readers)
    jobs = [stage.look, stage.watch_slow, *(reader.run for reader in readers), *(talker.run for talker in talkers)]
    stack.push_async_callback(_cancel, [asyncio.create_task(job()) for job in jobs])
    return stage


async def _cancel(tasks: list["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    # Con plazo: en Python 3.11 una cancelación se puede perder por el camino.
    await asyncio.wait(tasks, timeout=CANCEL_SECONDS)
