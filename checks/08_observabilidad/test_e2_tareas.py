"""Controles de 8.2: las cuentas de la cola y de sus obreros, comparadas con los trabajos que pide el propio control."""

import time
from random import Random
from typing import Any

from taller.checking import App, Approx, Launch, check, expect
from taller.checking.metrics import agrees, has_metrics, same_series, scrape

METRICS = {
    "background_tasks_queued": "gauge",
    "background_tasks_running": "gauge",
    "background_tasks_total": "counter",
    "background_task_wait_seconds": "histogram",
    "background_task_duration_seconds": "histogram",
    "background_task_cpu_seconds_total": "counter",
}
KINDS = ("thumbnail", "report")
QUEUED, RUNNING = "background_tasks_queued", "background_tasks_running"
IDLE = {QUEUED: 0, RUNNING: 0}
# Más de lo que dura cualquier control: quien lo tenga entre manos no lo acaba.
FOREVER = 60


def finished(kind: str, status: str) -> str:
    return f'background_tasks_total{{kind="{kind}",status="{status}"}}'


def wait(kind: str, part: str) -> str:
    return f'background_task_wait_seconds_{part}{{kind="{kind}"}}'


def duration(kind: str, part: str) -> str:
    return f'background_task_duration_seconds_{part}{{kind="{kind}"}}'


def cpu(kind: str) -> str:
    return f'background_task_cpu_seconds_total{{kind="{kind}"}}'


async def post(app: App, kind: str, **order: Any) -> str:
    answer = await app.post("/jobs", json={"kind": kind, **order}, status=202)
    job_id: str = answer.json()["id"]
    return job_id


@check(
    1,
    "Las seis métricas existen, bien llamadas, y todas sus series empiezan en cero",
    todo=1,
    section="tareas-en-segundo-plano",
    hints=(
        "El enunciado da el nombre, el tipo y las etiquetas de cada una.",
        "Una serie con etiquetas no existe hasta que se nombra con .labels(…), aunque sea sin sumarle nada.",
        "for kind in KINDS: for status in STATUSES: FINISHED.labels(kind, status)",
    ),
)
async def test_named(launch: Launch) -> None:
    async with launch() as app:
        found = await scrape(app)
        has_metrics(found, METRICS)
        each = [name(kind) for kind in KINDS for name in (cpu, lambda kind: wait(kind, "count"))]
        each += [duration(kind, "count") for kind in KINDS]
        each += [finished(kind, status) for kind in KINDS for status in ("completed", "failed")]
        for name in (QUEUED, RUNNING, *each):
            expect(found[name], 0.0, f"{name}, antes de que pase nada")


@check(
    2,
    "En cola están los que nadie ha empezado; en marcha, los empezados",
    todo=2,
    points=2,
    needs=("test_named",),
    section="tareas-en-la-cola",
    hints=(
        "Un trabajo está en la cola desde que se acepta hasta que un obrero lo empieza; entonces está en marcha.",
        "QUEUED.inc() al aceptarlo; QUEUED.dec() y WAIT…observe(…) en cuanto empieza, no cuando acaba.",
    ),
)
async def test_queue(launch: Launch, rng: Random) -> None:
    workers, waiting = rng.randint(1, 3), rng.randint(2, 5)
    async with launch(env={"WORKERS": str(workers)}) as app:
        for _ in range(workers + waiting):
            await post(app, "report", wait=FOREVER)
        await agrees(app, {QUEUED: waiting, RUNNING: workers, wait("report", "count"): workers})


@check(
    3,
    "Cada trabajo acaba contado una vez, como lo que fue; y al final no queda ninguno",
    todo=3,
    points=2,
    needs=("test_named",),
    section="completadas-y-fallidas",
    hints=(
        "Un trabajo que falla también acaba: ni cuenta como hecho ni se queda en marcha para siempre.",
        "completed va en el else del try, no en el finally: en el finally cuentan también los que fallan.",
        "with RUNNING.track_inprogress() resta también cuando hay excepción.",
    ),
)
async def test_outcomes(app: App, rng: Random) -> None:
    before = await scrape(app)
    outcomes = [(rng.choice(KINDS), rng.random() < 0.5) for _ in range(6)]
    outcomes += [(kind, fail) for kind in KINDS for fail in (True, False)]
    rng.shuffle(outcomes)
    for kind, fail in outcomes:
        await post(app, kind, fail=fail)
    expected = {
        finished(kind, status): outcomes.count((kind, status == "failed"))
        for kind in KINDS
        for status in ("completed", "failed")
    }
    await agrees(app, {**IDLE, **expected}, since=before, within=2.0)


