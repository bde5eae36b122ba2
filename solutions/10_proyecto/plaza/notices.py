"""Llevar los avisos a quien esté aquí: por su WebSocket o, si no, por su flujo SSE. Del correo se ocupa `mail`.

La fila de la bandeja de entrada es la verdad; `delivered_by` dice qué canal la llevó, y se escribe cuando ya salió.
"""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import RowMapping

from plaza import metrics
from plaza.bus import Bus
from plaza.database import Database, is_away
from plaza.hub import Hub
from plaza.journal import dump
from plaza.sessions import Identity
from plaza.settings import Settings

# Lo que espera un flujo a que otro proceso, con un WebSocket de la misma persona, lo entregue antes.
GRACE_SECONDS = 0.6
POLL_SECONDS = 1.0
MAX_WAITING = 1000

COLUMNS = """
n.id, n.kind, n.room_id, n.message_id, n.text, n.created_at, n.read_at, n.delivered_by, n.delivered_at, n.task_id
"""
logger = structlog.get_logger()


def notification_of(row: RowMapping) -> dict[str, Any]:
    """Un aviso tal como lo ve el cliente."""
    moments = {key: row[key].isoformat() if row[key] else None for key in ("created_at", "read_at", "delivered_at")}
    return {
        "id": row["id"],
        "kind": row["kind"],
        "room": row["room_id"],
        "message": row["message_id"],
        "text": row["text"],
        **moments,
        "delivered_by": row["delivered_by"],
        "task": str(row["task_id"]),
    }


@dataclass(eq=False)
class Stream:
    """Un flujo SSE de avisos; None en la cola lo termina."""

    identity: Identity
    queue: "asyncio.Queue[RowMapping | None]" = field(default_factory=lambda: asyncio.Queue(MAX_WAITING))

    def offer(self, row: RowMapping) -> bool:
        try:
            self.queue.put_nowait(row)
        except asyncio.QueueFull:
            self.end()
            return False
        return True

    def end(self) -> None:
        while self.queue.full():
            self.queue.get_nowait()
        self.queue.put_nowait(None)


@dataclass
class Notices:
    settings: Settings
    database: Database
    hub: Hub
    bus: Bus
    streams: dict[int, set[Stream]] = field(init=False, default_factory=lambda: defaultdict(set))
    _tasks: set["asyncio.Task[None]"] = field(init=False, default_factory=set)

    @property
    def everyone(self) -> Iterator[Stream]:
        """Los flujos abiertos en este proceso."""
        return itertools.chain.from_iterable(self.streams.values())

    def arrived(self, user_id: int, notification_id: int) -> None:
        """Hay un aviso nuevo para alguien. Si está conectado aquí, se le lleva."""
        if user_id in self.hub.users or user_id in self.streams:
            self._spawn(self._deliver(user_id, notification_id))

    def hurry(self) -> None:
        """Lleva lo que espere a quienes están aquí: al conectarse, y cuando el bus ha podido perder algo."""
        self._spawn(self._deliver_waiting())

    async def run(self) -> None:
        """Sin bus nadie anuncia los avisos: se miran cada segundo."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if not self.bus.healthy:
                await self._deliver_waiting()

    async def _deliver_waiting(self) -> None:
        here = list({*self.hub.users, *self.streams})
        try:
            rows = await self.database.fetch(
                "SELECT id, user_id FROM notifications WHERE user_id = ANY(:here) AND delivered_at IS NULL ORDER BY id",
                here=here,
            )
        except Exception as error:
            if not is_away(error):
                raise
            return
        for row in rows:
            self.arrived(row["user_id"], row["id"])

    async def _deliver(self, user_id: int, notification_id: int) -> None:
        # region TODO 21: Llévalo por WebSocket; si en su plazo no ha salido, por SSE.
        #   Apunta con _delivered quién lo llevó.
        #: return
        if await self._by_websocket(user_id, notification_id):
            await self._delivered(notification_id, "websocket")
        elif user_id in self.streams:
            await asyncio.sleep(GRACE_SECONDS)
            row = await self._undelivered(notification_id)
            taken = [stream.offer(row) for stream in self.streams.get(user_id, ())] if row is not None else []
            if any(taken):
                metrics.degradations.labels("websocket", "sse").inc()
        # endregion

    async def _by_websocket(self, user_id: int, notification_id: int) -> bool:
        """Si alguno de sus WebSockets de este proceso lo ha enviado dentro del plazo."""
        connections = self.hub.users.get(user_id)
        # También el que ya ha llevado un WebSocket de otro proceso: es otra pantalla de la misma persona.
        row = await self._pending(notification_id, "websocket") if connections else None
        if row is None or not connections:
            return False
        sent = asyncio.Event()
        text = dump({"type": "notification", **notification_of(row)})
        for connection in connections:
            self.hub.tell(connection, text, sent.set)
        try:
            async with asyncio.timeout(self.settings.send_seconds):
                await sent.wait()
        except TimeoutError:
            return False
        return True

    async def _undelivered(self, notification_id: int) -> RowMapping | None:
        return await self._pending(notification_id, "")

    async def _pending(self, notification_id: int, channel: str) -> RowMapping | None:
        """El aviso, si nadie lo ha llevado aún o si quien lo llevó fue `channel`."""
        return await self.database.fetch_one(
            f"SELECT {COLUMNS} FROM notifications n WHERE n.id = :id AND coalesce(n.delivered_by, :channel) = :channel",
            id=notification_id,
            channel=channel,
        )

    async def _delivered(self, notification_id: int, channel: str) -> None:
        await self.database.execute(
            "UPDATE notifications SET delivered_by = :channel, delivered_at = now() "
            "WHERE id = :id AND delivered_at IS NULL",
            id=notification_id,
            channel=channel,
        )

    async def sent_by_stream(self, notification_id: int) -> None:
        metrics.delivered.labels("sse").inc()
        await self._delivered(notification_id, "sse")

    def close_session(self, session_id: UUID) -> None:
        self._end(lambda stream: stream.identity.session_id == session_id)

    def end_streams(self) -> None:
        self._end(lambda _: True)

    def _end(self, which: Callable[[Stream], bool]) -> None:
        for stream in self.everyone:
            if which(stream):
                stream.end()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _quietly(self, work: Coroutine[Any, Any, None]) -> None:
        """Sin base de datos el aviso sigue sin entregar, y `hurry` o el correo lo recogerán."""
        try:
            await work
        except Exception as error:
            if not is_away(error):
                logger.exception("no se ha podido entregar un aviso")
