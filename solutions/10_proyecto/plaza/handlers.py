"""Lo que hace cada tarea. Repetirla deja lo mismo que hacerla una vez."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from plaza.bus import Bus
from plaza.database import Database
from plaza.settings import Settings

MENTION = re.compile(r"(?<![\w@])@([a-z0-9_]{2,32})\b")
MAX_MENTIONS = 50
EXCERPT = 200


@dataclass(frozen=True)
class Workshop:
    """Lo que tiene a mano un obrero."""

    settings: Settings
    database: Database
    bus: Bus


Handler = Callable[[Workshop, UUID, dict[str, Any]], Awaitable[None]]

CAUSE = """
SELECT m.id, m.room_id, m.user_id, m.text, u.username, r.name, r.direct_pair IS NOT NULL AS direct
FROM messages m JOIN users u ON u.id = m.user_id JOIN rooms r ON r.id = m.room_id
WHERE m.id = :id AND NOT m.deleted
"""

# La clave (persona, clase, causa) hace que la segunda vez no inserte nada.
NOTIFY = """
INSERT INTO notifications (user_id, kind, source, room_id, message_id, text, task_id, email_after)
SELECT x.user_id, :kind, :source, :room, :message, :text, :task, now() + make_interval(secs => :wait)
FROM members x JOIN users u ON u.id = x.user_id
WHERE x.room_id = :room AND x.user_id <> :author AND (:direct OR u.username = ANY(:mentioned))
  AND NOT EXISTS (SELECT 1 FROM restrictions b WHERE b.room_id = x.room_id AND b.user_id = x.user_id
                  AND b.kind = 'ban' AND b.expires_at > now())
ON CONFLICT (user_id, kind, source) DO NOTHING
"""


async def notify(shop: Workshop, task_id: UUID, payload: dict[str, Any]) -> None:
    """Avisa a quienes se menciona en un mensaje o, en una sala directa, a la otra persona."""
    # region TODO 23: Lee la causa, inserta los avisos con NOTIFY y anúncialos con _announce.
    #: return
    cause = await shop.database.fetch_one(CAUSE, id=payload["message"])
    if cause is None:
        return
    source = f"message:{cause['id']}"
    await shop.database.execute(
        NOTIFY,
        kind="direct" if cause["direct"] else "mention",
        source=source,
        room=cause["room_id"],
        message=cause["id"],
        text=f"{cause['username']} en {cause['name']}: {cause['text'][:EXCERPT]}",
        task=task_id,
        wait=shop.settings.email_after_seconds,
        author=cause["user_id"],
        direct=cause["direct"],
        mentioned=MENTION.findall(cause["text"])[:MAX_MENTIONS],
    )
    await _announce(shop, source)
    # endregion


async def moderation(shop: Workshop, task_id: UUID, payload: dict[str, Any]) -> None:
    """Dice a alguien que lo han silenciado o expulsado."""
    await shop.database.execute(
        "INSERT INTO notifications (user_id, kind, source, room_id, text, task_id, email_after) "
        "VALUES (:user, 'moderation', :source, :room, :text, :task, now() + make_interval(secs => :wait)) "
        "ON CONFLICT (user_id, kind, source) DO NOTHING",
        user=payload["user"],
        source=payload["source"],
        room=payload["room"],
        text=payload["text"],
        task=task_id,
        wait=shop.settings.email_after_seconds,
    )
    await _announce(shop, payload["source"])


async def _announce(shop: Workshop, source: str) -> None:
    """Anuncia los que sigan sin entregar: también si la vez anterior se murió justo antes de esto."""
    for row in await shop.database.fetch(
        "SELECT id, user_id FROM notifications WHERE source = :source AND delivered_at IS NULL", source=source
    ):
        await shop.bus.announce("notification", user=row["user_id"], id=row["id"])


HANDLERS: dict[str, Handler] = {"notify": notify, "moderation": moderation}
