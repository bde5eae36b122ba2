"""Quién está conectado a este proceso, y cómo le llega lo que pasa sin que el lento retrase a los demás.

Cada conexión tiene una bandeja de salida acotada y una tarea que la vacía. Lo que se junta para una conexión sale en
una sola trama, y lo que va a toda una sala se junta una vez para todos.
"""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import uuid4

from fastapi import WebSocket, WebSocketDisconnect

from plaza import metrics
from plaza.sessions import Identity
from plaza.settings import Settings

TOO_SLOW = 4008
SESSION_ENDED = 4001
MAX_PENDING = 10_000
CLOSE_SECONDS = 1.0
# Cuántas conexiones escriben antes de dejar pasar a lo demás: quien acaba de hablar no espera a que escriban todas.
WRITERS_AT_ONCE = 25


@dataclass(eq=False)
class Connection:
    """Un WebSocket abierto y lo que espera para salir por él."""

    websocket: WebSocket
    identity: Identity
    settings: Settings
    id: str = field(default_factory=lambda: uuid4().hex)
    rooms: set[int] = field(default_factory=set)
    opened_at: float = field(default_factory=time.monotonic)
    closing: int | None = None
    _outbox: list[str] = field(default_factory=list)
    _bytes: int = 0
    _sent: list[Callable[[], None]] = field(default_factory=list)
    # Lo que llega de una sala mientras se le cuenta lo que se perdió: sale después, en orden.
    _held: dict[int, list[str]] = field(default_factory=dict)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def presence_key(self) -> str:
        return f"{self.identity.user_id}:{self.identity.username}:{self.id}"

    def push(self, text: str, on_sent: Callable[[], None] | None = None) -> None:
        """Encola un texto (una o más líneas JSON). Si la bandeja se desborda, la conexión se cierra con 4008."""
        # region TODO 11: Encola si cabe; si se pasa de outbox_bytes o de MAX_PENDING, ciérrala por lenta.
        #: self._outbox.append(text)
        if self.closing is not None:
            return
        self._outbox.append(text)
        self._bytes += len(text.encode())
        if on_sent is not None:
            self._sent.append(on_sent)
        if self._bytes > self.settings.outbox_bytes or len(self._outbox) > MAX_PENDING:
            self.close(TOO_SLOW)
        # endregion

    def push_room(self, room_id: int, text: str) -> None:
        held = self._held.get(room_id)
        if held is None:
            self.push(text)
        else:
            held.append(text)

    def hold(self, room_id: int) -> None:
        self._held[room_id] = []

    def release(self, room_id: int) -> None:
        for text in self._held.pop(room_id, []):
            self.push(text)

    @property
    def pending_bytes(self) -> int:
        return self._bytes

    @property
    def has_pending(self) -> bool:
        return bool(self._outbox)

    def flush(self) -> None:
        self._wake.set()

    def close(self, code: int) -> None:
        """Pide el cierre; lo hace la tarea que escribe."""
        if self.closing is None:
            self.closing = code
            self._outbox.clear()
            self._bytes = 0
            if code == TOO_SLOW:
                metrics.slow_consumers.inc()
        self._wake.set()

    async def write(self) -> None:
        """Vacía la bandeja, una trama cada vez, hasta que la conexión se cierre. Un envío que no acaba, la cierra."""
        # region TODO 12: Espera a _wake y envía junto lo que haya, separado por saltos de línea.
        #   Un envío que pase de send_seconds cierra la conexión por lenta.
        #: await self._wake.wait()
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            while self.closing is None:
                await self._wake.wait()
                self._wake.clear()
                if not self._outbox:
                    continue
                frame, sent = "\n".join(self._outbox), self._sent
                self._outbox, self._sent, self._bytes = [], [], 0
                try:
                    async with asyncio.timeout(self.settings.send_seconds):
                        await self.websocket.send_text(frame)
                except TimeoutError:
                    self.close(TOO_SLOW)
                    break
                for callback in sent:
                    callback()
        # endregion
        await self._say_goodbye()

    async def _say_goodbye(self) -> None:
        if self.closing is None:
            return
        # Con un cliente atascado, cerrar también se atascaría: se le da un momento y se le cuelga.
        with contextlib.suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.websocket.close(self.closing)


