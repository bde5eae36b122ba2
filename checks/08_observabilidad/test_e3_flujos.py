"""Controles de 8.3: los flujos que abre y corta el propio control, y lo que dice de ellos cada proceso."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from taller.checking import App, Launch, check, expect
from taller.checking.metrics import Scrape, agrees, has_metrics, same_series, scrape
from taller.wire import SseClient

METRICS = {"sse_streams": "gauge", "sse_events_total": "counter", "sse_disconnections_total": "counter"}
STREAMS = "sse_streams"
PRICE, NEWS = 'sse_events_total{event="price"}', 'sse_events_total{event="news"}'
CLIENT, SERVER = 'sse_disconnections_total{reason="client"}', 'sse_disconnections_total{reason="server"}'


@asynccontextmanager
async def readers(app: App, count: int) -> AsyncIterator[list[SseClient]]:
    """Flujos abiertos y ya contados: lo que se publique desde ahora les llega."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(app.sse("/events", name=f"lector {n}")) for n in range(1, count + 1)]


async def publish(app: App, event: str, text: str, streams: list[SseClient]) -> None:
    await app.post("/events", json={"event": event, "text": text}, status=202)
    for stream in streams:
        await stream.expect({"text": text}, event=event)


@pytest.fixture
def workers_env(shared_folder: Path, request: pytest.FixtureRequest) -> dict[str, str]:
    """Una carpeta de métricas por control: lo que deje uno no lo ve el siguiente."""
    folder = shared_folder / request.node.name
    folder.mkdir(exist_ok=True)
    return {"PROMETHEUS_MULTIPROC_DIR": str(folder)}


@check(
    1,
    "Las tres métricas existen, bien llamadas, y todas sus series empiezan en cero",
    todo=1,
    section="sse",
    hints=(
        "El enunciado da el nombre, el tipo y las etiquetas de cada una. Sin carpeta, el registro de siempre.",
        "Nombra cada serie con .labels(…) al crear las métricas, y contesta en /metrics con generate_latest(REGISTRY).",
    ),
)
async def test_named(launch: Launch) -> None:
    async with launch() as app:
        found = await scrape(app)
        has_metrics(found, METRICS)
        for name in (STREAMS, PRICE, NEWS, CLIENT, SERVER):
            expect(found[name], 0.0, f"{name}, antes de que pase nada")


@check(
    2,
    "Un evento cuenta tantas veces como flujos lo reciben, y por su nombre",
    todo=2,
    needs=("test_named",),
    section="eventos-por-segundo",
    hints=(
        "Lo que sale por tres flujos son tres eventos enviados; lo que se publica sin que mire nadie, ninguno.",
        "Cuenta en stream, junto al yield, y no en publish.",
    ),
)
async def test_events(app: App, rng: Random) -> None:
    before = await scrape(app)
    await publish(app, "news", "nadie mira", [])
    sent = {PRICE: 0, NEWS: 0}
    async with readers(app, rng.randint(2, 4)) as streams:
        await agrees(app, {STREAMS: len(streams)})
        for _ in range(rng.randint(3, 6)):
            event, name = rng.choice([("price", PRICE), ("news", NEWS)])
            await publish(app, event, f"texto {rng.randrange(1000)}", streams)
            sent[name] += len(streams)
        await agrees(app, sent, since=before)


@check(
    3,
    "Los flujos abiertos son los que hay, y cada uno que acaba dice por qué",
    todo=2,
    points=2,
    needs=("test_named",),
    section="la-tasa-de-desconexión",
    hints=(
        "El cliente que se va cancela el generador en mitad de un await: lo que venga después no se ejecuta.",
        "Lo que tiene que pasar siempre va en un finally, o en el with de track_inprogress().",
        'reason = "client" al empezar y "server" solo si el bucle termina por sí mismo; cuéntalo en el finally.',
    ),
)
async def test_disconnections(app: App, rng: Random) -> None:
    before = await scrape(app)
    left, ended = rng.randint(2, 4), rng.randint(2, 4)
    async with readers(app, ended) as staying:
        async with readers(app, left) as leaving:
            await agrees(app, {STREAMS: ended + left})
            await publish(app, "price", "1", [*staying, *leaving])
        await agrees(app, {STREAMS: ended, CLIENT: left, SERVER: 0}, since=before)
        await app.post("/end", status=202)
        for stream in staying:
            await stream.ended(clean=True)
        await agrees(app, {STREAMS: 0, CLIENT: left, SERVER: ended}, since=before)


