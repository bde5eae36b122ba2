"""Controles de 3.5: matar la API y el obrero a mitad, y que no falte ni sobre nada."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random

import pytest

from taller.checking import App, Launch, Mismatch, check, expect, patience, transcript
from taller.services import Valkey

QUEUE = "una-cola-que-sobrevive"
ONCE = "al-menos-una-vez-y-que-no-se-note"

IDLE = 0.1
# Más de lo que dura cualquier control: quien la tenga entre manos no la acaba.
FOREVER = "60"
# Cada espera tiene su plazo. Este es el de todas juntas: arrancar obreros, en una máquina ocupada, lleva lo suyo.
WITHIN = 12.0


@pytest.fixture(scope="module")
def app_env(valkey_server: Valkey) -> dict[str, str]:
    return {"REDIS_URL": valkey_server.url, "WORK_SECONDS": "0.01", "IDLE_SECONDS": str(IDLE)}


class Savings:
    """Los ingresos de una cuenta nueva: los que se piden y lo que deberían sumar."""

    def __init__(self, rng: Random) -> None:
        self.rng, self.account = rng, f"cuenta{rng.randrange(10**6)}"
        self.amounts: dict[str, int] = {}

    async def deposit(self, app: App, count: int) -> None:
        for _ in range(count):
            deposit_id = f"{self.rng.randrange(16**8):08x}"
            self.amounts[deposit_id] = self.rng.randint(1, 100)
            await self.put(app, deposit_id)

    async def put(self, app: App, deposit_id: str, status: int = 202) -> None:
        body = {"account": self.account, "amount": self.amounts[deposit_id]}
        answer = await app.request("PUT", f"/deposits/{deposit_id}", json=body, status=status, within=2.0)
        if status == 202:
            expect(answer.json(), {"id": deposit_id, **body}, "la respuesta")

    @property
    def total(self) -> dict[str, int]:
        return {"balance": sum(self.amounts.values()), "deposits": len(self.amounts)}

    async def all_applied(self, app: App) -> None:
        """Espera a que estén todos los pedidos; ni uno más."""
        answer = await app.poll(
            f"/accounts/{self.account}",
            lambda got: got.json()["deposits"] >= len(self.amounts),
            expecting=f"{json.dumps(self.total)} en la cuenta",
            within=3.0,
            status=200,
        )
        expect(answer.json(), self.total, "la cuenta")


async def settle(count: Callable[[], Awaitable[int]], ready: Callable[[int], bool], expected: str) -> None:
    """Espera a que lo que cuenta `count` sea lo que se espera."""
    deadline = asyncio.get_running_loop().time() + patience(2.0)
    while not ready(found := await count()):
        if asyncio.get_running_loop().time() > deadline:
            raise Mismatch(expected, str(found))
        await asyncio.sleep(0.01)


async def until_delivered(server: Valkey, count: int) -> None:
    """Espera a que el obrero haya recibido `count` tareas y no haya confirmado ninguna."""
    async with server.client() as redis:

        async def pending() -> int:
            return int((await redis.xpending("deposits", "workers"))["pending"])

        await settle(pending, lambda found: found >= count, f"{count} tareas en manos del obrero, sin confirmar")
    transcript.note(f"El obrero tiene {count} tareas empezadas")


async def until_empty(server: Valkey) -> None:
    """Espera a que en el stream no quede nada, ni guardado ni sin confirmar."""
    async with server.client() as redis:

        async def length() -> int:
            return int(await redis.xlen("deposits"))

        async def pending() -> int:
            return int((await redis.xpending("deposits", "workers"))["pending"])

        await settle(length, lambda found: found == 0, "una cola vacía (XLEN deposits = 0)")
        await settle(pending, lambda found: found == 0, "ninguna sin confirmar (XPENDING deposits workers = 0)")


@check(
    1,
    "Lo que se acepta se hace",
    todo=1,
    section=QUEUE,
    hints=(
        "await apply.kiq(deposit_id, order.account, order.amount) lo deja en la cola.",
        "Anótalo en apply (TODO 2) y léelo en account_status (TODO 5): hset y hvals, sobre el mismo hash.",
        'hset(f"account:{account}", deposit_id, amount): una casilla por ingreso.',
    ),
)
async def test_applied(app: App, launch: Launch, redis_server: Valkey, rng: Random) -> None:
    savings = Savings(rng)
    async with launch.worker():
        expect((await app.get(f"/accounts/{savings.account}", status=200)).json(), savings.total, "la cuenta, vacía")
        await savings.deposit(app, rng.randint(3, 6))
        await savings.all_applied(app)


@check(
    2,
    "kill -9 a la API: lo aceptado se hace igual",
    todo=1,
    points=3,
    needs=("test_applied",),
    section=QUEUE,
    within=WITHIN,
    hints=(
        "La API encola y el obrero hace: sin obrero, lo aceptado espera en Redis, no en la memoria de la API.",
        "BackgroundTasks y create_task viven en el proceso: mueren con él. Y apply(…), sin kiq, lo hace la API.",
    ),
)
async def test_api_dies(launch: Launch, redis_server: Valkey, rng: Random) -> None:
    savings = Savings(rng)
    async with launch() as app:
        await savings.deposit(app, 10)
        nothing = {"balance": 0, "deposits": 0}
        expect((await app.get(f"/accounts/{savings.account}", status=200)).json(), nothing, "la cuenta, sin obrero")
        await app.kill()
    async with launch() as again, launch.worker():
        await savings.all_applied(again)


@check(
    3,
    "kill -9 al obrero a mitad: otro acaba lo que dejó, aunque no llegue nada nuevo",
    todo=3,
    points=3,
    needs=("test_applied",),
    section=QUEUE,
    within=WITHIN,
    hints=(
        "Lo entregado y sin confirmar se queda a nombre del obrero muerto; XAUTOCLAIM se lo quita.",
        "super().listen() solo llama a XAUTOCLAIM después de recibir algo nuevo, y aquí no llega nada.",
        "En cada vuelta: lo que devuelva self.abandoned() y, si no es nada, lo que devuelva self.fresh().",
    ),
)
async def test_worker_dies(app: App, launch: Launch, redis_server: Valkey, rng: Random) -> None:
    savings = Savings(rng)
    count = rng.randint(3, 6)
    async with launch.worker(env={"WORK_SECONDS": FOREVER}) as worker:
        await savings.deposit(app, count)
        await until_delivered(redis_server, count)
        await worker.kill()
    async with launch.worker():
        await savings.all_applied(app)


@check(
    4,
    "Una tarea entregada varias veces cuenta una",
    todo=2,
    points=3,
    needs=("test_worker_dies",),
    section=ONCE,
    within=WITHIN,
    hints=(
        "Aquí el trabajo dura más que IDLE_SECONDS: la misma tarea se entrega otra vez antes de acabar.",
        "Sumar dos veces no es lo mismo que sumar una; escribir dos veces el mismo valor en el mismo sitio, sí.",
        "Marcarla como vista antes de hacerla tampoco vale: si el obrero muere a mitad, nadie la hará.",
    ),
)
async def test_once(app: App, launch: Launch, redis_server: Valkey, rng: Random) -> None:
    savings = Savings(rng)
    env = {"WORK_SECONDS": str(IDLE * 2)}
    async with launch.worker(env=env) as worker:
        await savings.deposit(app, 2)
        await savings.put(app, next(iter(savings.amounts)))
        await savings.all_applied(app)
        # SIGTERM deja acabar lo empezado: cuando termina, ya no queda ninguna entrega por hacer efecto.
        await worker.terminate(within=3.0)
        expect((await app.get(f"/accounts/{savings.account}", status=200)).json(), savings.total, "la cuenta, al final")


@check(
    5,
    "Si la cola no confirma, 503; y repetir la petición no la duplica",
    todo=1,
    points=2,
    needs=("test_applied",),
    section=QUEUE,
    within=WITHIN,
    hints=(
        "Redis no contesta, o dice que no: un 202 ahí promete a ciegas, y esperar sin plazo es colgarse.",
        "async with asyncio.timeout(ENQUEUE_SECONDS): await apply.kiq(…), y 503 si vence.",
        "Si Redis dice que no (aquí, sin memoria), kiq lanza SendTaskError. Si la cuenta suma de más, mira el TODO 2.",
    ),
)
async def test_queue_down(app: App, launch: Launch, redis_server: Valkey, rng: Random) -> None:
    savings = Savings(rng)
    deposit_id = f"{rng.randrange(16**8):08x}"
    savings.amounts[deposit_id] = rng.randint(1, 100)
    async with launch(env={"ENQUEUE_SECONDS": "0.1"}, name="app con poca paciencia") as impatient:
        redis_server.pause()
        transcript.note("Redis se queda congelado")
        try:
            await savings.put(impatient, deposit_id, status=503)
        finally:
            redis_server.resume()
            transcript.note("Redis responde otra vez")
        async with out_of_memory(redis_server):
            await savings.put(impatient, deposit_id, status=503)
    async with launch.worker() as worker:
        await savings.put(app, deposit_id)
        await savings.all_applied(app)
        await worker.terminate(within=3.0)
        expect((await app.get(f"/accounts/{savings.account}", status=200)).json(), savings.total, "la cuenta, al final")


@asynccontextmanager
async def out_of_memory(server: Valkey) -> AsyncIterator[None]:
    """Redis contesta, pero no admite escrituras: «OOM command not allowed»."""
    async with server.client() as redis:
        await redis.config_set("maxmemory", 1)
        transcript.note("Redis se queda sin memoria: no admite escrituras")
        try:
            yield
        finally:
            await redis.config_set("maxmemory", 0)
            transcript.note("Redis vuelve a tener memoria")


@check(
    6,
    "Lo hecho desaparece de la cola",
    todo=4,
    points=2,
    needs=("test_worker_dies",),
    section=ONCE,
    within=WITHIN,
    hints=(
        "Hay que quitarla de los dos sitios: de los pendientes del grupo (XACK) y del stream (XDEL).",
        "Después de xack, xdel con el mismo id.",
    ),
)
async def test_queue_empties(app: App, launch: Launch, redis_server: Valkey, rng: Random) -> None:
    savings = Savings(rng)
    # XAUTOCLAIM borra de los pendientes lo que ya no está en el stream: con tanto plazo, no le da tiempo a taparlo.
    async with launch.worker(env={"IDLE_SECONDS": FOREVER}):
        await savings.deposit(app, rng.randint(3, 6))
        await savings.all_applied(app)
        await until_empty(redis_server)
