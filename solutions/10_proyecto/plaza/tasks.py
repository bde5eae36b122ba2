"""Las tareas duraderas: nacen en PostgreSQL con lo que las causa, viajan por un Stream de Redis y las hace un obrero.

La tabla `tasks` es la bandeja de salida y el estado. La cola puede entregar dos veces, o perderse entera: lo que no
esté hecho a su hora se encola otra vez, y repetir una tarea no repite sus efectos. El obrero se arranca con
`taskiq worker plaza.tasks:broker`.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from prometheus_client import start_http_server
from redis.asyncio import Redis
from redis.exceptions import RedisError
from taskiq import AckableMessage, TaskiqEvents, TaskiqState
from taskiq_redis import RedisStreamBroker

from plaza import metrics
from plaza.bus import Bus, connect
from plaza.database import Database
from plaza.handlers import HANDLERS, Workshop
from plaza.logs import configure
from plaza.mail import Mailer
from plaza.settings import Settings
from plaza.vitals import Vitals

IDLE_MS = 5000
AGAIN_SECONDS = 60
MAX_ATTEMPTS = 5
RELAY_SECONDS = 1.0
TASK_SECONDS = 20.0

logger = structlog.get_logger()
settings = Settings.load()
Entry = tuple[bytes, dict[bytes, bytes]]


class StreamBroker(RedisStreamBroker):
    """RedisStreamBroker, pero recoge lo abandonado en cada vuelta y borra lo hecho (lección 3)."""

    def __init__(self, url: str) -> None:
        super().__init__(url, queue_name="tasks", consumer_group_name="workers", consumer_id="0")
        self._listener = Redis.from_url(url)
        self._held: set[bytes] = set()

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        renewing = asyncio.create_task(self._renew())
        try:
            while True:
                try:
                    entries = await self._abandoned() or await self._fresh()
                except (RedisError, OSError) as error:
                    # Redis se ha ido, o ha vuelto vacío y sin el grupo: se crea y se sigue escuchando.
                    logger.warning("la cola no contesta", error=type(error).__name__)
                    await asyncio.sleep(RELAY_SECONDS)
                    with contextlib.suppress(RedisError, OSError):
                        await self._declare_consumer_group()
                    continue
                for entry_id, fields in entries:
                    self._held.add(entry_id)
                    yield AckableMessage(data=fields[b"data"], ack=partial(self._finish, entry_id))
        finally:
            renewing.cancel()

    async def _renew(self) -> None:
        """Lo que se está haciendo no está abandonado, aunque dure más que IDLE_MS."""
        while True:
            await asyncio.sleep(IDLE_MS / 1000 / 3)
            if self._held:
                with contextlib.suppress(RedisError, OSError):
                    await self._listener.xclaim(
                        self.queue_name,
                        self.consumer_group_name,
                        self.consumer_name,
                        min_idle_time=0,
                        message_ids=list(self._held),
                        justid=True,
                    )

    async def _abandoned(self) -> list[Entry]:
        claimed: Any = await self._listener.xautoclaim(
            self.queue_name, self.consumer_group_name, self.consumer_name, min_idle_time=IDLE_MS, count=1
        )
        entries: list[Entry] = claimed[1]
        return entries

    async def _fresh(self) -> list[Entry]:
        streams: Any = await self._listener.xreadgroup(
            self.consumer_group_name, self.consumer_name, {self.queue_name: ">"}, count=1, block=1000
        )
        return [entry for _, entries in streams for entry in entries]

    async def _finish(self, entry_id: bytes) -> None:
        self._held.discard(entry_id)
        # Sin confirmar, la cola la dará otra vez, y la segunda no hará nada.
        with contextlib.suppress(RedisError, OSError):
            await self._listener.xack(self.queue_name, self.consumer_group_name, entry_id)
            await self._listener.xdel(self.queue_name, entry_id)


broker = StreamBroker(settings.redis_url)


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def open_workshop(state: TaskiqState) -> None:
    configure()
    if settings.metrics_port:
        # Si el obrero está solo en su máquina, nadie más puede enseñar sus métricas.
        start_http_server(settings.metrics_port)
    database, redis = Database(settings.database_url, pool_size=4), connect(settings.redis_url)
    vitals = Vitals("worker", redis, database, settings.sample_seconds)
    works = (partial(relay, database), Mailer(settings, database).run, vitals.run)
    state.redis, state.jobs = redis, [asyncio.create_task(work()) for work in works]
    state.workshop = Workshop(settings, database, Bus(settings.redis_url, redis))


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def close_workshop(state: TaskiqState) -> None:
    for job in state.jobs:
        job.cancel()
    await asyncio.gather(*state.jobs, return_exceptions=True)
    await state.redis.aclose()
    await state.workshop.database.close()


@broker.task
async def run_task(task_id: str, request_id: str) -> None:
    """Hace una tarea de la tabla. Puede llegar más de una vez: la que ya está hecha no se repite."""
    shop: Workshop = broker.state.workshop
    with structlog.contextvars.bound_contextvars(request_id=request_id, task=task_id):
        started = time.monotonic()
        row = await shop.database.fetch_one(
            "UPDATE tasks SET status = 'running', attempts = attempts + 1 "
            "WHERE id = :id AND status IN ('queued', 'running') RETURNING name, payload, attempts",
            id=UUID(task_id),
        )
        if row is None:
            return
        try:
            async with asyncio.timeout(TASK_SECONDS):
                await HANDLERS[row["name"]](shop, UUID(task_id), row["payload"])
        except Exception as error:
            logger.exception("ha fallado una tarea", attempts=row["attempts"])
            await _postpone(shop.database, task_id, row["attempts"], type(error).__name__)
            return
        metrics.task_duration.observe(time.monotonic() - started)
        metrics.tasks.labels("done").inc()
        await shop.database.execute(
            "UPDATE tasks SET status = 'done', progress = 1, error = NULL WHERE id = :id", id=UUID(task_id)
        )
        logger.info("tarea hecha", name=row["name"])


async def _postpone(database: Database, task_id: str, attempts: int, error: str) -> None:
    """A la cola otra vez, más tarde; o por perdida, si ya son muchas. Del error se guarda el nombre, no el texto."""
    failed = attempts >= MAX_ATTEMPTS
    if failed:
        metrics.tasks.labels("failed").inc()
    await database.execute(
        "UPDATE tasks SET status = :status, error = :error, enqueue_after = now() + make_interval(secs => :wait) "
        "WHERE id = :id AND status = 'running'",
        id=UUID(task_id),
        status="failed" if failed else "queued",
        error=error,
        wait=2.0**attempts,
    )


async def enqueue(database: Database, ids: Sequence[UUID], request_id: str) -> None:
    """Lleva tareas de la tabla a la cola. Si no se puede, siguen en la tabla, y el relevo lo intentará."""
    # Antes de encolar: después, borraría el plazo que ponga un obrero que la intente y falle enseguida.
    await _wait(database, ids, AGAIN_SECONDS)
    try:
        for task_id in ids:
            await run_task.kiq(str(task_id), request_id)
    except Exception:
        await _wait(database, ids, RELAY_SECONDS)
        raise


async def _wait(database: Database, ids: Sequence[UUID], seconds: float) -> None:
    """Lo que se espera antes de dar por perdido lo encolado."""
    await database.execute(
        "UPDATE tasks SET enqueue_after = now() + make_interval(secs => :wait) WHERE id = ANY(:ids)",
        ids=list(ids),
        wait=seconds,
    )


async def relay(database: Database) -> None:
    """El relevo: lo que debía estar hecho y no lo está, a la cola."""
    while True:
        # region TODO 22: Busca las tareas 'queued' o 'running' con enqueue_after ya pasado, y encólalas con enqueue().
        #: await asyncio.sleep(RELAY_SECONDS)
        try:
            rows = await database.fetch(
                "SELECT id FROM tasks WHERE status IN ('queued', 'running') AND enqueue_after < now() "
                "ORDER BY enqueue_after LIMIT 100"
            )
            if rows:
                await enqueue(database, [row["id"] for row in rows], "")
        except Exception as error:
            logger.warning("el relevo no puede trabajar", error=type(error).__name__)
        await asyncio.sleep(RELAY_SECONDS)
        # endregion


@dataclass
class Queue:
    """La cola vista desde la web: encola en cuanto puede, sin hacer esperar a nadie."""

    database: Database
    _tasks: set["asyncio.Task[None]"] = field(init=False, default_factory=set)

    def hurry(self, ids: Sequence[UUID], request_id: str) -> None:
        task = asyncio.create_task(self._enqueue(ids, request_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _enqueue(self, ids: Sequence[UUID], request_id: str) -> None:
        try:
            await enqueue(self.database, ids, request_id)
        except Exception as error:
            logger.warning("no se ha podido encolar; lo hará el relevo", error=type(error).__name__)

    async def close(self) -> None:
        """Espera a lo que se esté encolando."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await broker.shutdown()
