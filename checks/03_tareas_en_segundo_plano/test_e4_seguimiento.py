"""Controles de 3.4: el estado de una tarea en Redis, y qué se ve de ella cuando su proceso muere."""

import asyncio
import json
from random import Random
from typing import Any

import httpx
import pytest
from leases import let_the_lease_expire, no_lease

from taller.checking import ANY, App, Approx, Launch, Matching, Mismatch, check, expect, patience, transcript
from taller.services import Valkey

TRACKING = "2-seguimiento-del-estado"
LEASE = "la-prórroga-quién-se-ocupa-de-esto"

ID = Matching(r"[^\s:]+", "un id")
STEP = 0.01
RESULT = 600
# Una tarea que no acaba durante el control: dos mil pasos de una centésima.
LONG = [2.0] * 2000
# Un paso que tampoco acaba: mientras dura, la tarea no dice nada.
FOREVER = "60"


@pytest.fixture(scope="module")
def app_env(valkey_server: Valkey) -> dict[str, str]:
    return {"REDIS_URL": valkey_server.url, "STEP_SECONDS": str(STEP), "RESULT_SECONDS": str(RESULT)}


def some_numbers(rng: Random) -> list[float]:
    return [rng.randint(1, 9) for _ in range(rng.randint(3, 5))]


async def submit(app: App, numbers: list[float]) -> str:
    answer = (await app.post("/tasks", json={"numbers": numbers}, status=202)).json()
    expect(answer, {"id": ID, "status": ANY, "progress": ANY, "result": None, "error": None}, "la tarea apuntada")
    return str(answer["id"])


async def read(app: App, task_id: str) -> dict[str, Any]:
    task: dict[str, Any] = (await app.get(f"/tasks/{task_id}", status=200)).json()
    return task


async def until(app: App, task_id: str, status: str, within: float = 2.0) -> dict[str, Any]:
    """La tarea cuando llega a ese estado."""
    answer = await app.poll(
        f"/tasks/{task_id}",
        lambda got: got.status_code == 200 and got.json()["status"] == status,
        expecting=f"que la tarea llegue a «{status}»",
        within=within,
    )
    task: dict[str, Any] = answer.json()
    return task


async def stored(server: Valkey, task_id: str) -> Any:
    """Lo que hay en la clave de la tarea, que tiene que ser JSON."""
    async with server.client() as redis:
        text = await redis.get(f"task:{task_id}")
    transcript.add("Redis", "control", "redis", f"GET task:{task_id} → {text!r}")
    if text is None:
        raise Mismatch(f"la tarea en la clave task:{task_id}", "no existe")
    try:
        return json.loads(text)
    except ValueError:
        raise Mismatch("un texto JSON en la clave de la tarea", repr(text)) from None


@check(
    1,
    "Una tarea se apunta, se hace y da su resultado",
    todo=4,
    section=TRACKING,
    hints=(
        "Empieza por guardar (save) y leer (load): sin ellos no hay nada que seguir.",
        "run cambia task.status y llama a save en cada cambio: running, y al final done.",
        "Lo que devuelve harmonic_mean es el resultado, tal cual.",
    ),
)
async def test_done(app: App, redis_server: Valkey, rng: Random) -> None:
    numbers = some_numbers(rng)
    mean = len(numbers) / sum(1 / number for number in numbers)
    task_id = await submit(app, numbers)
    expect(
        await until(app, task_id, "done"),
        {
            "id": task_id,
            "progress": 100,
            "result": {"count": len(numbers), "mean": Approx(mean - 1e-5, mean + 1e-5)},
            "error": None,
        },
        "la tarea hecha",
    )
    await app.get(f"/tasks/{task_id[::-1]}{rng.randrange(10)}", status=404)


@check(
    2,
    "Está en Redis, en cola, antes de contestar 202",
    todo=5,
    points=2,
    needs=("test_done",),
    section=TRACKING,
    hints=(
        "Aquí Redis no deja escribir durante un momento; si contestas 202 sin haber escrito, mientes.",
        "await save(task) antes de return, no dentro de la tarea de fondo.",
    ),
)
async def test_queued_first(app: App, redis_server: Valkey, rng: Random) -> None:
    async with redis_server.client() as redis:
        await redis.client_pause(20_000, all=False)
        transcript.note("Redis deja de admitir escrituras")
        asked = asyncio.create_task(app.post("/tasks", json={"numbers": some_numbers(rng)}, within=5.0, status=202))
        try:
            # Lo que se prueba es que no llega: hay que darle tiempo a llegar.
            done, _ = await asyncio.wait([asked], timeout=0.15)
            if done:
                raise Mismatch("ningún 202 mientras la tarea no esté en Redis", f"{asked.result().status_code}")
        finally:
            await redis.client_unpause()
            transcript.note("Redis admite escrituras otra vez")
    await until(app, (await asked).json()["id"], "done")
    await first_written_as_queued(app, redis_server, rng)


