"""Controles de 3.2: trabajo de tres clases, y un bucle que sigue atendiendo."""

from random import Random
from typing import Any

from taller.checking import ANY, App, Launch, Matching, Mismatch, check, expect

LOOP = "el-bucle-y-quien-lo-bloquea"
BOUND = "cuántas-a-la-vez"

ID = Matching(r"\S+", "un id")
# Duran más que cualquier control: si /ping contesta, no es porque el trabajo haya acabado.
LONG_SECONDS = 30.0
LONG_COUNT = 20_000_000


async def submit(app: App, kind: str, size: float) -> str:
    answer = (await app.post("/jobs", json={"kind": kind, "size": size}, status=202)).json()
    expect(answer, {"id": ID, "kind": kind, "status": ANY, "result": ANY}, "el trabajo apuntado")
    return str(answer["id"])


async def until(app: App, job_id: str, status: str, within: float = 2.0) -> dict[str, Any]:
    """El trabajo cuando llega a ese estado."""
    expecting = f"que el trabajo llegue a «{status}»"
    answer = await app.poll(
        f"/jobs/{job_id}", lambda got: got.json()["status"] == status, expecting=expecting, within=within, status=200
    )
    job: dict[str, Any] = answer.json()
    return job


async def ping(app: App) -> int:
    answer = (await app.get("/ping", status=200)).json()
    expect(answer, {"pid": ANY}, "la respuesta de /ping")
    return int(answer["pid"])


@check(
    1,
    "Un trabajo se apunta, se hace y da su resultado",
    todo=2,
    section=LOOP,
    hints=(
        "Empieza por el TODO 4 (apuntarlo y encolarlo); después, quien lo hace (2), cómo (1) y arrancarlo (3).",
        "Un obrero es un bucle: await waiting.get(), hacer el trabajo, guardar el resultado y vuelta a empezar.",
        "Si se queda en «queued», nadie lo recoge: asyncio.create_task(work()), en lifespan, y guárdalo en una lista.",
    ),
)
async def test_done(app: App, rng: Random) -> None:
    # Con los dos decimales que se ven: lo que vuelve es el mismo número.
    seconds = rng.randint(1, 5) / 100
    for kind in ("async", "sync"):
        job_id = await submit(app, kind, seconds)
        done = await until(app, job_id, "done")
        expect(done, {"id": job_id, "kind": kind, "result": {"seconds": seconds}}, "el trabajo hecho")


@check(
    2,
    "El cálculo se hace en otro proceso",
    todo=1,
    points=2,
    needs=("test_done",),
    section=LOOP,
    within=12.0,
    hints=(
        "Un hilo no basta: dos hilos de Python no calculan a la vez (GIL). Hace falta otro proceso.",
        "loop.run_in_executor(processes, compute, size) devuelve algo que se puede esperar con await.",
    ),
)
async def test_other_process(app: App, rng: Random) -> None:
    limit = rng.randint(50, 2000)
    primes = sum(all(n % d for d in range(2, n)) for n in range(2, limit))
    # El primer trabajo espera a que arranque el proceso, que importa la app otra vez: con la máquina ocupada, segundos.
    done = await until(app, await submit(app, "cpu", limit), "done", within=8.0)
    expect(done["result"], {"primes": primes, "pid": ANY}, "el resultado")
    if done["result"]["pid"] == await ping(app):
        raise Mismatch("un pid distinto del de /ping", f"el mismo, {done['result']['pid']}")


@check(
    3,
    "Contesta sin esperar al trabajo",
    todo=4,
    needs=("test_done",),
    section=LOOP,
    hints=(
        "El trabajo dura 30 s: la respuesta tiene que salir ya, y el trabajo verse en «running» mientras dura.",
        "put_nowait no espera; await perform(…) en la ruta, sí. ¿Y pones status = «running» antes de perform?",
    ),
)
async def test_does_not_wait(launch: Launch, rng: Random) -> None:
    async with launch() as app:
        await until(app, await submit(app, "async", LONG_SECONDS), "running")
        await ping(app)


@check(
    4,
    "Atiende mientras una función sin await espera",
    todo=1,
    points=2,
    needs=("test_does_not_wait",),
    section=LOOP,
    hints=(
        "Una función con time.sleep no suelta el bucle aunque la llames desde async def.",
        "asyncio.to_thread(block, size) la ejecuta en un hilo, y el bucle queda libre.",
    ),
)
async def test_sync(launch: Launch, rng: Random) -> None:
    async with launch() as app:
        await until(app, await submit(app, "sync", LONG_SECONDS), "running")
        for _ in range(2):
            await ping(app)