@dataclass
class Hub:
    """Las conexiones de este proceso, por sala y por usuario."""

    settings: Settings
    connections: set[Connection] = field(init=False, default_factory=set)
    rooms: dict[int, set[Connection]] = field(init=False, default_factory=lambda: defaultdict(set))
    users: dict[int, set[Connection]] = field(init=False, default_factory=lambda: defaultdict(set))
    _pending: dict[int, list[str]] = field(init=False, default_factory=lambda: defaultdict(list))
    _received: list[float] = field(init=False, default_factory=list)
    _dirty: asyncio.Event = field(init=False, default_factory=asyncio.Event)

    def add(self, connection: Connection) -> None:
        self.connections.add(connection)
        self.users[connection.identity.user_id].add(connection)
        metrics.connections.labels("websocket").inc()
        metrics.opened.labels("websocket").inc()

    def remove(self, connection: Connection) -> None:
        for room_id in list(connection.rooms):
            self.leave(connection, room_id)
        self.connections.discard(connection)
        _discard(self.users, connection.identity.user_id, connection)
        metrics.connections.labels("websocket").dec()

    def join(self, connection: Connection, room_id: int) -> None:
        """Desde ahora recibe lo de la sala, y nada de antes."""
        self._hand_out(room_id)
        self.rooms[room_id].add(connection)
        connection.rooms.add(room_id)

    def leave(self, connection: Connection, room_id: int) -> None:
        # Lo que ya estaba en camino le toca: se le da antes de soltarlo.
        self._hand_out(room_id)
        connection.rooms.discard(room_id)
        _discard(self.rooms, room_id, connection)

    def fan_out(self, room_id: int, text: str, received_at: float = 0.0) -> None:
        """Un suceso de la secuencia de la sala, para todos los que están en ella."""
        if room_id in self.rooms:
            self._pending[room_id].append(text)
            if received_at:
                self._received.append(received_at)
            self._dirty.set()

    def tell(self, connection: Connection, text: str, on_sent: Callable[[], None] | None = None) -> None:
        """Algo para una sola conexión."""
        connection.push(text, on_sent)
        self._dirty.set()

    def tell_room(self, room_id: int, text: str, *, but: int = 0) -> None:
        """Algo pasajero (quién escribe, quién está) para la sala, menos para el usuario `but`."""
        for connection in self.rooms.get(room_id, ()):
            if connection.identity.user_id != but:
                connection.push_room(room_id, text)
        self._dirty.set()

    async def run(self) -> None:
        """Vacía las bandejas cada flush_seconds; con mucha gente, menos a menudo, y cada trama lleva más.

        Escribir ocupa como mucho la mitad del tiempo: lo que se ha tardado, se descansa.
        """
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            started = time.monotonic()
            await self._flush()
            await asyncio.sleep(max(self.settings.flush_seconds, time.monotonic() - started))
            self._measure()

    async def _flush(self) -> None:
        """Despierta a cada conexión que tenga algo, unas cuantas cada vez."""
        for room_id in list(self._pending):
            self._hand_out(room_id)
        waiting = [connection for connection in self.connections if connection.has_pending]
        for count, connection in enumerate(waiting, 1):
            connection.flush()
            if count % WRITERS_AT_ONCE == 0:
                await asyncio.sleep(0)

    def _hand_out(self, room_id: int) -> None:
        """Reparte lo juntado para una sala: se une una vez y se encola en cada conexión."""
        texts = self._pending.pop(room_id, None)
        if not texts:
            return
        text, members = "\n".join(texts), self.rooms.get(room_id, ())
        for connection in members:
            connection.push_room(room_id, text)
        metrics.delivered.labels("websocket").inc(len(texts) * len(members))

    def _measure(self) -> None:
        """Cuando ya han escrito los que podían: lo que queda en las bandejas es lo que espera de verdad."""
        metrics.outbox_bytes.set(sum(connection.pending_bytes for connection in self.connections))
        now = time.time()
        for received_at in self._received:
            metrics.delivery.observe(max(0.0, now - received_at))
        self._received.clear()


def _discard(index: dict[int, set[Connection]], key: int, connection: Connection) -> None:
    """Sin conjuntos vacíos: la memoria de quien se fue no se queda."""
    if key in index:
        index[key].discard(connection)
        if not index[key]:
            del index[key]