async def first_written_as_queued(app: App, server: Valkey, rng: Random) -> None:
    """Lo primero que se escribe de una tarea es que está en cola: si no, quien pregunte enseguida no la encuentra."""
    orders: list[str] = []
    async with server.client() as redis, redis.monitor() as monitor:

        async def note() -> None:
            async for order in monitor.listen():
                orders.append(str(order["command"]))

        noting = asyncio.create_task(note())
        try:
            task_id = await submit(app, some_numbers(rng))
            await until(app, task_id, "done")
        finally:
            noting.cancel()
    written = [order for order in orders if f" task:{task_id} " in order and "status" in order]
    if not written or "queued" not in written[0]:
        raise Mismatch(f"que lo primero que se escriba en task:{task_id} sea «queued»", (written or ["nada"])[0])


@check(
    3,
    "En Redis es JSON, y lo ven todos los procesos",
    todo=1,
    points=2,
    needs=("test_done",),
    section=TRACKING,
    hints=(
        "str(un_diccionario) no es JSON: lleva comillas simples y None. task.model_dump_json() sí lo es.",
        "La clave es task:{id} y contiene el mismo objeto que contesta GET.",
        "Una variable del módulo solo la ve este proceso.",
    ),
)
async def test_json_for_everyone(launch: Launch, app: App, redis_server: Valkey, rng: Random) -> None:
    task_id = await submit(app, some_numbers(rng))
    expect(await stored(redis_server, task_id), {"id": task_id, "status": ANY, "progress": ANY}, "la clave")
    done = await until(app, task_id, "done")
    expect(await stored(redis_server, task_id), done, "la clave, al acabar")
    async with launch(name="otro proceso") as other:
        expect(await read(other, task_id), done, "lo que ve otro proceso")


@check(
    4,
    "El progreso se ve mientras avanza, y no retrocede",
    todo=4,
    points=2,
    needs=("test_done",),
    section=TRACKING,
    hints=(
        "harmonic_mean llama a report(tanto por ciento) en cada paso: pásale la función report de run.",
        "report tiene que guardar: sin save, el avance se queda en este proceso.",
    ),
)
async def test_progress(launch: Launch, redis_server: Valkey, rng: Random) -> None:
    async with launch() as app:
        task_id = await submit(app, [float(rng.randint(1, 9)) for _ in range(300)])
        seen = 0
        for at_least in (1, 3):
            answer = await app.poll(
                f"/tasks/{task_id}", reaches(at_least), expecting=f"un progreso de {at_least} o más", status=200
            )
            task = answer.json()
            expect(task, {"status": "running", "progress": Approx(max(seen, at_least), 99)}, "la tarea en marcha")
            seen = task["progress"]


def reaches(progress: int) -> Any:
    def ready(answer: httpx.Response) -> bool:
        return bool(answer.json()["progress"] >= progress)

    return ready


@check(
    5,
    "Un fallo se ve: estado, nombre del error y traza con el id",
    todo=4,
    points=2,
    needs=("test_done",),
    section=TRACKING,
    hints=(
        "Con un 0 entre los números, harmonic_mean lanza ZeroDivisionError: hay que recogerla, apuntarla y escribirla.",
        "type(error).__name__ es el nombre de la excepción; str(error), su texto, que no debe guardarse.",
        "logger.exception(…, task.id) dentro del except.",
    ),
)
async def test_failed(launch: Launch, redis_server: Valkey, rng: Random) -> None:
    numbers = some_numbers(rng)
    numbers.insert(rng.randrange(1, len(numbers)), 0)
    async with launch() as app:
        task_id = await submit(app, numbers)
        failed = await until(app, task_id, "failed")
        expect(failed, {"progress": Approx(1, 99), "result": None, "error": "ZeroDivisionError"}, "la tarea fallida")
        await until_logged(app, task_id, "Traceback (most recent call last)")


async def until_logged(app: App, *wanted: str) -> None:
    """Espera a que la app haya escrito todo eso. El registro de accesos no cuenta: sus rutas llevan el id."""
    deadline = asyncio.get_running_loop().time() + patience(1.5)
    while True:
        written = "\n".join(line for line in (await app.log()).splitlines() if "HTTP/1.1" not in line)
        missing = [text for text in wanted if text not in written]
        if not missing:
            return
        if asyncio.get_running_loop().time() > deadline:
            raise Mismatch("una traza en la salida de la app que nombre la tarea", f"no aparece «{missing[0]}»")
        await asyncio.sleep(0.01)


@check(
    6,
    "Nada queda en Redis para siempre",
    todo=1,
    points=2,
    needs=("test_done",),
    section=TRACKING,
    hints=(
        "Sin caducidad, cada tarea ocupa memoria para siempre: set(…, ex=RESULT_SECONDS).",
        "Cada SET sin ex= borra la caducidad que hubiera, y con KEEPTTL no la renueva: ponla en todos.",
    ),
)
async def test_expiry(app: App, redis_server: Valkey, rng: Random) -> None:
    running = await submit(app, [1.0] * 200)
    await until(app, running, "running")
    await expiries(redis_server)
    await renewed(redis_server, f"task:{running}")
    await until(app, await submit(app, some_numbers(rng)), "done")
    await until(app, await submit(app, [1.0, 0.0]), "failed")
    await expiries(redis_server)


