"""Las salas: crearlas, quién está en cada una y qué puede hacer."""

from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Path, Response
from pydantic import BaseModel
from sqlalchemy import RowMapping

from plaza.access import User
from plaza.database import Database
from plaza.fields import Id, Line, Username
from plaza.resources import Plaza

router = APIRouter(prefix="/api/rooms", tags=["salas"])
RoomId = Annotated[Id, Path()]
STAFF = ("owner", "moderator")


class NewRoom(BaseModel):
    name: Line
    private: bool = False


class Room(BaseModel):
    id: int
    name: str
    private: bool


class VisibleRoom(Room):
    """`role` es el mío; null si no soy miembro."""

    member_count: int
    unread: int
    last_seq: int
    role: str | None


class Direct(BaseModel):
    username: Username


class NewMember(BaseModel):
    username: Username
    role: Literal["moderator", "member"] = "member"


VISIBLE = """
SELECT r.id, r.name, r.private, r.last_seq, m.role,
       (SELECT count(*) FROM members c WHERE c.room_id = r.id) AS member_count,
       (SELECT count(*) FROM messages x WHERE m.user_id IS NOT NULL AND x.room_id = r.id AND x.seq > m.read_seq
        AND x.user_id <> :user AND NOT x.deleted) AS unread
FROM rooms r LEFT JOIN members m ON m.room_id = r.id AND m.user_id = :user
WHERE (NOT r.private OR m.user_id IS NOT NULL)
  AND NOT EXISTS (SELECT 1 FROM restrictions b WHERE b.room_id = r.id AND b.user_id = :user AND b.kind = 'ban'
                  AND b.expires_at > now())
ORDER BY r.id
"""


@router.post("", status_code=201)
async def create(room: NewRoom, user: User, plaza: Plaza) -> Room:
    async with plaza.database.transaction() as transaction:
        row = await transaction.fetch_one(
            "INSERT INTO rooms (name, private) VALUES (:name, :private) RETURNING id, name, private",
            name=room.name,
            private=room.private,
        )
        assert row
        await transaction.execute(
            "INSERT INTO members (room_id, user_id, role) VALUES (:room, :user, 'owner')",
            room=row["id"],
            user=user.user_id,
        )
    return Room(**row)


@router.get("")
async def visible(user: User, plaza: Plaza) -> list[VisibleRoom]:
    """Las que puedo ver: las públicas y aquellas en las que estoy."""
    return [VisibleRoom(**row) for row in await plaza.database.fetch(VISIBLE, user=user.user_id)]


@router.post("/direct", responses={201: {"model": Room}})
async def direct(other: Direct, user: User, plaza: Plaza, response: Response) -> Room:
    """La sala de nosotros dos; se crea la primera vez."""
    other_id = await user_id_of(plaza.database, other.username)
    if other_id == user.user_id:
        raise HTTPException(422, "Hace falta otra persona")
    pair = ":".join(str(each) for each in sorted((user.user_id, other_id)))
    async with plaza.database.transaction() as transaction:
        row = await transaction.fetch_one(
            "INSERT INTO rooms (name, private, direct_pair) VALUES (:name, true, :pair) "
            "ON CONFLICT (direct_pair) DO NOTHING RETURNING id, name, private",
            name=f"{user.username} y {other.username}",
            pair=pair,
        )
        if row is not None:
            response.status_code = 201
            await transaction.execute(
                "INSERT INTO members (room_id, user_id, role) VALUES (:room, :one, 'member'), (:room, :two, 'member')",
                room=row["id"],
                one=user.user_id,
                two=other_id,
            )
        else:
            row = await transaction.fetch_one("SELECT id, name, private FROM rooms WHERE direct_pair = :p", p=pair)
            assert row
    return Room(**row)


