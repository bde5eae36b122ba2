"""Controles de 4.1: un flujo SSE que un navegador entiende."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from taller.checking import ANY, App, Launch, Mismatch, check, eventually, expect, patience
from taller.wire import SseClient

SECTION = "el-formato-en-el-cable"


@asynccontextmanager
async def watching(app: App, name: str = "cliente") -> AsyncIterator[SseClient]:
    """Alguien que mira el panel, con el saludo ya leído: desde ahí no se pierde nada."""
    async with app.sse("/events", name=name) as stream:
        await stream.expect({"watching": ANY}, event="welcome")
        yield stream


def random_train(rng: Random) -> dict[str, str | int]:
    return {"line": f"C-{rng.randint(1, 99)}", "minutes": rng.randint(0, 59)}


def random_notice(rng: Random) -> str:
    """Varias líneas, una en blanco, sangría, acentos y líneas que parecen campos de SSE o comentarios."""
    lines = [
        f"Vía {rng.randint(1, 99)}: ¡cuidado! 🚆",
        f"  retraso de {rng.randint(1, 59)} min",
        f"id: {rng.randint(1, 99)}",
        ": esto no es un comentario",
        "",
        f"event: {rng.randrange(1000)}",
    ]
    rng.shuffle(lines)
    return "\n".join(["Aviso.", *lines, "Fin."])


async def expect_notice(stream: SseClient, text: str) -> None:
    received = await stream.event(expecting=f"el evento «notice» con {text!r}")
    expect(received.event, "notice", "el nombre del evento")
    expect(received.data, text, "el texto del aviso, unidas sus líneas")


@check(
    1,
    "Es un flujo SSE que empieza al momento con «welcome»",
    todo=3,
    points=2,
    section=SECTION,
    hints=(
        "Un navegador solo acepta text/event-stream: con otro tipo, EventSource se cierra y no da ningún mensaje.",
        "Cada evento acaba en una línea en blanco; sin ella, el navegador sigue esperando a que termine.",
        "@app.get(…, response_class=EventSourceResponse) y una función que haga `yield ServerSentEvent(…)`.",
    ),
)
async def test_stream(app: App, rng: Random) -> None:
    async with app.sse("/events") as stream:
        expect(stream.response.status_code, 200, "el código de GET /events")
        kind = stream.response.headers.get("content-type", "ninguno")
        expect(kind.partition(";")[0].strip().lower(), "text/event-stream", "el tipo de contenido")
        await stream.expect({"watching": 1}, event="welcome")
        async with app.sse("/events", name="otro") as other:
            await other.expect({"watching": 2}, event="welcome")


@check(
    2,
    "Un tren llega como evento «train», con su JSON",
    todo=1,
    needs=("test_stream",),
    section=SECTION,
    hints=(
        "El nombre del evento va en `event`; quien no lo ponga envía un «message».",
        "`data` se convierte sola en JSON: pásale el modelo, no un texto que ya sea JSON.",
    ),
)
async def test_train(app: App, rng: Random) -> None:
    async with watching(app) as stream:
        train = random_train(rng)
        await app.post("/trains", json=train, status=202)
        await stream.expect(train, event="train")


@check(
    3,
    "Un aviso de varias líneas llega entero y tal cual",
    todo=1,
    points=2,
    needs=("test_stream",),
    section=SECTION,
    hints=(
        "Una línea en blanco dentro de los datos termina el evento: cada línea del texto lleva su propio «data:».",
        "Si llega entre comillas y con \\n escritos, lo has enviado como JSON: `raw_data` lo envía como texto.",
    ),
)
async def test_notice(app: App, rng: Random) -> None:
    for text in (random_notice(rng), f"Corto {rng.randrange(100)}", random_notice(rng)):
        async with watching(app) as stream:
            await app.post("/notices", json={"text": text}, status=202)
            await expect_notice(stream, text)


@check(
    4,
    "Todos los que miran reciben lo mismo, en el mismo orden",
    todo=3,
    needs=("test_train", "test_notice"),
    section=SECTION,
    hints=(
        "Cada conexión tiene su cola, la que da board.watch(): si dos leen de la misma, se la reparten.",
        "El flujo no acaba tras el primer evento: entrega los siguientes en un bucle.",
    ),
)
async def test_everybody(app: App, rng: Random) -> None:
    async with watching(app, "Ana") as ana, watching(app, "Luis") as luis:
        trains = [random_train(rng) for _ in range(3)]
        for train in trains:
            await app.post("/trains", json=train, status=202)
        await app.post("/notices", json={"text": "Fin del servicio."}, status=202)
        for stream in (luis, ana):
            for train in trains:
                await stream.expect(train, event="train")
            await expect_notice(stream, "Fin del servicio.")


@check(
    5,
    "Quien se va deja de contar",
    todo=3,
    needs=("test_stream",),
    section=SECTION,
    hints=(
        "«watching» sale de las colas que hay en board.queues: la de quien se fue sigue ahí, y nadie la vacía.",
        "board.watch() es un gestor de contexto: `with board.watch() as queue:` la olvida acabe como acabe el flujo.",
    ),
)
async def test_leaving(app: App, rng: Random) -> None:
    async with watching(app, "Ana"), watching(app, "Luis"), watching(app, "Eva"):
        pass

    async def counted_alone() -> int:
        async with app.sse("/events", name="quien llega después") as stream:
            welcome = await stream.expect({"watching": ANY}, event="welcome")
        return int(welcome.json()["watching"])

    await eventually(
        counted_alone, lambda watching: watching == 1, '{"watching": 1} para quien llega cuando no hay nadie'
    )


@check(
    6,
    "Si no hay nada que contar, late; y después sigue contando",
    todo=2,
    points=2,
    needs=("test_everybody",),
    section="latidos",
    hints=(
        "Un latido es un comentario: una línea que empieza por dos puntos. ServerSentEvent(comment=…).",
        "Espera con un plazo de HEARTBEAT_SECONDS segundos: asyncio.timeout, y captura TimeoutError.",
        "El plazo rodea a queue.get(), no al flujo entero: cancelar un generador lo termina para siempre.",
    ),
)
async def test_heartbeat(launch: Launch, rng: Random) -> None:
    every = patience(0.12)
    async with launch(env={"HEARTBEAT_SECONDS": str(every)}) as app:
        start = time.monotonic()
        async with watching(app) as stream:
            for _ in range(2):
                await expect_heartbeats(stream, 3, every, start)
                train = random_train(rng)
                start = time.monotonic()
                await app.post("/trains", json=train, status=202)
                await stream.expect(train, event="train")


async def expect_heartbeats(stream: SseClient, count: int, every: float, start: float) -> None:
    """Los latidos de un silencio que empezó después de `start`: ni antes de tiempo ni cuando quiera la app."""
    for _ in range(count):
        await expect_heartbeat(stream, every)
    lasted = time.monotonic() - start
    if not count * every * 0.95 < lasted < count * every + patience(1.0):
        raise Mismatch(f"un latido cada HEARTBEAT_SECONDS, aquí {every:g} s", f"{count} latidos en {lasted:.2f} s")


async def expect_heartbeat(stream: SseClient, every: float) -> None:
    wanted = f"un comentario, pasados {every:g} s sin nada que contar"
    block = await stream.block(every + 1.0, expecting=wanted)
    if block.comment is None:
        raise Mismatch(wanted, f"un evento: {block}")
