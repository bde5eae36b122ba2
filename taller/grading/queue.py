"""Calificar en varias máquinas: los ejercicios van a una cola, y los hace quien la atienda.

La cola es un Stream de Redis que maneja taskiq; se entrega al menos una vez. Lo que tenía entre manos un trabajador que
muere deja de renovarse y lo recoge otro. Cada encargo se llama como la huella de lo que comprueba: hacerlo dos veces da
lo mismo que hacerlo una, y quien vuelve a pedirlo encuentra el resultado hecho.
"""

import asyncio
import base64
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.exceptions import RedisError
from taskiq import AckableMessage, AsyncTaskiqTask, TaskiqResult
from taskiq.exceptions import SendTaskError, TaskiqResultTimeoutError
from taskiq.kicker import AsyncKicker
from taskiq.receiver import Receiver
from taskiq.serializers import JSONSerializer
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from taller.catalog import Exercise, find_exercise
from taller.grading.digests import exercise_digest
from taller.grading.errors import GradingError
from taller.grading.grader import Grader, settled
from taller.grading.results import exercise_from_json
from taller.grading.submissions import Contents
from taller.verdicts import ExerciseVerdict

NAME = "taller:calificar"
TASK = "taller.examine"
# Sin noticias de un trabajador en este tiempo, lo suyo pasa a otro; él da noticias bastante más a menudo.
ABANDONED_MS, RENEW_SECONDS, LISTEN_MS = 6000, 1.5, 1000
# Una entrega que ha acabado con tantos trabajadores no se le da a uno más.
MOST_DELIVERIES = 3
KEPT_SECONDS = 7 * 24 * 3600
LOOK_SECONDS, RETRY_SECONDS, ASK_AGAIN_SECONDS = 0.2, 1.0, 600.0

Entry = tuple[bytes, dict[bytes, bytes]]
Report = Callable[[str], None]


class Queue(RedisStreamBroker):
    """La cola. Quien toma un encargo lo renueva mientras lo hace; lo abandonado se mira en cada vuelta."""

    def __init__(self, url: str) -> None:
        super().__init__(url, queue_name=NAME, consumer_group_name=NAME, consumer_id="0", idle_timeout=ABANDONED_MS)
        results: RedisAsyncResultBackend[Any] = RedisAsyncResultBackend(
            url, result_ex_time=KEPT_SECONDS, serializer=JSONSerializer(), prefix_str=NAME
        )
        self.with_result_backend(results)
        self.redis = Redis.from_url(url, socket_timeout=None)
        self.renewing: dict[bytes, asyncio.Task[None]] = {}

    async def shutdown(self) -> None:
        for task in self.renewing.values():
            task.cancel()
        await asyncio.gather(*self.renewing.values(), return_exceptions=True)
        await self.redis.aclose()
        await super().shutdown()

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        """Los encargos para este trabajador, según le van tocando."""
        while True:
            for entry, fields in await self._abandoned() or await self._fresh():
                if entry in self.renewing:
                    # Es nuestro: Redis estuvo un rato sin oír que seguíamos con él.
                    continue
                self.renewing[entry] = asyncio.create_task(self._renew(entry))
                yield AckableMessage(data=fields[b"data"], ack=partial(self.finish, entry))

    async def finish(self, entry: bytes) -> None:
        """Lo que taskiq llama cuando el veredicto ya está guardado."""
        if renewing := self.renewing.pop(entry, None):
            renewing.cancel()
        await self.redis.xack(NAME, NAME, entry)
        await self.redis.xdel(NAME, entry)

    async def _abandoned(self) -> list[Entry]:
        claimed: Any = await self.redis.xautoclaim(NAME, NAME, self.consumer_name, ABANDONED_MS, count=1)
        entries: list[Entry] = claimed[1]
        return [each for each in entries if not await self._given_up(each)]

    async def _given_up(self, claimed: Entry) -> bool:
        """Si ya ha acabado con demasiados trabajadores; entonces ese es su resultado."""
        entry, fields = claimed
        pending: Any = await self.redis.xpending_range(NAME, NAME, entry, entry, 1)
        if not pending or pending[0]["times_delivered"] <= MOST_DELIVERIES:
            return False
        message = self.formatter.loads(fields[b"data"])
        error = RuntimeError("acaba con quien lo comprueba")
        result: TaskiqResult[Any] = TaskiqResult(is_err=True, return_value=None, execution_time=0.0, error=error)
        await self.result_backend.set_result(message.task_id, result)
        await self.redis.xack(NAME, NAME, entry)
        await self.redis.xdel(NAME, entry)
        return True

    async def _fresh(self) -> list[Entry]:
        streams: Any = await self.redis.xreadgroup(NAME, self.consumer_name, {NAME: ">"}, count=1, block=LISTEN_MS)
        return [entry for _, entries in streams for entry in entries]

    async def _renew(self, entry: bytes) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            with contextlib.suppress(RedisError):
                await self.redis.xclaim(NAME, NAME, self.consumer_name, 0, [entry], justid=True)


