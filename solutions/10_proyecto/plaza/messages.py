"""Los mensajes ya dichos: leer hacia atrás, editar, borrar y buscar. Decirlos es cosa del WebSocket (`chat`)."""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query
from pydantic import AfterValidator, BaseModel, Field
from sqlalchemy import RowMapping

from plaza.access import User
from plaza.fields import Id, Seq, Text
from plaza.journal import message_of
from plaza.resources import Plaza
from plaza.rooms import STAFF, RoomId, require_reader, require_role

router = APIRouter(prefix="/api", tags=["mensajes"])
MessageId = Annotated[Id, Path()]
COLUMNS = "m.id, m.room_id, m.seq, u.username, m.text, m.sent_at, m.edited_at, m.deleted, m.client_id, m.user_id"


class Page(BaseModel):
    """`messages` de más antiguo a más nuevo; `next_before`, para pedir los anteriores (null si no hay)."""

    messages: list[dict[str, Any]]
    next_before: int | None = None


class Edit(BaseModel):
    text: Text


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("no puede llevar el carácter NUL")
    return value


Wanted = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_no_nul), Query()]


@router.get("/rooms/{room_id}/messages")
async def history(
    room_id: RoomId,
    user: User,
    plaza: Plaza,
    before: Annotated[Seq | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Page:
    """Se pagina por número, no por posición: aunque lleguen mensajes entre página y página, no se repite ninguno."""
    await require_reader(plaza.database, room_id, user.user_id)
    rows = await plaza.database.fetch(
        f"SELECT {COLUMNS} FROM messages m JOIN users u ON u.id = m.user_id "
        "WHERE m.room_id = :room AND m.seq < :before ORDER BY m.seq DESC LIMIT :limit",
        room=room_id,
        before=before if before is not None else 2**63 - 1,
        limit=limit,
    )
    messages = [message_of(row) for row in reversed(rows)]
    return Page(messages=messages, next_before=messages[0]["seq"] if len(rows) == limit else None)


@router.patch("/messages/{message_id}")
async def edit(message_id: MessageId, change: Edit, user: User, plaza: Plaza) -> dict[str, Any]:
    message = await _visible(plaza, message_id, user.user_id)
    if message["user_id"] != user.user_id:
        raise HTTPException(403, "Solo lo edita quien lo escribió")
    await _require_voice(plaza, message["room_id"], user.user_id)
    edited = await plaza.journal.revise(message_id, "edited", change.text)
    if edited is None:
        raise HTTPException(409, "Ese mensaje se borró")
    return message_of(edited)


@router.delete("/messages/{message_id}", status_code=204)
async def delete(message_id: MessageId, user: User, plaza: Plaza) -> None:
    message = await _visible(plaza, message_id, user.user_id)
    if message["user_id"] != user.user_id:
        await require_role(plaza.database, message["room_id"], user.user_id, STAFF)
    await plaza.journal.revise(message_id, "deleted", "")


SEARCH = f"""
SELECT {COLUMNS} FROM messages m JOIN users u ON u.id = m.user_id JOIN rooms r ON r.id = m.room_id
LEFT JOIN members mine ON mine.room_id = r.id AND mine.user_id = :user
WHERE m.words @@ websearch_to_tsquery('spanish', :wanted) AND NOT m.deleted
  AND (CAST(:room AS bigint) IS NULL OR r.id = :room) AND (NOT r.private OR mine.user_id IS NOT NULL)
  AND NOT EXISTS (SELECT 1 FROM restrictions b WHERE b.room_id = r.id AND b.user_id = :user AND b.kind = 'ban'
                  AND b.expires_at > now())
ORDER BY m.id DESC LIMIT 50
"""


@router.get("/search")
async def search(q: Wanted, user: User, plaza: Plaza, room: Annotated[Id | None, Query()] = None) -> Page:
    """Los 50 más recientes con esas palabras, en las salas que puedo ver."""
    rows = await plaza.database.fetch(SEARCH, user=user.user_id, wanted=q, room=room)
    return Page(messages=[message_of(row) for row in rows])


async def _visible(plaza: Plaza, message_id: int, user_id: int) -> RowMapping:
    row = await plaza.database.fetch_one("SELECT room_id, user_id FROM messages WHERE id = :id", id=message_id)
    if row is None:
        raise HTTPException(404, "No existe ese mensaje")
    await require_reader(plaza.database, row["room_id"], user_id)
    return row


async def _require_voice(plaza: Plaza, room_id: int, user_id: int) -> None:
    muted = await plaza.database.fetch_one(
        "SELECT 1 FROM restrictions WHERE room_id = :room AND user_id = :user AND expires_at > now()",
        room=room_id,
        user=user_id,
    )
    if muted:
        raise HTTPException(403, "Te han silenciado en esta sala")
