"""Controles de 8.1: lo que dice /metrics, comparado con lo que el propio control ha hecho."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

from taller.checking import App, Approx, Launch, Mismatch, check, eventually, expect
from taller.checking.metrics import Scrape, agrees, has_metrics, same_series, scrape
from taller.wire import WebSocketClient, transcript

METRICS = {
    "websocket_connections": "gauge",
    "websocket_messages_total": "counter",
    "websocket_message_latency_seconds": "histogram",
    "websocket_connection_errors_total": "counter",
    "websocket_queued_bytes": "gauge",
}
OPEN, QUEUED = "websocket_connections", "websocket_queued_bytes"
RECEIVED, SENT = (f'websocket_messages_total{{direction="{direction}"}}' for direction in ("received", "sent"))
DROPPED, INVALID, SERVER = (
    f'websocket_connection_errors_total{{reason="{reason}"}}' for reason in ("dropped", "invalid", "server")
)
LATENCY = "websocket_message_latency_seconds"
IDLE = {OPEN: 0, QUEUED: 0}
# Más de lo que cabe en los búferes del núcleo y de uvicorn: el resto tiene que esperar en la cola.
HEAVY, TIMES = 64 * 1024, 400


def names(rng: Random, count: int) -> list[str]:
    return [f"usuario{number}" for number in rng.sample(range(10**6), count)]


@asynccontextmanager
async def people(app: App, users: list[str]) -> AsyncIterator[list[WebSocketClient]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(app.websocket(f"/ws?user={user}", name=user)) for user in users]


async def talk(client: WebSocketClient, text: str, times: int = 1, wait: float = 0.0) -> None:
    """Un mensaje y todas sus respuestas."""
    await client.send_json({"text": text, "times": times, "wait": wait})
    for _ in range(times):
        await client.expect({"user": client.name, "text": text}, within=1.0 + wait)


@check(
    1,
    "GET /metrics tiene las cinco métricas, bien llamadas y desde el principio",
    todo=1,
    section="un-punto-del-que-leer",
    hints=(
        "El enunciado da el nombre, el tipo y las etiquetas de cada una; el nombre dice qué se cuenta y en qué unidad.",
        "Una serie con etiquetas no existe hasta que se nombra: quien la dibuje no verá un cero, sino nada.",
        'GET /metrics: Response(generate_latest(), media_type=CONTENT_TYPE_LATEST); y, al crearlas, .labels("sent").',
    ),
)
async def test_named(launch: Launch) -> None:
    async with launch() as app:
        found = await scrape(app)
        has_metrics(found, METRICS)
        for name in (OPEN, QUEUED, RECEIVED, SENT, DROPPED, INVALID, SERVER, f"{LATENCY}_count"):
            expect(found[name], 0.0, f"{name}, antes de que pase nada")


@check(
    2,
    "Las conexiones abiertas son las que hay: ni una más cuando se van, se despidan o no",
    todo=3,
    points=2,
    needs=("test_named",),
    section="un-gauge-que-baja",
    hints=(
        "Un gauge que sube al entrar tiene que bajar al salir, y se sale de muchas maneras.",
        "En __del__ no: Python llama a __del__ cuando le parece, y a veces nunca. En un finally, o en un with.",
        "with CONNECTIONS.track_inprogress(): suma al entrar y resta al salir, pase lo que pase dentro.",
    ),
)
async def test_open(app: App, rng: Random) -> None:
    async with people(app, names(rng, rng.randint(4, 7))) as clients:
        await agrees(app, {OPEN: len(clients)})
        polite, rude, *rest = clients
        await polite.close()
        await rude.abort()
        await agrees(app, {OPEN: len(rest)})
        await rest[0].send_json({"text": "", "fail": True})
        await rest[0].expect_close(1011)
        await agrees(app, {OPEN: len(rest) - 1})
    await agrees(app, {OPEN: 0})


@check(
    3,
    "Los mensajes contados son los que han viajado, en cada sentido",
    todo=4,
    points=2,
    needs=("test_named",),
    section="mensajes-por-segundo",
    hints=(
        "Un mensaje puede tener varias respuestas, y uno que no se entiende también ha llegado.",
        "received, en cuanto llega; sent, después de cada send_text.",
    ),
)
async def test_messages(app: App, rng: Random) -> None:
    before = await scrape(app)
    received = sent = 0
    async with people(app, names(rng, 3)) as clients:
        for _ in range(rng.randint(5, 9)):
            times = rng.randint(1, 4)
            await talk(rng.choice(clients), f"texto {rng.randrange(1000)} ñ€", times)
            received, sent = received + 1, sent + times
        await agrees(app, {RECEIVED: received, SENT: sent}, since=before)
        await clients[0].send("esto no es JSON")
        await clients[0].expect_close(1003)
    await agrees(app, {RECEIVED: received + 1, SENT: sent}, since=before)


@check(
    4,
    "El histograma tiene una medida por mensaje contestado, en segundos y con cubos útiles",
    todo=5,
    points=2,
    needs=("test_messages",),
    section="la-media-no-basta",
    hints=(
        "Un histograma que nadie alimenta existe y vale cero: no da error, da una gráfica vacía.",
        "Se mide desde que llega el mensaje hasta que sale su última respuesta: una medida por mensaje, en segundos.",
        "En deliver, tras el send_text: si reply.completes no es None, LATENCY.observe(ahora - reply.completes).",
    ),
)
async def test_latency(app: App, rng: Random) -> None:
    before = await scrape(app)
    bounds = before.bounds(LATENCY)
    for low, high in ((0.005, 0.05), (0.05, 0.5)):
        if not any(low <= bound < high for bound in bounds):
            raise Mismatch(f"algún límite de cubo desde {low} hasta menos de {high}", f"los cubos {bounds}")
    loop = asyncio.get_running_loop()
    waits = [0.0, 0.0, 0.0, *(round(rng.uniform(0.02, 0.06), 3) for _ in range(3))]
    started = loop.time()
    async with people(app, names(rng, 1)) as (client,):
        for wait in waits:
            await talk(client, "¿cuánto tardas?", rng.randint(2, 4), wait)
        # Uno tras otro: entre todos no pueden sumar más de lo que ha durado la charla. Un sleep() puede volver un
        # poco antes: los relojes del bucle van por milisegundos.
        total = Approx(0.95 * sum(waits), loop.time() - started + 0.05)
        await agrees(app, {f"{LATENCY}_count": len(waits), f"{LATENCY}_sum": total}, since=before)
        await client.send("{")
        await client.expect_close(1003)
    await agrees(app, {OPEN: 0, f"{LATENCY}_count": len(waits)}, since=before)


@check(
    5,
    "Cada conexión que acaba mal cuenta una vez y por lo suyo; las que acaban bien, ninguna",
    todo=3,
    points=2,
    needs=("test_open",),
    section="errores-de-conexión",
    hints=(
        "Irse no es un error; irse sin despedirse, sí. El código de cierre los distingue.",
        "WebSocketDisconnect trae el código en .code: 1000 y 1001 son despedidas.",
        "Cuenta en cada except y vuelve a lanzar: así cada conexión pasa por uno solo.",
    ),
)
async def test_errors(app: App, rng: Random) -> None:
    before = await scrape(app)
    rude, broken, crashed = (rng.randint(1, 3) for _ in range(3))
    async with people(app, names(rng, rude + broken + crashed + 2)) as clients:
        left = iter(clients)
        for _ in range(rude):
            await next(left).abort()
        for _ in range(broken):
            client = next(left)
            await client.send("{}")
            await client.expect_close(1003)
        for _ in range(crashed):
            client = next(left)
            await client.send_json({"text": "", "fail": True})
            await client.expect_close(1011)
        await next(left).close(1000)
        await next(left).close(1001)
    await agrees(app, {OPEN: 0, DROPPED: rude, INVALID: broken, SERVER: crashed}, since=before)


@check(
    6,
    "Los bytes en cola son los que esperan, y se van con quien se va",
    todo=6,
    points=3,
    needs=("test_messages", "test_open"),
    section="memoria-por-conexión",
    hints=(
        "Quien deja de leer hace crecer su cola en tu memoria. ¿Qué pasa con esos bytes cuando se va?",
        "Todo lo que sumes al poner hay que restarlo: al sacar o, si nadie lo va a sacar, en discard.",
        "sent se cuenta después de enviar: ni lo que sigue en la cola ni lo que aún se está enviando (TODO 5).",
        "Y la latencia se observa tras la última respuesta: quien no llega a recibirla no deja ninguna medida.",
    ),
)
async def test_queued(app: App, rng: Random) -> None:
    before = await scrape(app)
    text = "x" * (HEAVY + rng.randrange(1000))
    async with people(app, names(rng, 2)) as (stuck, reader):
        stuck.stop_reading()
        await stuck.send_json({"text": text, "times": TIMES})
        size = len(text) + len(f'{{"user": "{stuck.name}", "text": ""}}')
        found = await agrees(app, {QUEUED: Approx(size * TIMES // 4, size * (TIMES - 1))})
        if found[QUEUED] % size:
            raise Mismatch(f"un número entero de respuestas de {size} bytes en {QUEUED}", f"{found[QUEUED]:.0f} bytes")
        await adds_up(app, before, size)
        await talk(reader, text, 3)
        await stuck.abort()
        await agrees(app, {**IDLE, OPEN: 1, f"{LATENCY}_count": 1}, since=before)
    await agrees(app, IDLE)


async def adds_up(app: App, before: Scrape, size: int) -> None:
    """Las enviadas, las que esperan y la que no acaba de enviarse son todas."""

    async def look() -> dict[str, float]:
        with transcript.summarized(f"{app.name}: GET /metrics"):
            found = await scrape(app)
        return {"enviadas": found[SENT] - before[SENT], "en la cola": found[QUEUED] / size}

    expecting = f"que las enviadas y las que esperan sumen {TIMES - 1}: de {TIMES}, una se está enviando"
    await eventually(look, lambda found: sum(found.values()) == TIMES - 1, expecting, within=1.0)


@check(
    7,
    "Más usuarios no son más series",
    todo=4,
    needs=("test_messages", "test_errors"),
    section="etiquetas-pocas-y-conocidas",
    hints=(
        "Cada valor distinto de una etiqueta es una serie más, que Prometheus guarda para siempre.",
        "Quién es el usuario va en los registros, no en las métricas.",
    ),
)
async def test_few_series(app: App, rng: Random) -> None:
    async def visit() -> None:
        async with people(app, names(rng, 3)) as (ana, luis, eva):
            await talk(ana, f"texto {rng.randrange(10**6)}")
            await luis.send("{")
            await luis.expect_close(1003)
            await eva.abort()
        await agrees(app, {OPEN: 0})

    await visit()
    before = await scrape(app)
    await visit()
    await same_series(app, before)
