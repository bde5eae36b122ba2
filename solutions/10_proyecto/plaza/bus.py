"""El bus: lo que un proceso cuenta a los demás. Una sola suscripción de Redis por proceso, con un canal por sala.

Pub/Sub entrega como mucho una vez. Por eso aquí solo viaja el aviso: la verdad está en PostgreSQL, cada suceso lleva su
número, y quien nota un hueco va a buscarlo allí (`feed`).
"""

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from plaza import metrics

CONTROL = "control"
COMMAND_SECONDS = 0.5
# Cada cuánto se comprueba que Redis sigue ahí, y cuánto silencio se tolera.
PING_SECONDS = 0.5
SILENCE_SECONDS = 1.5

logger = structlog.get_logger()


def connect(url: str) -> Redis:
    """Un cliente de Redis que se rinde pronto: nadie espera cinco segundos por una ayuda."""
    return Redis.from_url(
        url,
        socket_timeout=COMMAND_SECONDS,
        socket_connect_timeout=COMMAND_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


@dataclass
class Bus:
    """`on_event(canal, texto)` por cada aviso; `on_found()` cada vez que se (re)encuentra Redis."""

    url: str
    redis: Redis
    on_event: Callable[[str, str], None] = field(init=False)
    on_found: Callable[[], Awaitable[None]] = field(init=False)
    healthy: bool = field(init=False, default=False)
    # La primera vez que se encuentra.
    found: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _channels: set[str] = field(init=False, default_factory=lambda: {CONTROL})
    _pubsub: PubSub | None = field(init=False, default=None)
    _waiting: dict[str, list[asyncio.Future[None]]] = field(init=False, default_factory=dict)
    _heard: float = field(init=False, default=0.0)

    async def publish(self, events: list[tuple[str, str]]) -> bool:
        """Publica pares (canal, texto) en un viaje. False si Redis no los ha recibido."""
        try:
            async with self.redis.pipeline(transaction=False) as pipe:
                for channel, text in events:
                    pipe.publish(channel, text)
                await pipe.execute()
        except (RedisError, OSError, TimeoutError):
            return False
        return True

    async def announce(self, kind: str, **values: Any) -> bool:
        """Publica un aviso de control: lo oyen todos los procesos."""
        return await self.publish([(CONTROL, json.dumps({"kind": kind, **values}))])

    async def subscribe(self, channel: str) -> None:
        """Vuelve cuando Redis ha confirmado la suscripción, o enseguida si no hay Redis (`on_found` lo arreglará)."""
        self._channels.add(channel)
        if self._pubsub is None or not self.healthy:
            return
        confirmed = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(channel, []).append(confirmed)
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await self._pubsub.subscribe(channel)
            async with asyncio.timeout(COMMAND_SECONDS):
                await confirmed

    async def unsubscribe(self, channel: str) -> None:
        self._channels.discard(channel)
        if self._pubsub is not None and self.healthy:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                await self._pubsub.unsubscribe(channel)

    async def run(self) -> None:
        """Escucha para siempre. Si Redis se va o enmudece, insiste hasta encontrarlo."""
        # region TODO 42: Escucha con _listen una y otra vez: si falla, espera un poco, al azar, y vuelve.
        #: await self._listen()
        while True:
            try:
                await self._listen()
            except (RedisError, OSError, TimeoutError) as error:
                if self.healthy:
                    logger.warning("redis perdido", error=type(error).__name__)
                self.healthy = False
            await asyncio.sleep(random.uniform(0.05, 0.25))
        # endregion

    async def _listen(self) -> None:
        """Una conexión con Redis, mientras dure.

        Raises:
            RedisError, OSError, TimeoutError: se ha ido, o lleva demasiado sin contestar.
        """
        async with (
            Redis.from_url(self.url, socket_connect_timeout=COMMAND_SECONDS, retry=Retry(NoBackoff(), 0)) as redis,
            redis.pubsub() as pubsub,
        ):
            asked = set(self._channels)
            async with asyncio.timeout(SILENCE_SECONDS):
                await pubsub.subscribe(*asked)
            self._pubsub, self._heard = pubsub, time.monotonic()
            watchdog = asyncio.create_task(self._watch(pubsub, asyncio.current_task()))
            recovery: asyncio.Task[None] | None = None
            try:
                async for message in pubsub.listen():
                    self._heard = time.monotonic()
                    self._dispatch(message)
                    if recovery is None:
                        await self._ask_for(pubsub, self._channels - asked)
                        # Aparte: ponerse al día lleva su tiempo, y mientras tanto hay que seguir escuchando.
                        recovery = asyncio.create_task(self._found())
            except asyncio.CancelledError:
                if watchdog.done() and not watchdog.cancelled():
                    raise TimeoutError("Redis no contesta") from None
                raise
            finally:
                watchdog.cancel()
                if recovery is not None:
                    recovery.cancel()
                self._pubsub = None

    async def _ask_for(self, pubsub: PubSub, late: set[str]) -> None:
        """Pide los canales que alguien quiso mientras se encontraba Redis: entonces no se podía, y ya no los pedirá."""
        self.healthy = True
        if late:
            await pubsub.subscribe(*late)

    async def _watch(self, pubsub: PubSub, listener: "asyncio.Task[Any] | None") -> None:
        """Pregunta a Redis si está; si calla, corta al que escucha. Una conexión muda no da ningún error."""
        assert listener
        while time.monotonic() - self._heard < SILENCE_SECONDS:
            await asyncio.sleep(PING_SECONDS)
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(PING_SECONDS):
                    await pubsub.ping()
        listener.cancel()

    async def _found(self) -> None:
        if self.found.is_set():
            metrics.redis_reconnects.inc()
        self.found.set()
        try:
            await self.on_found()
        except Exception as error:
            logger.warning("al encontrar Redis no se ha podido poner al día todo", error=type(error).__name__)

    def _dispatch(self, message: Mapping[str, Any]) -> None:
        channel = message["channel"]
        name = channel.decode() if isinstance(channel, bytes) else str(channel or "")
        if message["type"] == "message":
            self.on_event(name, message["data"].decode())
        elif message["type"] == "subscribe":
            for confirmed in self._waiting.pop(name, []):
                if not confirmed.done():
                    confirmed.set_result(None)
