"""La bandeja de entrada, su flujo en vivo y el estado de las tareas."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Header, HTTPException, Path, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel

from plaza import metrics
from plaza.access import StreamUser, User
from plaza.fields import LARGEST, Id
from plaza.notices import COLUMNS, Notices, Stream, notification_of
from plaza.resources import Plaza, Resources

router = APIRouter(tags=["avisos"])
RETRY_MS = 2000
REPLAY = 500


class Notification(BaseModel):
    id: int
    kind: str
    room: int
    message: int | None
    text: str
    created_at: datetime
    read_at: datetime | None
    delivered_by: str | None
    delivered_at: datetime | None
    task: UUID


class TaskStatus(BaseModel):
    id: UUID
    status: Literal["queued", "running", "done", "failed"]
    progress: float
    error: str | None


@router.get("/api/notifications")
async def inbox(user: User, plaza: Plaza, unread: Annotated[bool, Query()] = False) -> list[Notification]:
    """Los 200 más recientes, primero el último."""
    rows = await plaza.database.fetch(
        f"SELECT {COLUMNS} FROM notifications n WHERE n.user_id = :user AND (NOT :unread OR n.read_at IS NULL) "
        "ORDER BY n.id DESC LIMIT 200",
        user=user.user_id,
        unread=unread,
    )
    return [Notification(**notification_of(row)) for row in rows]


@router.post("/api/notifications/{notification_id}/read", status_code=204)
async def mark_read(notification_id: Annotated[Id, Path()], user: User, plaza: Plaza) -> None:
    found = await plaza.database.execute(
        "UPDATE notifications SET read_at = coalesce(read_at, now()) WHERE id = :id AND user_id = :user",
        id=notification_id,
        user=user.user_id,
    )
    if not found:
        raise HTTPException(404, "No existe ese aviso")


@router.get("/api/tasks/{task_id}")
async def task_status(task_id: Annotated[UUID, Path()], user: User, plaza: Plaza) -> TaskStatus:
    """De las tareas que he causado yo, o de las que me han avisado."""
    row = await plaza.database.fetch_one(
        "SELECT id, status, progress, error FROM tasks t WHERE id = :id AND (user_id = :user OR EXISTS ("
        "SELECT 1 FROM notifications n WHERE n.task_id = t.id AND n.user_id = :user))",
        id=task_id,
        user=user.user_id,
    )
    if row is None:
        raise HTTPException(404, "No existe esa tarea")
    return TaskStatus(**row)


@router.get("/events/notifications", response_class=EventSourceResponse)
async def live(
    user: StreamUser, plaza: Plaza, last_event_id: Annotated[str, Header()] = ""
) -> AsyncIterator[ServerSentEvent]:
    """Los avisos que van llegando; con `Last-Event-ID`, antes los que haya después de ese."""
    stream = Stream(user)
    expiry = asyncio.get_running_loop().call_later(user.seconds_left, stream.end)
    plaza.notices.streams[user.user_id].add(stream)
    metrics.connections.labels("sse").inc()
    metrics.opened.labels("sse").inc()
    try:
        yield ServerSentEvent(retry=RETRY_MS, comment="conectado")
        seen = 0
        if last_event_id.isdecimal() and int(last_event_id) <= LARGEST:
            for row in await _after(plaza, user.user_id, int(last_event_id)):
                seen = row["id"]
                yield _event(notification_of(row))
                await plaza.notices.sent_by_stream(row["id"])
        plaza.notices.hurry()
        while (new := await stream.queue.get()) is not None:
            if new["id"] > seen:
                yield _event(notification_of(new))
                # Al volver aquí, el suceso ya se ha escrito en la conexión.
                await plaza.notices.sent_by_stream(new["id"])
    finally:
        expiry.cancel()
        _close(plaza.notices, stream)


async def _after(plaza: Resources, user_id: int, last: int) -> Any:
    return await plaza.database.fetch(
        f"SELECT {COLUMNS} FROM notifications n WHERE n.user_id = :user AND n.id > :last ORDER BY n.id LIMIT {REPLAY}",
        user=user_id,
        last=last,
    )


def _event(notification: dict[str, Any]) -> ServerSentEvent:
    return ServerSentEvent(event="notification", id=str(notification["id"]), data=notification)


def _close(notices: Notices, stream: Stream) -> None:
    user_id = stream.identity.user_id
    notices.streams[user_id].discard(stream)
    if not notices.streams[user_id]:
        del notices.streams[user_id]
    metrics.connections.labels("sse").dec()