@check(
    4,
    "La duración es la del trabajo, sin la cola; y la espera, la de la cola, sin el trabajo",
    todo=3,
    points=3,
    needs=("test_outcomes",),
    section="tiempo-de-ejecución-y-tiempo-de-espera",
    hints=(
        "Detrás de uno lento, un trabajo corto espera mucho y dura poco: son dos medidas, y no una.",
        "La duración empieza cuando el obrero lo coge, no cuando se acepta; y quien falla también ha durado.",
        "Espera: ahora menos job.accepted_at, al empezar. Duración: with DURATION.labels(kind).time(), alrededor.",
    ),
)
async def test_durations(launch: Launch, rng: Random) -> None:
    slow, quick = rng.sample(KINDS, 2)
    seconds = round(rng.uniform(0.24, 0.28), 3)
    async with launch(env={"WORKERS": "1"}) as app:
        started = time.monotonic()
        await post(app, slow, wait=seconds)
        await post(app, quick, fail=True)
        posted = time.monotonic() - started
        await agrees(app, {**IDLE, finished(slow, "completed"): 1, finished(quick, "failed"): 1}, within=2.0)
        elapsed = time.monotonic() - started
        # El lento ocupa al único obrero: lo que sobra del reloj es lo más que han podido tardar las demás cosas.
        spare = round(elapsed - seconds, 3)
        expected = {
            **{part(kind, "count"): 1 for part in (duration, wait) for kind in KINDS},
            duration(slow, "sum"): Approx(seconds, round(elapsed, 3)),
            duration(quick, "sum"): Approx(0, spare),
            wait(slow, "sum"): Approx(0, spare),
            wait(quick, "sum"): Approx(round(seconds - posted, 3), round(elapsed, 3)),
        }
        await agrees(app, expected)


@check(
    5,
    "La CPU de cada clase de trabajo es la que han gastado los suyos",
    todo=4,
    points=2,
    needs=("test_outcomes",),
    section="uso-de-recursos",
    hints=(
        "Esperar no gasta CPU: no vale el reloj de pared. Y mientras uno espera, otro puede estar gastándola.",
        "time.process_time() es la de todo el proceso: se la cobrarías entera a cada trabajo en marcha.",
        "time.thread_time(), dentro del hilo que hace el trabajo, antes y después; y también si falla: finally.",
    ),
)
async def test_cpu(launch: Launch, rng: Random) -> None:
    burnt = [round(rng.uniform(0.03, 0.06), 3) for _ in range(2)]
    sleeper, burner = rng.sample(KINDS, 2)
    async with launch(env={"WORKERS": "2"}) as app:
        await post(app, sleeper, wait=0.3)
        for turn, seconds in enumerate(burnt):
            await post(app, burner, cpu=seconds, fail=turn == 1)
        expected = {
            finished(burner, "failed"): 1,
            finished(sleeper, "completed"): 1,
            cpu(burner): Approx(sum(burnt), sum(burnt) * 1.25 + 0.01),
            cpu(sleeper): Approx(0, 0.02),
        }
        await agrees(app, expected, within=2.0)


@check(
    6,
    "Más trabajos no son más series",
    todo=3,
    needs=("test_outcomes",),
    section="etiquetas-pocas-y-conocidas",
    hints=(
        "El id de un trabajo o el texto de su error son distintos cada vez: van en los registros.",
        "Las etiquetas son kind y status, y nada más.",
    ),
)
async def test_few_series(app: App, rng: Random) -> None:
    async def some_work() -> None:
        before = await scrape(app)
        for fail in (False, True):
            await post(app, "report", fail=fail)
        done = {finished("report", status): 1 for status in ("completed", "failed")}
        await agrees(app, {**IDLE, **done}, since=before)

    await some_work()
    before = await scrape(app)
    await some_work()
    await same_series(app, before)
