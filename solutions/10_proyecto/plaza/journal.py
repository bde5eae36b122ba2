"""El diario de cada sala: lo que se dice, se edita y se borra, numerado sin huecos y guardado en PostgreSQL.

Lo que llega en unos milisegundos se guarda en una sola transacción. Lo confirmado a quien lo envió está guardado; el
anuncio por el bus viene después, y si se pierde, quien lo eche en falta lo lee de aquí.
"""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import RowMapping
from sqlalchemy.exc import IntegrityError

from plaza import metrics
from plaza.bus import Bus
from plaza.database import Database, Transaction, is_away
from plaza.limits import Limiter
from plaza.logs import current_request_id

MAX_BATCH = 500
GATHER_SECONDS = 0.004
RETRY_SECONDS = 1.0

logger = structlog.get_logger()


class Refused(Exception):
    """No se hace, y por qué: los códigos del protocolo (`forbidden`, `muted`, `rate_limited`…)."""

    def __init__(self, code: str, detail: str, retry_after: float | None = None) -> None:
        super().__init__(code)
        self.code, self.detail, self.retry_after = code, detail, retry_after


@dataclass(frozen=True)
class Draft:
    """Un mensaje por guardar; `received_at`, en segundos de época."""

    room_id: int
    user_id: int
    username: str
    client_id: str
    text: str
    received_at: float = field(default_factory=time.time)
    request_id: str = field(default_factory=current_request_id)

    @property
    def key(self) -> tuple[int, str]:
        return self.user_id, self.client_id


@dataclass(frozen=True)
class Ack:
    seq: int
    id: int
    room_id: int


@dataclass(frozen=True)
class Event:
    """Un suceso numerado de una sala y el texto JSON que se envía a cada conexión."""

    room_id: int
    seq: int
    text: str

    def envelope(self, received_at: float = 0.0) -> tuple[str, str]:
        """El canal y el aviso que viajan por el bus."""
        return channel_of(self.room_id), f"{self.seq} {received_at:.3f} {self.text}"


def channel_of(room_id: int) -> str:
    return f"room:{room_id}"


# El candado de la sala da el turno: quien lo tiene reparte números, y los demás procesos esperan su vez.
LOCK_ROOMS = "SELECT id FROM rooms WHERE id = ANY(:rooms) ORDER BY id FOR UPDATE"
LOCK_MESSAGE = "SELECT room_id FROM messages WHERE id = :id AND NOT deleted FOR UPDATE"

APPEND = """
WITH wanted AS (
    SELECT * FROM unnest(CAST(:rooms AS bigint[]), CAST(:users AS bigint[]), CAST(:clients AS text[]),
                         CAST(:texts AS text[])) WITH ORDINALITY AS w (room_id, user_id, client_id, text, turn)
), fresh AS (
    SELECT w.*, r.direct_pair, r.last_seq + row_number() OVER (PARTITION BY w.room_id ORDER BY w.turn) AS seq
    FROM wanted w JOIN rooms r ON r.id = w.room_id JOIN members m USING (room_id, user_id)
    WHERE NOT EXISTS (SELECT 1 FROM messages x WHERE x.user_id = w.user_id AND x.client_id = w.client_id)
      AND NOT EXISTS (SELECT 1 FROM restrictions x WHERE x.room_id = w.room_id AND x.user_id = w.user_id
                      AND x.expires_at > now())
), written AS (
    INSERT INTO messages (room_id, seq, user_id, client_id, text)
    SELECT room_id, seq, user_id, client_id, text FROM fresh
    RETURNING id, room_id, seq, user_id, client_id, text, sent_at
), moved AS (
    UPDATE rooms SET last_seq = last_seq + added.count
    FROM (SELECT room_id, count(*) FROM fresh GROUP BY room_id) added WHERE rooms.id = added.room_id
), promised AS (
    INSERT INTO tasks (user_id, name, payload)
    SELECT w.user_id, 'notify', jsonb_build_object('message', w.id)
    FROM written w JOIN fresh f USING (user_id, client_id) WHERE f.direct_pair IS NOT NULL OR w.text LIKE '%@%'
    RETURNING id, CAST(payload ->> 'message' AS bigint) AS message_id
)
SELECT written.*, promised.id AS task_id FROM written LEFT JOIN promised ON promised.message_id = written.id
ORDER BY seq
"""

ALREADY = """
SELECT user_id, client_id, id, room_id, seq FROM messages
WHERE (user_id, client_id) IN (SELECT * FROM unnest(CAST(:users AS bigint[]), CAST(:clients AS text[])))
"""

WHY_NOT = """
SELECT r.id, m.user_id IS NOT NULL AS member,
       (SELECT kind FROM restrictions x WHERE x.room_id = r.id AND x.user_id = :user AND x.expires_at > now()
        ORDER BY kind LIMIT 1) AS restriction
FROM rooms r LEFT JOIN members m ON m.room_id = r.id AND m.user_id = :user WHERE r.id = :room
"""