@router.post("/{room_id}/members", status_code=204)
async def add_member(room_id: RoomId, member: NewMember, user: User, plaza: Plaza) -> None:
    role = await require_role(plaza.database, room_id, user.user_id, STAFF)
    if member.role == "moderator" and role != "owner":
        raise HTTPException(403, "Solo quien creó la sala nombra moderadores")
    other_id = await user_id_of(plaza.database, member.username)
    await plaza.database.execute(
        "INSERT INTO members (room_id, user_id, role) VALUES (:room, :user, :role) "
        "ON CONFLICT (room_id, user_id) DO UPDATE SET role = excluded.role "
        "WHERE members.role <> 'owner' AND CAST(:by AS text) = 'owner'",
        room=room_id,
        user=other_id,
        role=member.role,
        by=role,
    )
    await plaza.cache.forget(members_key(room_id))


@router.delete("/{room_id}/members/{username}", status_code=204)
async def remove_member(room_id: RoomId, username: Username, user: User, plaza: Plaza) -> None:
    """Lo hace quien modera la sala, o uno mismo para irse."""
    other_id = await user_id_of(plaza.database, username)
    if other_id != user.user_id:
        await require_role(plaza.database, room_id, user.user_id, STAFF)
    removed = await plaza.database.execute(
        "DELETE FROM members WHERE room_id = :room AND user_id = :user AND role <> 'owner'",
        room=room_id,
        user=other_id,
    )
    if not removed:
        raise HTTPException(404, "No está en la sala, o es quien la creó")
    await plaza.cache.forget(members_key(room_id))
    await plaza.expel(room_id, other_id)


def members_key(room_id: int) -> str:
    return f"members:{room_id}"


async def user_id_of(database: Database, username: str) -> int:
    row = await database.fetch_one("SELECT id FROM users WHERE username = :name", name=username)
    if row is None:
        raise HTTPException(404, "No existe esa persona")
    return int(row["id"])


ACCESS = """
SELECT r.id, r.name, r.private, r.epoch, r.last_seq, m.role, b.user_id IS NOT NULL AS banned
FROM rooms r LEFT JOIN members m ON m.room_id = r.id AND m.user_id = :user
LEFT JOIN restrictions b ON b.room_id = r.id AND b.user_id = :user AND b.kind = 'ban' AND b.expires_at > now()
WHERE r.id = :room
"""


async def require_reader(database: Database, room_id: int, user_id: int) -> RowMapping:
    """La sala y el papel de la persona; 404 si no existe o no la puede ver; 403 si la han expulsado."""
    row = await database.fetch_one(ACCESS, room=room_id, user=user_id)
    if row is None or (row["private"] and row["role"] is None):
        raise HTTPException(404, "No existe esa sala")
    if row["banned"]:
        raise HTTPException(403, "Te han expulsado de esta sala")
    return row


async def require_role(database: Database, room_id: int, user_id: int, roles: tuple[str, ...]) -> str:
    """El papel de la persona en la sala; además, 403 si no llega."""
    row = await require_reader(database, room_id, user_id)
    if row["role"] not in roles:
        raise HTTPException(403, "No puedes hacer eso en esta sala")
    return str(row["role"])


async def enter(database: Database, room_id: int, user_id: int) -> tuple[RowMapping | None, bool]:
    """La sala, si la persona puede entrar (None si no existe); y si acaba de hacerse miembro.

    Raises:
        PermissionError: expulsada, o privada y ajena.
    """
    row = await database.fetch_one(ACCESS, room=room_id, user=user_id)
    if row is None:
        return None, False
    if row["banned"] or (row["private"] and row["role"] is None):
        raise PermissionError
    if row["role"] is not None:
        return row, False
    # Su contador de no leídos empieza aquí: no ha dejado de leer lo que se dijo antes de que llegara.
    added = await database.execute(
        "INSERT INTO members (room_id, user_id, role, read_seq) VALUES (:room, :user, 'member', :seq) "
        "ON CONFLICT DO NOTHING",
        room=room_id,
        user=user_id,
        seq=row["last_seq"],
    )
    return row, added > 0


MEMBERS = """
SELECT user_id, username, count(*) OVER () AS total
FROM members JOIN users ON users.id = user_id WHERE room_id = :room ORDER BY username LIMIT 200
"""