async def expiries(server: Valkey) -> None:
    """Cada clave caduca, y no más tarde de lo que dice el enunciado."""
    async with server.client(decode_responses=True) as redis:
        left = {str(key): await redis.ttl(key) for key in await redis.keys()}
    transcript.add("Redis", "control", "redis", f"TTL de cada clave: {left}")
    expect(left, {key: Approx(0, RESULT) for key in left}, "los segundos que le quedan a cada clave")


async def renewed(server: Valkey, key: str) -> None:
    """Acorta la vida de la clave y espera a que el siguiente cambio de la tarea se la devuelva."""
    deadline = asyncio.get_running_loop().time() + patience(1.5)
    async with server.client() as redis:
        await redis.expire(key, 20)
        transcript.add("control", "Redis", "redis", f"EXPIRE {key} 20")
        while (left := await redis.ttl(key)) <= 20:
            if asyncio.get_running_loop().time() > deadline:
                raise Mismatch(f"que cada cambio dé a la tarea otros {RESULT} s de vida", f"le quedan {left} s")
            await asyncio.sleep(0.01)


@check(
    7,
    "Que Redis no conteste no detiene el bucle",
    todo=1,
    points=2,
    needs=("test_progress",),
    section="el-bucle-y-quien-lo-bloquea",
    hints=(
        "Redis está congelado, y hay quien pregunta por su tarea: /ping, que no usa Redis, tiene que contestar igual.",
        "redis.Redis bloquea el hilo; redis.asyncio.Redis, con await, no.",
    ),
)
async def test_loop(launch: Launch, redis_server: Valkey, rng: Random) -> None:
    async with launch() as app:
        task_id = await submit(app, LONG)
        await until(app, task_id, "running")
        redis_server.pause()
        transcript.note("Redis se queda congelado")
        asked = asyncio.create_task(app.get(f"/tasks/{task_id}", client="otro cliente", within=5.0, status=200))
        try:
            # Un paso dura 0,01 s: cuando contesta al último, alguno ha intentado escribir, y el otro cliente, leer.
            for _ in range(4):
                expect((await app.get("/ping", status=200)).json(), {"pong": True}, "la respuesta de /ping")
                await asyncio.sleep(STEP)
        finally:
            redis_server.resume()
            await asyncio.gather(asked, return_exceptions=True)


@check(
    8,
    "Mientras su proceso vive sigue en marcha; si muere, acaba como «lost»",
    todo=3,
    points=4,
    needs=("test_json_for_everyone",),
    section=LEASE,
    hints=(
        "Quien se ocupa renueva la prórroga, haya avance o no; quien lee, sin prórroga y sin acabar, deduce «lost».",
        "Una tarea de asyncio que duerme LEASE_SECONDS / 3 y llama a extend_lease, en bucle; se cancela al acabar.",
        "Lee la tarea y su prórroga a la vez, con mget. Lo acabado sigue acabado, aunque ya no tenga prórroga.",
    ),
)
async def test_lease(launch: Launch, redis_server: Valkey, rng: Random) -> None:
    lease = patience(0.35)
    env = {"LEASE_SECONDS": str(lease)}
    async with launch(env={**env, "STEP_SECONDS": FOREVER}) as app, launch(env=env, name="otro proceso") as other:
        done = await submit(other, [1.0])
        task_id = await submit(app, [1.0])
        await until(other, done, "done")
        # Es el tiempo lo que se prueba: la primera prórroga de las dos tiene que haber caducado.
        await app.rests("entre prórroga y prórroga", lease * 1.5)
        expect(await read(other, task_id), {"status": "running"}, "la tarea larga, pasada su primera prórroga")
        expect(await read(app, done), {"status": "done", "progress": 100}, "la que ya había acabado")
        await no_lease(redis_server, done)
        await app.kill()
        await let_the_lease_expire(redis_server, task_id, lease)
        await until(other, task_id, "lost")
        await forgotten_in_the_queue(other, redis_server, task_id)


async def forgotten_in_the_queue(app: App, server: Valkey, task_id: str) -> None:
    """Lo perdido se deduce al leer: vale para lo que no llegó a empezar, y no se guarda."""
    queued = {**await stored(server, task_id), "id": f"{task_id}q", "status": "queued"}
    async with server.client() as redis:
        await redis.set(f"task:{queued['id']}", json.dumps(queued), ex=RESULT)
    transcript.note(f"En Redis aparece task:{queued['id']}, en cola y sin prórroga")
    expect(await read(app, queued["id"]), {"status": "lost"}, "una tarea en cola de la que no se ocupa nadie")
    kept = {(await stored(server, task_id))["status"], (await stored(server, queued["id"]))["status"]}
    if "lost" in kept:
        raise Mismatch("que en Redis siga el último estado que guardó quien la hacía", "«lost»: eso solo se deduce")
