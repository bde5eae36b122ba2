"""Lo que comparten las rutas: se abre al arrancar, se cierra al terminar y llega a cada ruta como dependencia."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated
from uuid import UUID

import structlog
from fastapi import Depends
from redis.asyncio import Redis
from starlette.requests import HTTPConnection

from plaza.bus import Bus, connect
from plaza.cache import Cache
from plaza.database import Database
from plaza.drain import Drain
from plaza.feed import Feed
from plaza.hub import SESSION_ENDED, Hub
from plaza.journal import Journal, dump
from plaza.limits import Limiter
from plaza.notices import Notices
from plaza.presence import Presence
from plaza.sessions import Sessions
from plaza.settings import Settings
from plaza.tasks import Queue
from plaza.vitals import Vitals

STILL_MEMBERS = """
SELECT room_id, user_id FROM unnest(CAST(:rooms AS bigint[]), CAST(:users AS bigint[])) AS w (room_id, user_id)
JOIN members USING (room_id, user_id)
WHERE NOT EXISTS (SELECT 1 FROM restrictions x WHERE x.kind = 'ban' AND x.room_id = w.room_id
                  AND x.user_id = w.user_id AND x.expires_at > now())
"""
LOGINS_PER_SECOND, LOGINS_AT_ONCE = 0.2, 10
logger = structlog.get_logger()
VERIFY_SECONDS = 1.0
# Con bus, se pregunta una vez de cada tantas.
VERIFICATIONS_WITH_BUS = 10
# Lo que se espera a Redis al arrancar.
FIRST_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Resources:
    settings: Settings
    database: Database
    redis: Redis
    bus: Bus
    sessions: Sessions
    logins: Limiter
    cache: Cache
    hub: Hub
    journal: Journal
    feed: Feed
    presence: Presence
    queue: Queue
    notices: Notices
    vitals: Vitals
    drain: Drain
    # Lo que no se ha de parar nunca. Si algo se para, el proceso ya no sirve: /health/live lo dice.
    jobs: list["asyncio.Task[None]"] = field(default_factory=list)

    @property
    def stopped(self) -> list[str]:
        return [job.get_name() for job in self.jobs if job.done()]

    async def expel(self, room_id: int, user_id: int) -> None:
        """Saca a alguien de una sala en todos los procesos."""
        self.forget_member(room_id, user_id)
        await self.bus.announce("expelled", room=room_id, user=user_id)

    def forget_member(self, room_id: int, user_id: int) -> None:
        for connection in list(self.hub.users.get(user_id, ())):
            if room_id in connection.rooms:
                self.hub.leave(connection, room_id)
                detail = {"code": "forbidden", "detail": "Ya no estás en esta sala", "room": room_id}
                self.hub.tell(connection, dump({"type": "error", **detail}))

    async def end_session(self, session_id: UUID) -> None:
        """Cierra una sesión y sus conexiones en todos los procesos."""
        if await self.sessions.revoke(session_id):
            self.close_session(session_id)
            await self.bus.announce("session_ended", session=str(session_id))

    def close_session(self, session_id: UUID) -> None:
        for connection in list(self.hub.connections):
            if connection.identity.session_id == session_id:
                connection.close(SESSION_ENDED)
        self.notices.close_session(session_id)
        self.vitals.close_session(session_id)

    def receive(self, channel: str, text: str) -> None:
        """Un aviso del bus: de una sala, o de control."""
        kind, _, number = channel.partition(":")
        if kind == "room":
            self.feed.receive(int(number), text)
            return
        notice = json.loads(text)
        match notice["kind"]:
            case "expelled":
                self.forget_member(notice["room"], notice["user"])
            case "session_ended":
                self.close_session(UUID(notice["session"]))
            case "presence":
                self.tell_presence(notice["user"], notice["username"], notice["online"], notice["rooms"])
            case "saved":
                self.feed.hurry(set(notice["rooms"]))
            case "notification":
                self.notices.arrived(notice["user"], notice["id"])

    def tell_presence(self, user_id: int, username: str, online: bool, rooms: list[int]) -> None:
        for room_id in rooms:
            text = dump({"type": "presence", "room": room_id, "user": username, "online": online})
            self.hub.tell_room(room_id, text, but=user_id)

    async def verify(self) -> None:
        """Mientras no hay bus, nadie avisa de quién ha perdido su sesión o su sala: se pregunta a la base.

        Cuando vuelve, se pregunta una vez más, aunque la base tarde en contestar: algún aviso se habrá perdido. Y con
        él sano, de cuando en cuando: quien avisa también puede morir antes de avisar.
        """
        doubtful = False
        for turn in itertools.count():
            await asyncio.sleep(VERIFY_SECONDS)
            doubtful = doubtful or not self.bus.healthy or turn % VERIFICATIONS_WITH_BUS == 0
            if doubtful:
                with contextlib.suppress(Exception):
                    await self.verify_once()
                    doubtful = not self.bus.healthy

    async def verify_once(self) -> None:
        everyone = (*self.hub.connections, *self.notices.everyone, *self.vitals.viewers)
        sessions = {each.identity.session_id for each in everyone}
        for ended in sessions - await self.sessions.open_ids(list(sessions)):
            self.close_session(ended)
        joined = {(room, each.identity.user_id) for each in self.hub.connections for room in each.rooms}
        rows = await self.database.fetch(
            STILL_MEMBERS,
            rooms=[room for room, _ in joined],
            users=[user for _, user in joined],
        )
        for room_id, user_id in joined - {(row["room_id"], row["user_id"]) for row in rows}:
            self.forget_member(room_id, user_id)

    async def found_bus(self) -> None:
        """Se ha vuelto a encontrar Redis: lo que se contó mientras tanto hay que leerlo, y contar lo que no se pudo."""
        await self.feed.tell_untold()
        await self.feed.catch_up()
        await self.presence.beat()
        self.notices.hurry()


@contextlib.asynccontextmanager
async def open_resources(settings: Settings) -> AsyncIterator[Resources]:
    """Todo en marcha; al salir, todo cerrado."""
    database, redis = Database(settings.database_url), connect(settings.redis_url)
    bus = Bus(settings.redis_url, redis)
    hub, drain = Hub(settings), Drain()
    rate = settings.messages_per_second
    journal = Journal(database, bus, Limiter(redis, rate, rate * 2, lambda: bus.healthy))
    feed = Feed(hub, bus, journal)
    presence = Presence(database, redis, bus, settings.connections_per_user)
    queue = Queue(database)
    notices = Notices(settings, database, hub, bus)
    resources = Resources(
        settings=settings,
        database=database,
        redis=redis,
        bus=bus,
        sessions=Sessions(settings, database, redis),
        logins=Limiter(redis, LOGINS_PER_SECOND, LOGINS_AT_ONCE, lambda: bus.healthy),
        cache=Cache(redis),
        hub=hub,
        journal=journal,
        feed=feed,
        presence=presence,
        queue=queue,
        notices=notices,
        vitals=Vitals("web", redis, database, settings.sample_seconds),
        drain=drain,
    )
    bus.on_event, bus.on_found = resources.receive, resources.found_bus
    journal.on_silent, journal.on_tasks = feed.silent, queue.hurry
    presence.living = lambda: [each.presence_key for each in hub.connections]
    jobs = (bus.run, hub.run, journal.run, feed.run, presence.run, notices.run, resources.vitals.run, resources.verify)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        stack.push_async_callback(redis.aclose)
        stack.push_async_callback(queue.close)
        stack.push_async_callback(presence.close)
        stack.push_async_callback(_cancel, resources.jobs)
        for job in jobs:
            resources.jobs.append(asyncio.create_task(job(), name=job.__qualname__))
            resources.jobs[-1].add_done_callback(_complain)
        # Sin Redis se atiende igual; pero si está, lo primero que se diga ya lo oirán los demás procesos.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LOOK_SECONDS):
                await bus.found.wait()
        yield resources


def _complain(job: "asyncio.Task[None]") -> None:
    if not job.cancelled() and (error := job.exception()) is not None:
        logger.error("se ha parado una tarea del proceso", job=job.get_name(), exc_info=error)


async def _cancel(tasks: list["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def get_resources(connection: HTTPConnection) -> Resources:
    resources: Resources = connection.app.state.resources
    return resources


Plaza = Annotated[Resources, Depends(get_resources)]