EVENTS_AFTER = """
SELECT m.seq, 'message' AS kind, m.id, m.room_id, u.username, m.text, m.sent_at, m.edited_at, m.deleted, m.client_id
FROM messages m JOIN users u ON u.id = m.user_id WHERE m.room_id = :room AND m.seq > :after
UNION ALL
SELECT r.seq, r.kind, m.id, m.room_id, u.username, m.text, m.sent_at, m.edited_at, m.deleted, m.client_id
FROM revisions r JOIN messages m ON m.id = r.message_id JOIN users u ON u.id = m.user_id
WHERE r.room_id = :room AND r.seq > :after
ORDER BY seq LIMIT :limit
"""


@dataclass
class Journal:
    """Escribe y lee los diarios. `on_silent(salas)`: se ha guardado algo que el bus no ha podido anunciar."""

    database: Database
    bus: Bus
    limiter: Limiter
    on_silent: Callable[[set[int]], None] = field(init=False)
    on_tasks: Callable[[Sequence[UUID], str], None] = field(init=False)
    _drafts: list[tuple[Draft, "asyncio.Future[Ack]"]] = field(init=False, default_factory=list)
    _wake: asyncio.Event = field(init=False, default_factory=asyncio.Event)

    async def append(self, draft: Draft) -> Ack:
        """Guarda un mensaje. El mismo `client_id` otra vez da el mismo recibo.

        Raises:
            Refused: no puede hablar ahí, habla demasiado o la base de datos no está.
        """
        done: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
        self._drafts.append((draft, done))
        self._wake.set()
        return await done

    async def run(self) -> None:
        """Guarda lo que se vaya juntando, de tanda en tanda."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(GATHER_SECONDS)
            batch, self._drafts = self._drafts[:MAX_BATCH], self._drafts[MAX_BATCH:]
            if not self._drafts:
                self._wake.clear()
            await self._keep(batch)

    async def _keep(self, batch: list[tuple[Draft, "asyncio.Future[Ack]"]]) -> None:
        try:
            outcomes, rows = await self._write(await self._within_limits(batch))
        except Exception as error:
            if not is_away(error):
                logger.exception("no se ha podido guardar una tanda", size=len(batch))
            refused = Refused("unavailable", "No se ha podido guardar; repítelo igual", RETRY_SECONDS)
            for _, done in batch:
                _settle(done, refused)
            return
        for draft, done in batch:
            if not done.done():
                _settle(done, outcomes[draft.key])
        await self._announce(batch, rows)

    async def _within_limits(self, batch: list[tuple[Draft, "asyncio.Future[Ack]"]]) -> list[Draft]:
        """Los que caben en el límite de su autor; a los demás les dice cuánto esperar."""
        wanted: dict[str, int] = {}
        for draft, _ in batch:
            wanted[f"limit:send:{draft.user_id}"] = wanted.get(f"limit:send:{draft.user_id}", 0) + 1
        grants = await self.limiter.take(wanted)
        left = {key: grant.granted for key, grant in grants.items()}
        allowed: dict[tuple[int, str], Draft] = {}
        for draft, done in batch:
            key = f"limit:send:{draft.user_id}"
            if left[key] <= 0:
                metrics.rate_limited.inc()
                _settle(done, Refused("rate_limited", "Vas demasiado deprisa", grants[key].retry_after))
                continue
            left[key] -= 1
            allowed.setdefault(draft.key, draft)
        return list(allowed.values())

    async def _write(self, drafts: list[Draft]) -> tuple[dict[tuple[int, str], Ack | Refused], Sequence[RowMapping]]:
        """Guarda una tanda; devuelve qué ha sido de cada borrador y las filas nuevas."""
        if not drafts:
            return {}, []
        try:
            async with self.database.transaction() as transaction:
                return await self._append(transaction, drafts)
        except IntegrityError:
            # Otro proceso guardaba a la vez el mismo client_id en otra sala: de uno en uno, cada cual verá el suyo.
            if len(drafts) == 1:
                return await self._write(drafts)
            outcomes: dict[tuple[int, str], Ack | Refused] = {}
            rows: list[RowMapping] = []
            for draft in drafts:
                outcome, written = await self._write([draft])
                outcomes |= outcome
                rows += written
            return outcomes, rows

    async def _append(
        self, transaction: Transaction, drafts: list[Draft]
    ) -> tuple[dict[tuple[int, str], Ack | Refused], Sequence[RowMapping]]:
        # region TODO 13: Toma el turno con LOCK_ROOMS y guarda con APPEND; lo que no salga nuevo estaba ya (ALREADY)
        #   o no se puede (self._why_not). Devuelve {draft.key: Ack | Refused} y las filas nuevas.
        #: rows: Sequence[RowMapping] = []
        #: return {draft.key: Refused("unavailable", "Por escribir") for draft in drafts}, rows
        await transaction.fetch(LOCK_ROOMS, rooms=sorted({draft.room_id for draft in drafts}))
        rows = await transaction.fetch(
            APPEND,
            rooms=[draft.room_id for draft in drafts],
            users=[draft.user_id for draft in drafts],
            clients=[draft.client_id for draft in drafts],
            texts=[draft.text for draft in drafts],
        )
        outcomes: dict[tuple[int, str], Ack | Refused] = {
            (row["user_id"], row["client_id"]): Ack(row["seq"], row["id"], row["room_id"]) for row in rows
        }
        missing = [draft for draft in drafts if draft.key not in outcomes]
        if missing:
            users, clients = [draft.user_id for draft in missing], [draft.client_id for draft in missing]
            for row in await transaction.fetch(ALREADY, users=users, clients=clients):
                outcomes[row["user_id"], row["client_id"]] = Ack(row["seq"], row["id"], row["room_id"])
        for draft in missing:
            if draft.key not in outcomes:
                outcomes[draft.key] = await self._why_not(transaction, draft)
        return outcomes, rows
        # endregion

    async def _why_not(self, transaction: Transaction, draft: Draft) -> Refused:
        row = await transaction.fetch_one(WHY_NOT, room=draft.room_id, user=draft.user_id)
        if row is None:
            return Refused("unknown_room", "No existe esa sala")
        if row["restriction"] == "mute":
            return Refused("muted", "Te han silenciado en esta sala")
        return Refused("forbidden", "No puedes escribir en esta sala")

    async def _announce(self, batch: list[tuple[Draft, "asyncio.Future[Ack]"]], rows: Sequence[RowMapping]) -> None:
        if not rows:
            return
        drafts = {draft.key: draft for draft, _ in batch}
        events = []
        for row in rows:
            draft = drafts[row["user_id"], row["client_id"]]
            fields = {**row, "kind": "message", "username": draft.username, "edited_at": None, "deleted": False}
            events.append(event_of(fields).envelope(draft.received_at))
        metrics.published.inc(len(rows))
        if not (self.bus.healthy and await self.bus.publish(events)):
            self.on_silent({row["room_id"] for row in rows})
        for row in rows:
            if row["task_id"] is not None:
                self.on_tasks([row["task_id"]], drafts[row["user_id"], row["client_id"]].request_id)

    async def revise(self, message_id: int, kind: str, text: str) -> RowMapping | None:
        """Edita o borra un mensaje: cambia su texto y ocupa el número siguiente de su sala. None si ya está borrado."""
        async with self.database.transaction() as transaction:
            # Con la fila tomada: si otro lo borra a la vez, uno de los dos llega después y lo ve.
            alive = await transaction.fetch_one(LOCK_MESSAGE, id=message_id)
            if alive is None:
                return None
            row = await transaction.fetch_one(
                "UPDATE rooms SET last_seq = last_seq + 1 WHERE id = :room RETURNING id AS room_id, last_seq AS seq",
                room=alive["room_id"],
            )
            assert row
            await transaction.execute(
                "INSERT INTO revisions (room_id, seq, message_id, kind) VALUES (:room, :seq, :id, :kind)",
                room=row["room_id"],
                seq=row["seq"],
                id=message_id,
                kind=kind,
            )
            changed = await transaction.fetch_one(
                "UPDATE messages m SET text = :text, edited_at = now(), deleted = :deleted FROM users u "
                "WHERE m.id = :id AND u.id = m.user_id RETURNING m.*, u.username",
                id=message_id,
                text=text,
                deleted=kind == "deleted",
            )
        assert changed
        event = event_of({**changed, "kind": kind, "seq": row["seq"]})
        if not (self.bus.healthy and await self.bus.publish([event.envelope()])):
            self.on_silent({event.room_id})
        return changed

    async def events_after(self, room_id: int, after: int, limit: int) -> list[Event]:
        """Los sucesos de la sala tras `after`, en orden, con el texto que tienen hoy."""
        rows = await self.database.fetch(EVENTS_AFTER, room=room_id, after=after, limit=limit)
        return [event_of(row) for row in rows]

    async def heads(self, room_ids: list[int]) -> dict[int, int]:
        """El último número de cada sala."""
        rows = await self.database.fetch("SELECT id, last_seq FROM rooms WHERE id = ANY(:ids)", ids=room_ids)
        return {row["id"]: row["last_seq"] for row in rows}


def message_of(row: RowMapping | dict[str, Any]) -> dict[str, Any]:
    """Un mensaje tal como lo ve el cliente."""
    return {
        "id": row["id"],
        "room": row["room_id"],
        "seq": row["seq"],
        "user": row["username"],
        "text": "" if row["deleted"] else row["text"],
        "sent_at": row["sent_at"].isoformat(),
        "edited_at": row["edited_at"].isoformat() if row["edited_at"] else None,
        "deleted": row["deleted"],
        "client_id": row["client_id"],
    }


def event_of(row: RowMapping | dict[str, Any]) -> Event:
    message = message_of(row)
    if row["kind"] == "message":
        content = {"type": "message", **message}
    else:
        content = {"type": row["kind"], **{key: message[key] for key in ("room", "seq", "id", "text")}}
    return Event(row["room_id"], row["seq"], dump(content))


def dump(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _settle(done: "asyncio.Future[Ack]", outcome: Ack | Refused) -> None:
    """Quien esperaba puede haberse ido."""
    if done.done():
        return
    if isinstance(outcome, Refused):
        done.set_exception(outcome)
    else:
        done.set_result(outcome)