@check(
    5,
    "Atiende mientras calcula",
    todo=1,
    points=2,
    needs=("test_does_not_wait",),
    section=LOOP,
    hints=(
        "compute no espera a nada: ocupa el procesador. Dentro del bucle no deja hueco a nadie.",
        "Llévala a otro proceso con run_in_executor(processes, …).",
    ),
)
async def test_cpu(launch: Launch, rng: Random) -> None:
    async with launch() as app:
        await until(app, await submit(app, "cpu", LONG_COUNT), "running")
        for _ in range(2):
            await ping(app)


@check(
    6,
    "Como mucho MAX_JOBS a la vez, sean del tipo que sean",
    todo=3,
    points=2,
    needs=("test_sync",),
    section=BOUND,
    hints=(
        "Tienen que ir MAX_JOBS a la vez, ni uno menos; y el tope es de todos los tipos juntos, no uno por tipo.",
        "Con MAX_JOBS obreros y una sola cola, el tope sale solo: cada obrero hace un trabajo cada vez.",
    ),
)
async def test_bound(launch: Launch, rng: Random) -> None:
    most = rng.randint(2, 3)
    kinds = rng.sample(["async", "sync"], 2) * most
    async with launch(env={"MAX_JOBS": str(most)}) as app:
        ids = [await submit(app, kind, LONG_SECONDS) for kind in kinds]
        for job_id in ids[:most]:
            await until(app, job_id, "running")
        for _ in range(3):
            statuses = [(await app.get(f"/jobs/{job_id}", status=200)).json()["status"] for job_id in ids]
            expect(statuses.count("running"), most, f"los trabajos en marcha con MAX_JOBS={most}")


@check(
    7,
    "Al acabar uno empieza el siguiente, y se hacen todos",
    todo=2,
    needs=("test_done",),
    section=BOUND,
    hints=(
        "Un obrero que hace un trabajo y termina deja a los demás esperando: while True.",
        "Si cada trabajo espera a que acabe el anterior, no estás usando todos los obreros.",
    ),
)
async def test_all_are_done(launch: Launch, rng: Random) -> None:
    async with launch(env={"MAX_JOBS": "2", "MAX_WAITING": "3"}) as app:
        long_one = await submit(app, "async", LONG_SECONDS)
        for _ in range(2):
            ids = [await submit(app, rng.choice(["async", "sync"]), 0.01) for _ in range(3)]
            for job_id in ids:
                await until(app, job_id, "done")
        await until(app, long_one, "running")


@check(
    8,
    "Cuando no caben más contesta 503",
    todo=4,
    points=2,
    needs=("test_bound",),
    section=BOUND,
    hints=(
        "waiting tiene tope: put_nowait lanza asyncio.QueueFull cuando no cabe.",
        "await waiting.put(…) no falla: espera, y el cliente con él.",
        "El rechazado no se apunta: su id no existe.",
    ),
)
async def test_full(launch: Launch, rng: Random) -> None:
    places = rng.randint(2, 4)
    async with launch(env={"MAX_JOBS": "1", "MAX_WAITING": str(places)}) as app:
        await until(app, await submit(app, "async", LONG_SECONDS), "running")
        ids = [await submit(app, "async", 0.01) for _ in range(places)]
        for _ in range(2):
            await app.post("/jobs", json={"kind": "async", "size": 0.01}, status=503)
        for job_id in ids:
            expect((await app.get(f"/jobs/{job_id}", status=200)).json(), {"status": "queued"}, "los que sí cabían")


@check(
    9,
    "Un id desconocido es 404, y un pedido sin sentido, 422",
    todo=4,
    needs=("test_done",),
    section=BOUND,
    hints=("El modelo Order ya rechaza lo que no cumple; que jobs solo tenga lo que has aceptado.",),
)
async def test_refusals(app: App, rng: Random) -> None:
    job_id = await submit(app, "async", 0.01)
    await app.get(f"/jobs/{job_id[::-1]}{rng.randrange(10)}", status=404)
    for body in (
        {"kind": "gpu", "size": 1},
        {"kind": "sync", "size": 0},
        {"kind": "cpu", "size": -1},
        {"kind": "async"},
    ):
        await app.post("/jobs", json=body, status=422)
    await until(app, job_id, "done")