@dataclass(frozen=True)
class RemoteExaminer:
    """Quien pone los ejercicios en la cola y espera sus veredictos."""

    broker: Queue
    _asked: dict[str, "asyncio.Task[ExerciseVerdict]"] = field(default_factory=dict)

    async def examine(self, exercise: Exercise, contents: Contents, seed: str, digest: str) -> ExerciseVerdict:
        """Dos entregas iguales piden lo mismo: se encarga una vez, y el veredicto es de las dos.

        Raises:
            GradingError: la cola deja de contestar.
        """
        if digest not in self._asked:
            asking = asyncio.create_task(self._ask(exercise, contents, seed, digest))
            self._asked[digest] = asking
            asking.add_done_callback(lambda _: self._asked.pop(digest))
        try:
            return await asyncio.shield(self._asked[digest])
        except (RedisError, OSError, SendTaskError):
            raise GradingError(
                "La cola ha dejado de contestar. Cuando vuelva, repite la orden con: --reanudar"
            ) from None

    async def _ask(self, exercise: Exercise, contents: Contents, seed: str, digest: str) -> ExerciseVerdict:
        result = await self._result(exercise, contents, seed, digest)
        verdict = (
            ExerciseVerdict(exercise.id, exercise.title, [], 0.0, f"No se pudo comprobar: {result.error}.")
            if result.is_err
            else exercise_from_json(result.return_value)
        )
        if not settled(verdict):
            # Si se vuelve a pedir, que se haga otra vez.
            await self.broker.redis.delete(f"{NAME}:{digest}")
        return verdict

    async def _result(self, exercise: Exercise, contents: Contents, seed: str, digest: str) -> "TaskiqResult[Any]":
        """Lo que deja en la cola quien lo comprueba. De cuando en cuando se encarga otra vez, por si se ha perdido."""
        results = self.broker.result_backend
        while True:
            if not await results.is_result_ready(digest):
                order: AsyncKicker[..., Any] = AsyncKicker(TASK, self.broker, labels={}).with_task_id(digest)
                await order.kiq(exercise.id, *pack(exercise, contents), seed, digest)
            waiting = AsyncTaskiqTask[Any](digest, results)
            with contextlib.suppress(TaskiqResultTimeoutError):
                return await waiting.wait_result(check_interval=LOOK_SECONDS, timeout=ASK_AGAIN_SECONDS)


@contextlib.asynccontextmanager
async def remote_examiner(url: str) -> AsyncIterator[RemoteExaminer]:
    """
    Raises:
        GradingError: no se llega a la cola.
    """
    async with connected(url) as broker:
        yield RemoteExaminer(broker)


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[Queue]:
    """La cola, abierta.

    Raises:
        GradingError: no se llega a ella.
    """
    try:
        broker = Queue(url)
        await broker.startup()
    except (RedisError, OSError, ValueError, SendTaskError):
        raise GradingError(f"No se llega a la cola {shown(url)}. Mira si contesta con: redis-cli -u URL ping") from None
    try:
        yield broker
    finally:
        await broker.shutdown()


async def serve(url: str, grader: Grader, stop: asyncio.Event, report: Report) -> None:
    """Atiende la cola con `grader` hasta que se pida parar; lo empezado se termina.

    Raises:
        GradingError: no se llega a la cola.
    """
    async with connected(url) as broker:
        broker.is_worker_process = True

        async def examine(
            exercise_id: str, files: dict[str, str], refused: dict[str, str], seed: str, digest: str
        ) -> dict[str, Any]:
            if await broker.result_backend.is_result_ready(digest):
                done: TaskiqResult[Any] = await broker.result_backend.get_result(digest)
                return dict(done.return_value)
            verdict = await attend(grader, find_exercise(exercise_id), unpack(files, refused), seed, digest)
            report(f"{exercise_id}  {verdict.points}/{verdict.max_points}  {verdict.problem}".rstrip())
            return verdict.to_json()

        broker.register_task(examine, TASK)
        while not stop.is_set():
            try:
                await Receiver(broker, max_async_tasks=grader.at_once, run_startup=False).listen(stop)
            except* (RedisError, OSError):
                report(f"La cola {shown(url)} no contesta; se sigue intentando.")
                await asyncio.sleep(RETRY_SECONDS)


def shown(url: str) -> str:
    """Sin usuario ni contraseña: esto acaba en pantallas."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


async def attend(grader: Grader, exercise: Exercise, contents: Contents, seed: str, digest: str) -> ExerciseVerdict:
    """El veredicto, si aquí los controles son los mismos que en la máquina que lo pide."""
    if exercise_digest(exercise, contents, seed) != digest:
        problem = "Un trabajador tiene otra versión del curso. Actualízala ahí y repite la orden con: --reanudar"
        return ExerciseVerdict(exercise.id, exercise.title, [], 0.0, problem)
    return await grader.examine(exercise, contents, seed, digest)


def pack(exercise: Exercise, contents: Contents) -> tuple[dict[str, str], dict[str, str]]:
    """Los archivos de la lección, como textos que caben en JSON, y los que no se aceptaron."""
    slug = exercise.lesson.slug
    files = {
        str(path): base64.b64encode(data).decode() for path, data in contents.files.items() if path.parts[0] == slug
    }
    return files, {str(path): reason for path, reason in contents.refused.items()}


def unpack(files: dict[str, str], refused: dict[str, str]) -> Contents:
    return Contents(
        {PurePosixPath(path): base64.b64decode(data) for path, data in files.items()},
        {PurePosixPath(path): reason for path, reason in refused.items()},
    )
