"""Lo que pasa en las salas con alguien conectado aquí, en su orden y sin huecos.

El bus es rápido y puede perder; PostgreSQL no pierde. El número de cada suceso dice si falta alguno: lo que falta se
lee de la base de datos.
"""

import asyncio
import itertools
from dataclasses import dataclass, field

import structlog

from plaza.bus import Bus
from plaza.database import is_away
from plaza.hub import Hub
from plaza.journal import Journal, channel_of

# Lo que se espera a un suceso que viene detrás de otro posterior: suele llegar por su pie enseguida.
PATIENCE_SECONDS = 0.1
POLL_SECONDS = 1.0
# Con bus, se repasa una vez de cada tantas.
POLLS_WITH_BUS = 10
PAGE = 500

logger = structlog.get_logger()


@dataclass
class RoomFeed:
    """Hasta qué número se ha repartido en una sala, y lo que ha llegado antes de tiempo."""

    seen: int | None = None
    early: dict[int, tuple[str, float]] = field(default_factory=dict)
    # Cuántos están entrando ahora, y si en el último repaso no había nadie: con las dos se sabe cuándo olvidarla.
    entering: int = 0
    idle: bool = False
    filling: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass
class Feed:
    hub: Hub
    bus: Bus
    journal: Journal
    _rooms: dict[int, RoomFeed] = field(init=False, default_factory=dict)
    # Las salas en las que se ha guardado algo aquí sin que el bus lo anunciara: los demás aún no lo saben.
    _untold: set[int] = field(init=False, default_factory=set)
    _tasks: set["asyncio.Task[None]"] = field(init=False, default_factory=set)

    async def follow(self, room_id: int, head: int) -> int:
        """Sigue una sala y devuelve hasta qué número se ha repartido: `head`, lo último guardado, o más."""
        room = self._rooms.setdefault(room_id, RoomFeed())
        room.entering += 1
        try:
            async with room.filling:
                if room.seen is None:
                    # Primero oír y luego mirar: al revés, lo que pasara entre medias no lo vería nadie.
                    await self.bus.subscribe(channel_of(room_id))
                    room.seen = (await self.journal.heads([room_id])).get(room_id, 0)
                    self._drain(room_id, room)
            if room.seen < head:
                await self._fill(room_id)
        finally:
            room.entering -= 1
            room.idle = False
        return room.seen

    async def _forget_empty(self) -> None:
        """Deja de seguir las salas en las que hace más de un repaso que no hay nadie."""
        for room_id, room in list(self._rooms.items()):
            if room_id in self.hub.rooms or room.entering:
                room.idle = False
            elif room.idle:
                del self._rooms[room_id]
                await self.bus.unsubscribe(channel_of(room_id))
            else:
                room.idle = True

    def receive(self, room_id: int, envelope: str) -> None:
        """Un aviso del bus: «número instante texto», o «0 autor texto» si es pasajero."""
        number, stamp, text = envelope.split(" ", 2)
        room = self._rooms.get(room_id)
        if number == "0":
            self.hub.tell_room(room_id, text, but=int(stamp))
        elif room is not None:
            self._take(room_id, room, int(number), text, float(stamp))

    def _take(self, room_id: int, room: RoomFeed, seq: int, text: str, received_at: float) -> None:
        # region TODO 14: Reparte el que toca; guarda en early el que llega antes de tiempo; lo ya visto, nada.
        #   Si queda un hueco, encarga rellenarlo con self._later(room_id).
        #: self.hub.fan_out(room_id, text, received_at)
        if room.seen is not None and seq <= room.seen:
            return
        room.early[seq] = (text, received_at)
        self._drain(room_id, room)
        if room.early and room.seen is not None:
            self._later(room_id)
        # endregion

    def _drain(self, room_id: int, room: RoomFeed) -> None:
        """Reparte lo que ya tiene delante todo lo anterior."""
        if room.seen is None:
            return
        while (ready := room.early.pop(room.seen + 1, None)) is not None:
            room.seen += 1
            self.hub.fan_out(room_id, *ready)
        for seq in [seq for seq in room.early if seq <= room.seen]:
            del room.early[seq]

    def _later(self, room_id: int) -> None:
        task = asyncio.create_task(self._fill_after(room_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fill_after(self, room_id: int) -> None:
        await asyncio.sleep(PATIENCE_SECONDS)
        room = self._rooms.get(room_id)
        if room is not None and room.early:
            await self.catch_up({room_id})

    def silent(self, room_ids: set[int]) -> None:
        """Se ha guardado algo que el bus no ha anunciado: que se vea ya aquí y, cuando haya bus, en los demás."""
        self._untold |= room_ids
        self.hurry(room_ids)

    async def tell_untold(self) -> None:
        """Anuncia en qué salas se guardó algo en silencio: cada proceso mirará qué le falta."""
        if not (self._untold and self.bus.healthy):
            return
        rooms, self._untold = self._untold, set()
        told = False
        try:
            told = await self.bus.announce("saved", rooms=sorted(rooms))
        finally:
            if not told:
                self._untold |= rooms

    def hurry(self, room_ids: set[int]) -> None:
        """Pone al día esas salas, sin esperar a que acabe."""
        task = asyncio.create_task(self.catch_up(room_ids))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def catch_up(self, room_ids: set[int] | None = None) -> None:
        """Reparte lo que falte de esas salas (o de todas); si la base no está, ya se intentará otra vez."""
        # region TODO 43: Compara el número guardado de cada sala (journal.heads) con el repartido, y rellena con _fill.
        #: return
        known = [room_id for room_id in (room_ids or self._rooms) if room_id in self._rooms]
        try:
            for room_id, head in (await self.journal.heads(known)).items():
                room = self._rooms.get(room_id)
                if room is not None and room.seen is not None and room.seen < head:
                    await self._fill(room_id)
        except Exception as error:
            if not is_away(error):
                raise
        # endregion

    async def _fill(self, room_id: int) -> None:
        """Lee de la base lo que hay tras lo repartido, y lo reparte."""
        room = self._rooms.get(room_id)
        if room is None:
            return
        async with room.filling:
            while True:
                assert room.seen is not None
                events = await self.journal.events_after(room_id, room.seen, PAGE)
                for event in events:
                    if event.seq == room.seen + 1:
                        room.seen += 1
                        self.hub.fan_out(room_id, event.text)
                self._drain(room_id, room)
                if len(events) < PAGE:
                    return

    async def run(self) -> None:
        """Repasa las salas: sin bus, cada segundo (el chat va más despacio, pero va); con él, de cuando en cuando.

        Quien muere tras guardar y antes de anunciar no avisará nunca: de ese mensaje solo sabe la base.
        """
        for turn in itertools.count():
            await asyncio.sleep(POLL_SECONDS)
            await self._forget_empty()
            await self.tell_untold()
            if not self.bus.healthy or turn % POLLS_WITH_BUS == 0:
                await self.catch_up()