@check(
    4,
    "Con dos procesos, los dos dicen lo mismo: lo de los dos",
    todo=4,
    points=3,
    needs=("test_events", "test_disconnections"),
    within=15.0,  # sin fork, cada proceso tarda en arrancar
    section="varios-procesos",
    hints=(
        "Prometheus pregunta por un puerto compartido: cada vez le contesta un proceso distinto.",
        "Con PROMETHEUS_MULTIPROC_DIR cada proceso escribe lo suyo en la carpeta: hay que leerla entera.",
        "Un CollectorRegistry() nuevo con un MultiProcessCollector(registry), y generate_latest(registry).",
    ),
)
async def test_two_workers(launch: Launch, workers_env: dict[str, str], rng: Random) -> None:
    async with launch(env=workers_env, name="proceso A") as a, launch(env=workers_env, name="proceso B") as b:
        few, many = rng.randint(1, 2), rng.randint(3, 4)
        async with readers(a, few) as here, readers(b, many) as there:
            for app in (a, b, a):
                await agrees(app, {STREAMS: few + many})
            await publish(a, "price", "1", here)
            await publish(b, "price", "2", there)
            await publish(b, "news", "3", there)
            for app in (a, b):
                await agrees(app, {PRICE: few + many, NEWS: many})
        for app in (a, b):
            await agrees(app, {STREAMS: 0, CLIENT: few + many, SERVER: 0})


@check(
    5,
    "De un proceso muerto no quedan flujos abiertos, pero lo que envió sigue contando",
    todo=3,
    points=3,
    needs=("test_two_workers",),
    within=15.0,  # sin fork, cada proceso tarda en arrancar
    section="el-proceso-que-muere",
    hints=(
        "Un kill -9 no deja ejecutar nada: su archivo de gauges se queda en la carpeta, con los flujos que tenía.",
        "Antes de sumar, mira de qué procesos son los archivos gauge_live*_{pid}.db y olvida a los que ya no existen.",
        "mark_process_dead(pid) borra sus gauges y respeta sus contadores: un contador no puede bajar.",
    ),
)
async def test_dead_worker(launch: Launch, workers_env: dict[str, str], rng: Random) -> None:
    async with launch(env=workers_env, name="proceso B") as survivor:
        gone, left = rng.randint(3, 5), rng.randint(1, 2)
        async with readers(survivor, left) as there:
            async with launch(env=workers_env, name="proceso A") as victim, readers(victim, gone) as here:
                await publish(victim, "price", "1", here)
                await agrees(survivor, {STREAMS: gone + left, PRICE: gone})
                await victim.kill()
                await agrees(survivor, {STREAMS: left, PRICE: gone})
            async with launch(env=workers_env, name="proceso C") as newcomer, readers(newcomer, 1) as new:
                await publish(newcomer, "price", "2", new)
                await publish(survivor, "price", "3", there)
                for app in (newcomer, survivor):
                    await agrees(app, {STREAMS: left + 1, PRICE: gone + left + 1})


@check(
    6,
    "Ni el pid ni el cliente son etiquetas: más gente y más procesos no son más series",
    todo=1,
    needs=("test_two_workers",),
    within=15.0,  # sin fork, cada proceso tarda en arrancar
    section="etiquetas-pocas-y-conocidas",
    hints=(
        "Cada despliegue estrena pids: como etiqueta, las series crecen con cada uno.",
        "Sin multiprocess_mode, un gauge sale una vez por proceso, con su pid: «livesum» los suma.",
    ),
)
async def test_few_series(launch: Launch, workers_env: dict[str, str]) -> None:
    async def visit(app: App) -> Scrape:
        async with readers(app, 2) as streams:
            await agrees(app, {STREAMS: 2})
            await publish(app, "news", "hola", streams)
        return await agrees(app, {STREAMS: 0})

    async with launch(env=workers_env, name="proceso A") as first:
        before = await visit(first)
        async with launch(env=workers_env, name="proceso B") as second:
            await visit(second)
            await same_series(second, before)
