"""Controles de 4.3: el trabajo es del servidor; quienes lo miran van y vienen."""

from random import Random
from typing import Any

import pytest

from taller.checking import ANY, App, Approx, Launch, Mismatch, OneOf, check, expect
from taller.wire import SseClient, SseEvent

SECTION = "una-barra-de-progreso"
STEP = 0.03
LONG = 60
NOT_INTEGERS = ("siete", "", "12.5")


@pytest.fixture(scope="module")
def app_env() -> dict[str, str]:
    return {"STEP_SECONDS": str(STEP)}


async def start(app: App, rows: list[str]) -> str:
    """Empieza una importación; devuelve la ruta que la nombra."""
    answer = (await app.post("/imports", json={"rows": rows}, status=202, within=0.8)).json()
    if not isinstance(answer.get("id"), str):
        raise Mismatch('{"id": "…"} como respuesta a POST /imports', str(answer))
    return f"/imports/{answer['id']}"


def random_rows(rng: Random, count: int) -> list[str]:
    return [str(rng.randint(-50, 99)) for _ in range(count)]


async def next_progress(stream: SseClient, total: int, at_least: int = 0) -> int:
    """El `done` del siguiente «progress», que no puede retroceder."""
    event = await stream.expect({"done": Approx(at_least, total), "total": total}, event="progress")
    return int(event.json()["done"])


async def progress_up_to(stream: SseClient, total: int, target: int) -> int:
    done = 0
    while done < target:
        done = await next_progress(stream, total, done)
    return done


async def final(stream: SseClient, total: int) -> SseEvent:
    """El evento final, tras los «progress» que falten; después, el servidor debe acabar el flujo."""
    done = 0
    while (event := await stream.event(expecting="el evento final, «done» o «failed»")).event == "progress":
        wanted = {"done": Approx(done, total), "total": total}
        expect(event.json(), wanted, "el progreso, que no retrocede")
        done = event.json()["done"]
    await stream.ended(clean=True)
    return event


async def watch_to_the_end(app: App, path: str, total: int, name: str = "cliente") -> SseEvent:
    async with app.sse(f"{path}/events", name=name) as stream:
        return await final(stream, total)


def expect_event(event: SseEvent, name: str, data: dict[str, Any]) -> None:
    expect(event.event, name, "el nombre del evento final")
    expect(event.json(), data, f"los datos de «{name}»")


@check(
    1,
    "Contesta 202 al momento, y la importación ya se puede consultar",
    todo=2,
    section=SECTION,
    hints=(
        "POST no espera a que termine: pone el trabajo en marcha con asyncio.create_task y contesta.",
        "Apúntala en `imports` con su id: es ahí donde la busca GET /imports/{id}.",
        "Dentro de run(), espera con asyncio.sleep: time.sleep detiene el servidor entero, respuestas incluidas.",
    ),
)
async def test_accepts(app: App, rng: Random) -> None:
    path = await start(app, random_rows(rng, LONG))
    expect((await app.get(path, status=200)).json(), {"status": "running", "total": LONG}, f"GET {path}")


@check(
    2,
    "Avanza hasta el final o hasta la fila mala, mire alguien o no",
    todo=1,
    points=2,
    needs=("test_accepts",),
    section=SECTION,
    hints=(
        "Con cada fila, una pausa, la suma y `done`; al acabar, status pasa a «done».",
        "Un entero es lo que acepta int(): float(), o saltarse la fila, da por bueno lo que no lo es.",
        "Si solo avanza cuando alguien la mira, la empieza el flujo: quien debe empezarla es POST (TODO 2).",
    ),
)
async def test_works_alone(app: App, rng: Random) -> None:
    rows = random_rows(rng, rng.randint(2, 3))
    good = await start(app, rows)
    wrong = {text: await start(app, [*rows, text, "8"]) for text in NOT_INTEGERS}
    await comes_to(app, good, {"status": "done", "done": len(rows), "total": len(rows)}, "todas sus filas enteras")
    for text, path in wrong.items():
        end = {"status": "failed", "done": len(rows), "total": len(rows) + 2}
        await comes_to(app, path, end, f"la fila {text!r} detrás de {len(rows)} enteras")


