"""El servicio: lo que entra por un WebSocket, lo trabaja una tarea y sale por un flujo SSE, medido y anotado."""

import asyncio
import json
import re
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import measured
from pydantic import BaseModel, Field
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sse_starlette import ServerSentEvent
from structlog.contextvars import bound_contextvars
from trail import log, say

REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
WORK_SECONDS = 3.0


class Message(BaseModel):
    text: str
    times: int = Field(1, ge=1, le=400)
    wait: float = Field(0.0, ge=0, le=5)
    fail: bool = False
    task: bool = False
    request_id: str | None = None

    def own_id(self) -> str:
        """El identificador que trae, si tiene la forma debida; si no, uno nuevo."""
        if self.request_id and REQUEST_ID.fullmatch(self.request_id):
            return self.request_id
        return uuid.uuid4().hex[:12]


@dataclass(frozen=True)
class Job:
    request_id: str
    text: str
    accepted_at: float = field(default_factory=time.perf_counter)


@dataclass
class Reply:
    text: str
    completes: float | None = None


# region cola
class Outbox:
    """Las respuestas que esperan a que su conexión las envíe, y los bytes que ocupan."""

    def __init__(self) -> None:
        self.replies: asyncio.Queue[Reply] = asyncio.Queue()

    def put(self, reply: Reply) -> None:
        measured.QUEUED_BYTES.inc(len(reply.text.encode()))
        self.replies.put_nowait(reply)

    async def take(self) -> Reply:
        reply = await self.replies.get()
        measured.QUEUED_BYTES.dec(len(reply.text.encode()))
        return reply

    def discard(self) -> None:
        """La conexión se ha ido: lo que quede no lo leerá nadie."""
        while not self.replies.empty():
            measured.QUEUED_BYTES.dec(len(self.replies.get_nowait().text.encode()))


# endregion


class Desk:
    """La cola de tareas y los flujos que miran los resultados."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.jobs: asyncio.Queue[Job] = asyncio.Queue()
        self.mailboxes: set[asyncio.Queue[dict[str, str]]] = set()

    def accept(self, job: Job) -> None:
        measured.TASKS_QUEUED.inc()
        self.jobs.put_nowait(job)

    async def work(self) -> None:
        while True:
            await self.run(await self.jobs.get())

    # region tarea
    async def run(self, job: Job) -> None:
        measured.TASKS_QUEUED.dec()
        measured.TASK_WAIT.observe(time.perf_counter() - job.accepted_at)
        with (
            bound_contextvars(request_id=job.request_id),
            measured.TASKS_RUNNING.track_inprogress(),
            measured.TASK_DURATION.time(),
        ):
            log.info("task_started")
            say("empieza la tarea")
            outcome = await self.note(job)
        for mailbox in self.mailboxes:
            mailbox.put_nowait({"request_id": job.request_id, "outcome": outcome})

    async def note(self, job: Job) -> str:
        """El trabajo: apuntar el texto en Redis."""
        try:
            async with asyncio.timeout(WORK_SECONDS):
                await self.redis.set(f"note:{job.request_id}", job.text, ex=60)
        except (RedisError, OSError):
            log.exception("task_failed")
            say("error en la tarea")
            measured.FAILED.inc()
            return "failed"
        log.info("task_finished")
        say("tarea acabada")
        measured.COMPLETED.inc()
        return "done"

    # endregion

    async def results(self) -> AsyncIterator[ServerSentEvent]:
        """El flujo de los resultados, contado mientras dura."""
        mailbox: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self.mailboxes.add(mailbox)
        try:
            with measured.streaming():
                while True:
                    result = await mailbox.get()
                    yield ServerSentEvent(event=result["outcome"], data=json.dumps(result))
                    measured.EVENTS.labels(result["outcome"]).inc()
                    log.info("event_sent", request_id=result["request_id"])
                    say("resultado enviado")
        finally:
            self.mailboxes.discard(mailbox)
