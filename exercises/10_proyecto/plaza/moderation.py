"""Moderar: silenciar, expulsar, denunciar. Se nota en menos de dos segundos, también en las conexiones abiertas."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, HTTPException, Path
from pydantic import BaseModel, Field
from sqlalchemy import RowMapping

from plaza.access import User
from plaza.database import Transaction
from plaza.fields import Id, Line, Username
from plaza.logs import current_request_id
from plaza.resources import Plaza
from plaza.rooms import STAFF, RoomId, members_key, require_reader, require_role, user_id_of

router = APIRouter(prefix="/api", tags=["moderación"])
Measure = Annotated[Literal["mutes", "bans"], Path()]
KINDS = {"mutes": "mute", "bans": "ban"}


class NewRestriction(BaseModel):
    username: Username
    minutes: Annotated[int, Field(ge=1, le=525_600)]
    reason: Line


class Restriction(BaseModel):
    id: int
    username: str
    expires_at: datetime


class NewReport(BaseModel):
    message: Id
    reason: Line


class Report(BaseModel):
    id: int
    message: int
    room: int
    reporter: str
    reason: str
    created_at: datetime


@router.post("/rooms/{room_id}/{measure}", status_code=201)
async def restrict(room_id: RoomId, measure: Measure, new: NewRestriction, user: User, plaza: Plaza) -> Restriction:
    await require_role(plaza.database, room_id, user.user_id, STAFF)
    other_id = await user_id_of(plaza.database, new.username)
    async with plaza.database.transaction() as transaction:
        await _refuse_owner(transaction, room_id, other_id)
        row = await transaction.fetch_one(
            "INSERT INTO restrictions (room_id, user_id, kind, reason, expires_at) "
            "VALUES (:room, :user, :kind, :reason, now() + make_interval(mins => :minutes)) "
            "ON CONFLICT (room_id, user_id, kind) DO UPDATE SET reason = excluded.reason, "
            "expires_at = excluded.expires_at RETURNING id, expires_at",
            room=room_id,
            user=other_id,
            kind=KINDS[measure],
            reason=new.reason,
            minutes=new.minutes,
        )
        assert row
        task_id = await _promise_notice(transaction, room_id, other_id, KINDS[measure], new, row)
    if measure == "bans":
        await plaza.expel(room_id, other_id)
    plaza.queue.hurry([task_id], current_request_id())
    return Restriction(id=row["id"], username=new.username, expires_at=row["expires_at"])


async def _refuse_owner(transaction: Transaction, room_id: int, user_id: int) -> None:
    owner = await transaction.fetch_one(
        "SELECT 1 FROM members WHERE room_id = :room AND user_id = :user AND role = 'owner'",
        room=room_id,
        user=user_id,
    )
    if owner:
        raise HTTPException(403, "Quien creó la sala no se modera")


async def _promise_notice(
    transaction: Transaction, room_id: int, user_id: int, kind: str, new: NewRestriction, row: RowMapping
) -> UUID:
    verb = {"mute": "silenciado en", "ban": "expulsado de"}[kind]
    saved = await transaction.fetch_one(
        "INSERT INTO tasks (user_id, name, payload) VALUES (:user, 'moderation', jsonb_build_object("
        "'user', CAST(:user AS bigint), 'room', CAST(:room AS bigint), 'source', CAST(:source AS text), "
        "'text', CAST(:text AS text))) RETURNING id",
        user=user_id,
        room=room_id,
        source=f"{kind}:{row['id']}:{row['expires_at'].isoformat()}",
        text=f"Te han {verb} la sala durante {new.minutes} min: {new.reason}",
    )
    assert saved
    task_id: UUID = saved["id"]
    return task_id


@router.delete("/rooms/{room_id}/{measure}/{username}", status_code=204)
async def forgive(room_id: RoomId, measure: Measure, username: Username, user: User, plaza: Plaza) -> None:
    await require_role(plaza.database, room_id, user.user_id, STAFF)
    other_id = await user_id_of(plaza.database, username)
    lifted = await plaza.database.execute(
        "DELETE FROM restrictions WHERE room_id = :room AND user_id = :user AND kind = :kind",
        room=room_id,
        user=other_id,
        kind=KINDS[measure],
    )
    if not lifted:
        raise HTTPException(404, "No tiene esa sanción")
    await plaza.cache.forget(members_key(room_id))


@router.post("/reports", status_code=201)
async def report(new: NewReport, user: User, plaza: Plaza) -> Report:
    message = await plaza.database.fetch_one("SELECT room_id FROM messages WHERE id = :id", id=new.message)
    if message is None:
        raise HTTPException(404, "No existe ese mensaje")
    await require_reader(plaza.database, message["room_id"], user.user_id)
    row = await plaza.database.fetch_one(
        "INSERT INTO reports (message_id, reporter_id, reason) VALUES (:message, :user, :reason) "
        "ON CONFLICT (message_id, reporter_id) DO UPDATE SET reason = excluded.reason RETURNING *",
        message=new.message,
        user=user.user_id,
        reason=new.reason,
    )
    assert row
    return Report(
        id=row["id"],
        message=new.message,
        room=message["room_id"],
        reporter=user.username,
        reason=row["reason"],
        created_at=row["created_at"],
    )


PENDING = """
SELECT p.id, p.message_id AS message, x.room_id AS room, u.username AS reporter, p.reason, p.created_at
FROM reports p JOIN messages x ON x.id = p.message_id JOIN users u ON u.id = p.reporter_id
JOIN members m ON m.room_id = x.room_id AND m.user_id = :user AND m.role IN ('owner', 'moderator')
WHERE p.resolved_at IS NULL ORDER BY p.id
"""


@router.get("/reports")
async def pending_reports(user: User, plaza: Plaza) -> list[Report]:
    """Las que esperan en las salas que modero."""
    return [Report(**row) for row in await plaza.database.fetch(PENDING, user=user.user_id)]


@router.post("/reports/{report_id}/resolve", status_code=204)
async def resolve(report_id: Annotated[Id, Path()], user: User, plaza: Plaza) -> None:
    row = await plaza.database.fetch_one(
        "SELECT room_id FROM reports p JOIN messages m ON m.id = p.message_id WHERE p.id = :id", id=report_id
    )
    if row is None:
        raise HTTPException(404, "No existe esa denuncia")
    await require_role(plaza.database, row["room_id"], user.user_id, STAFF)
    await plaza.database.execute("UPDATE reports SET resolved_at = now() WHERE id = :id", id=report_id)