async def comes_to(app: App, path: str, end: dict[str, Any], what: str) -> None:
    """Espera, mirando desde fuera, a que acabe la importación que tiene `what`, y que acabe como dice `end`."""
    expecting = f"que la importación con {what} acabe sin que nadie la mire"
    answer = await app.poll(path, lambda answer: answer.json().get("status") != "running", expecting=expecting)
    expect(answer.json(), end, f"GET {path}, la importación con {what}, al acabar")


@check(
    3,
    "El flujo cuenta cómo va al conectarte y después cada avance",
    todo=4,
    points=2,
    needs=("test_works_alone",),
    section=SECTION,
    hints=(
        "Lo primero que recibe quien se conecta es cómo va ahora; después, cada cambio.",
        "Mientras esté en marcha: entrega job.progress_event() y espera la señal `changed`.",
        "Sin esperarla, el bucle entrega lo mismo miles de veces por segundo.",
    ),
)
async def test_progress(app: App, launch: Launch, rng: Random) -> None:
    path = await start(app, random_rows(rng, LONG))
    async with app.sse(f"{path}/events") as stream:
        await progress_up_to(stream, LONG, 3)
    async with launch(env={"STEP_SECONDS": "30"}, name="app que va despacio") as slow:
        path = await start(slow, random_rows(rng, LONG))
        async with slow.sse(f"{path}/events") as stream:
            await stream.expect({"done": 0, "total": LONG}, event="progress")
            await slow.rests("mientras la importación no avanza")


@check(
    4,
    "Al terminar envía «done» con la suma, y acaba el flujo",
    todo=4,
    needs=("test_progress",),
    section=SECTION,
    hints=(
        "Un flujo se acaba devolviendo el control: tras el evento final, la función termina.",
        "Quien llega cuando ya ha terminado recibe el evento final directamente.",
        "El final también se anuncia: si run() no llama a announce(), quienes miran siguen esperando.",
    ),
)
async def test_done(app: App, rng: Random) -> None:
    rows = random_rows(rng, rng.randint(3, 5))
    path = await start(app, rows)
    for _ in range(2):
        event = await watch_to_the_end(app, path, len(rows))
        expect_event(event, "done", {"sum": sum(map(int, rows))})


@check(
    5,
    "Si falla, envía «failed» con la fila: el error viaja como un evento",
    todo=1,
    points=2,
    needs=("test_progress",),
    section=SECTION,
    hints=(
        "El 200 ya se envió: una excepción dentro del flujo solo puede cortarlo, y el navegador volverá a intentarlo.",
        "Captura el ValueError de int() dentro de run(): el estado pasa a «failed» y se anuncia.",
    ),
)
async def test_failed(app: App, rng: Random) -> None:
    rows = random_rows(rng, rng.randint(2, 4))
    path = await start(app, [*rows, rng.choice(NOT_INTEGERS), "8"])
    event = await watch_to_the_end(app, path, len(rows) + 2)
    expect_event(event, "failed", {"row": len(rows) + 1})


@check(
    6,
    "Tres que miran, uno más tarde, ven el mismo trabajo",
    todo=4,
    points=2,
    needs=("test_done",),
    section=SECTION,
    hints=(
        "Todos miran el mismo objeto: nadie se lleva un cambio que otro necesitaba, como pasaría con una cola común.",
        "Toma la señal `changed` antes de entregar: si cambia mientras tanto, no te pierdes el aviso.",
    ),
)
async def test_viewers(app: App, rng: Random) -> None:
    rows = random_rows(rng, 12)
    path = await start(app, rows)
    async with app.sse(f"{path}/events", name="Ana") as ana, app.sse(f"{path}/events", name="Eva") as eva:
        seen = await progress_up_to(ana, len(rows), 2)
        async with app.sse(f"{path}/events", name="Luis") as luis:
            first = await luis.event()
            if first.event == "progress":
                expect(first.json(), {"done": Approx(seen, len(rows)), "total": len(rows)}, "lo primero que ve Luis")
            ends = [await final(stream, len(rows)) for stream in (ana, eva)]
            ends.append(first if first.event == "done" else await final(luis, len(rows)))
    for event in ends:
        expect_event(event, "done", {"sum": sum(map(int, rows))})


