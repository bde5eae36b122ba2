"""El WebSocket: recibe órdenes de una conexión y las cumple. Lo que sale hacia ella pasa por su bandeja (`hub`)."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import structlog
from fastapi import APIRouter, Query, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from redis.exceptions import RedisError

from plaza import metrics
from plaza.commands import Command, Join, Leave, Ping, Position, Read, Renew, Say, Typing, parse, reply_fields
from plaza.database import is_away
from plaza.hub import SESSION_ENDED, Connection
from plaza.journal import Draft, Event, Refused, channel_of, dump
from plaza.resources import Plaza, Resources
from plaza.rooms import MEMBERS, enter, members_key
from plaza.sessions import Identity, NotSignedIn

router = APIRouter()
logger = structlog.get_logger()

BINARY, NOT_ALLOWED, TOO_LARGE, TOO_MANY = 1003, 1008, 1009, 4029
MAX_FRAME = 64 * 1024
TYPING_SECONDS = 1.0


@router.websocket("/ws")
async def chat(websocket: WebSocket, plaza: Plaza, ticket: str = Query("")) -> None:
    identity = await admit(websocket, plaza, ticket)
    if identity is None:
        return
    connection = Connection(websocket, identity, plaza.settings)
    # Ya, y no cuando esté dentro: si su sesión se cierra mientras entra, que encuentren también esta conexión.
    plaza.hub.add(connection)
    if not await open_door(connection, plaza):
        return
    writer = asyncio.create_task(connection.write())
    listener = asyncio.create_task(Conversation(connection, plaza).listen())
    code = 1006
    try:
        plaza.notices.hurry()
        await asyncio.wait((writer, listener), return_when=asyncio.FIRST_COMPLETED)
        # A quien se ha despedido no se le escucha más: el que está atascado no contesta ni a eso.
        code = connection.closing or await listener
    finally:
        plaza.hub.remove(connection)
        plaza.presence.leave(identity.user_id, identity.username, connection.id)
        metrics.count_close(connection.closing or code)
        listener.cancel()
        if connection.closing is None:
            writer.cancel()
        await asyncio.gather(writer, listener, return_exceptions=True)


async def admit(websocket: WebSocket, plaza: Resources, ticket: str) -> Identity | None:
    """Quién es, o None después de negarle la entrada: antes de aceptar, así que recibe un 403 (o un 503)."""
    origin = websocket.headers.get("origin")
    if origin and plaza.settings.origins and origin not in plaza.settings.origins:
        await websocket.close(NOT_ALLOWED)
        return None
    try:
        return await plaza.sessions.redeem(ticket)
    except NotSignedIn:
        await websocket.close(NOT_ALLOWED)
    except Exception as error:
        if not (isinstance(error, RedisError) or is_away(error)):
            raise
        await websocket.send_denial_response(
            JSONResponse({"detail": "Vuelve en un momento"}, 503, {"Retry-After": "2"})
        )
    return None


async def open_door(connection: Connection, plaza: Resources) -> bool:
    """Acepta la conexión. False, y la cierra, si esa persona ya tiene demasiadas."""
    identity, welcome = connection.identity, False
    try:
        await connection.websocket.accept()
        welcome = await plaza.presence.arrive(identity.user_id, identity.username, connection.id)
        if not welcome:
            metrics.count_close(TOO_MANY)
            await connection.websocket.close(TOO_MANY)
    finally:
        if not welcome:
            plaza.hub.remove(connection)
    return welcome


class People(BaseModel):
    """La gente de una sala, tal como se guarda en la caché: cuántos son, y los primeros 200."""

    total: int
    people: list[tuple[int, str]]


class Conversation:
    """Una conexión y lo que va pidiendo."""

    def __init__(self, connection: Connection, plaza: Resources) -> None:
        self.connection, self.plaza = connection, plaza
        self.typed_at: dict[int, float] = {}
        self.expiry = self._close_at_expiry()

    async def listen(self) -> int:
        """Atiende hasta que se cierra; devuelve el código de cierre."""
        try:
            while True:
                message = await self.connection.websocket.receive()
                if message["type"] == "websocket.disconnect":
                    return int(message["code"])
                text = message.get("text")
                if text is None:
                    self.connection.close(BINARY)
                elif len(text) > MAX_FRAME or len(text.encode()) > MAX_FRAME:
                    self.connection.close(TOO_LARGE)
                else:
                    await self._serve(text)
        except WebSocketDisconnect as closed:
            return closed.code
        finally:
            self.expiry.cancel()

    async def _serve(self, text: str) -> None:
        for line in text.split("\n"):
            if line.strip() and self.connection.closing is None:
                try:
                    await self._obey(parse(line))
                except Refused as refused:
                    self._refuse(refused, line)
                except Exception as error:
                    if not (isinstance(error, RedisError) or is_away(error)):
                        raise
                    self._refuse(Refused("unavailable", "Vuelve a intentarlo en un momento", 1.0), line)

    async def _obey(self, command: Command) -> None:
        match command:
            case Ping():
                self._tell({"type": "pong"})
            case Say():
                await self._say(command)
            case Join():
                await self._join(command)
            case Leave():
                self._require_joined(command.room)
                self.plaza.hub.leave(self.connection, command.room)
            case Typing():
                await self._typing(command)
            case Read():
                await self._read(command)
            case Renew():
                await self._renew(command)

    async def _say(self, command: Say) -> None:
        # region TODO 15: Exige estar en la sala, guarda el mensaje en el diario y contesta con su recibo («ack»).
        #: raise Refused("unavailable", "Por escribir")
        self._require_joined(command.room)
        user = self.connection.identity
        draft = Draft(command.room, user.user_id, user.username, command.client_id, command.text)
        ack = await self.plaza.journal.append(draft)
        self._tell({"type": "ack", "client_id": command.client_id, "room": ack.room_id, "seq": ack.seq, "id": ack.id})
        # endregion

    async def _join(self, command: Join) -> None:
        user, hub, room_id = self.connection.identity, self.plaza.hub, command.room
        rooms = self.connection.rooms
        if room_id not in rooms and len(rooms) >= self.plaza.settings.rooms_per_connection:
            raise Refused("forbidden", "Estás ya en demasiadas salas")
        try:
            room, newcomer = await enter(self.plaza.database, room_id, user.user_id)
        except PermissionError:
            raise Refused("forbidden", "No puedes entrar en esta sala") from None
        if room is None:
            raise Refused("unknown_room", "No existe esa sala")
        if newcomer:
            await self.plaza.cache.forget(members_key(room_id))
            arrival = dump({"type": "presence", "room": room_id, "user": user.username, "online": True})
            await self.plaza.bus.publish([(channel_of(room_id), f"0 {user.user_id} {arrival}")])
        # Hasta `head`, lo cuenta esta respuesta; desde ahí, la sala. Lo que pase mientras se prepara espera su turno.
        head = await self.plaza.feed.follow(room_id, room["last_seq"])
        hub.join(self.connection, room_id)
        self.connection.hold(room_id)
        try:
            total, members = await self._members(room_id)
            recovered, missed = await self._recover(command.position, room["epoch"], room_id, head)
            if sum(len(event.text.encode()) for event in missed) > self.plaza.settings.outbox_bytes / 2:
                # Contárselo lo echaría por lento, y al volver, otra vez: que lo lea por páginas.
                recovered, missed = False, []
            self._tell(
                {
                    "type": "joined",
                    "room": room_id,
                    "epoch": room["epoch"],
                    "seq": head,
                    "recovered": recovered,
                    "member_count": total,
                    "members": members,
                }
            )
            for event in missed:
                hub.tell(self.connection, event.text)
        except BaseException:
            hub.leave(self.connection, room_id)
            raise
        finally:
            self.connection.release(room_id)

    async def _recover(
        self, position: Position | None, epoch: str, room_id: int, head: int
    ) -> tuple[bool | None, Sequence[Event]]:
        """Si se le puede contar todo lo que se perdió, y qué es. None si no dijo dónde estaba."""
        # region TODO 16: Se puede si la época es la de la sala, la posición no pasa de head y falta como mucho
        #   history_events. Los sucesos, de journal.events_after.
        #: return None, []
        if position is None:
            return None, []
        missing = head - position.seq
        if position.epoch != epoch or not 0 <= missing <= self.plaza.settings.history_events:
            metrics.recoveries.labels("lost").inc()
            return False, []
        metrics.recoveries.labels("recovered").inc()
        if not missing:
            return True, []
        events = await self.plaza.journal.events_after(room_id, position.seq, missing)
        return True, [event for event in events if event.seq <= head]
        # endregion

    async def _members(self, room_id: int) -> tuple[int, list[dict[str, Any]]]:
        async def load() -> str:
            rows = await self.plaza.database.fetch(MEMBERS, room=room_id)
            people = [(row["user_id"], row["username"]) for row in rows]
            return People(total=rows[0]["total"] if rows else 0, people=people).model_dump_json()

        saved = People.model_validate_json(await self.plaza.cache.get(members_key(room_id), load))
        online = await self.plaza.presence.online([user_id for user_id, _ in saved.people])
        return saved.total, [{"username": name, "online": user_id in online} for user_id, name in saved.people]

    async def _typing(self, command: Typing) -> None:
        self._require_joined(command.room)
        now = time.monotonic()
        if now - self.typed_at.get(command.room, 0.0) < TYPING_SECONDS:
            return
        self.typed_at[command.room] = now
        user = self.connection.identity
        text = dump({"type": "typing", "room": command.room, "user": user.username})
        await self.plaza.bus.publish([(channel_of(command.room), f"0 {user.user_id} {text}")])

    async def _read(self, command: Read) -> None:
        self._require_joined(command.room)
        await self.plaza.database.execute(
            "UPDATE members m SET read_seq = greatest(m.read_seq, least(:seq, r.last_seq)) FROM rooms r "
            "WHERE r.id = m.room_id AND m.room_id = :room AND m.user_id = :user",
            seq=command.seq,
            room=command.room,
            user=self.connection.identity.user_id,
        )

    async def _renew(self, command: Renew) -> None:
        try:
            identity = await self.plaza.sessions.identify(command.token)
        except NotSignedIn:
            raise Refused("forbidden", "Ese token no vale") from None
        if identity.user_id != self.connection.identity.user_id:
            raise Refused("forbidden", "Ese token es de otra persona")
        self.connection.identity = identity
        self.expiry.cancel()
        self.expiry = self._close_at_expiry()
        self._tell({"type": "renewed", "expires_in": round(identity.seconds_left)})

    def _close_at_expiry(self) -> asyncio.TimerHandle:
        left = self.connection.identity.seconds_left
        return asyncio.get_running_loop().call_later(left, self.connection.close, SESSION_ENDED)

    def _require_joined(self, room_id: int) -> None:
        if room_id not in self.connection.rooms:
            raise Refused("not_joined", "Antes hay que entrar en la sala")

    def _tell(self, content: dict[str, Any]) -> None:
        self.plaza.hub.tell(self.connection, dump(content))

    def _refuse(self, refused: Refused, line: str) -> None:
        content = {"type": "error", "code": refused.code, "detail": refused.detail, **reply_fields(line)}
        if refused.retry_after is not None:
            content["retry_after"] = refused.retry_after
        self._tell(content)