@check(
    7,
    "Dejar de mirar no detiene el trabajo, y volver no lo empieza de nuevo",
    todo=2,
    points=2,
    needs=("test_progress",),
    section=SECTION,
    hints=(
        "Si el trabajo se hace dentro del flujo, muere con él: tiene que ser otra tarea.",
        "Al volver, el navegador pide lo mismo con Last-Event-ID: mira el trabajo que ya existe.",
    ),
)
async def test_leaving(app: App, rng: Random) -> None:
    path = await start(app, random_rows(rng, LONG))
    async with app.sse(f"{path}/events", name="Luis") as luis:
        async with app.sse(f"{path}/events", name="Ana") as ana:
            await progress_up_to(ana, LONG, 2)
            last = await ana.expect({"done": ANY, "total": LONG}, event="progress")
        gone = await advances_beyond(app, path, last.json()["done"] + 2)
        await progress_up_to(luis, LONG, gone)
        async with app.sse(f"{path}/events", name="Ana, que vuelve", last_event_id=last.id) as back:
            first = await back.event()
            expect(first.event, OneOf("progress", "done"), "lo primero que ve quien vuelve")
            if first.event == "progress":
                expect(first.json()["done"], Approx(gone, LONG), "el progreso que ve quien vuelve")


async def advances_beyond(app: App, path: str, target: int) -> int:
    """Espera, mirando desde fuera, a que haya importado `target` filas."""
    expecting = f"que la importación siga sola hasta {target} filas"
    answer = await app.poll(path, lambda answer: answer.json().get("done", 0) >= target, expecting=expecting)
    return int(answer.json()["done"])


@check(
    8,
    "A quien ya vio el final se le contesta 204; a los demás, el final",
    todo=3,
    points=2,
    needs=("test_done", "test_failed"),
    section=SECTION,
    hints=(
        "EventSource vuelve solo cuando el flujo acaba, aunque lo acabes tú. Lo único que lo detiene es un 204.",
        "Que haya terminado no basta: quien se fue antes no sabe cómo acabó. Mira su Last-Event-ID.",
        "En la dependencia, antes del flujo: raise HTTPException(204).",
    ),
)
async def test_no_more_reconnections(app: App, rng: Random) -> None:
    for rows, name in ((random_rows(rng, 2), "done"), ([*random_rows(rng, 1), "x"], "failed")):
        path = await start(app, rows)
        async with app.sse(f"{path}/events") as stream:
            first = await stream.event()
            end = await final(stream, len(rows)) if first.event == "progress" else first
        expect(end.event, name, "el nombre del evento final")
        if not end.id:
            raise Mismatch(f"que el evento final, «{name}», lleve un id", f"no lo lleva: {end}")
        await app.get(f"{path}/events", headers={"Last-Event-ID": end.id}, status=204)
        for last_id in (None, first.id if first is not end else None):
            async with app.sse(f"{path}/events", last_event_id=last_id) as stream:
                await stream.expect(ANY, event=name)


@check(
    9,
    "Una importación que no existe es un 404, no un flujo",
    todo=3,
    needs=("test_progress",),
    section="rechazar-antes-de-empezar",
    hints=("Una vez enviado el 200 ya no se puede cambiar: compruébalo en la dependencia, antes del primer yield.",),
)
async def test_unknown_import(app: App, rng: Random) -> None:
    await app.get(f"/imports/{rng.randrange(10**9)}/events", status=404)
