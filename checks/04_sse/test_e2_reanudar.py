"""Controles de 4.2: reanudar un flujo sin perder ni repetir nada, y decir cuándo no se puede."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest

from taller.checking import App, Launch, Matching, Mismatch, check, expect
from taller.wire import SseClient

SECTION = "reanudar-sin-perder-nada"
HISTORY = Random().randint(6, 9)
RETRY_MS = Random().randint(500, 5000)


@pytest.fixture(scope="module")
def app_env() -> dict[str, str]:
    return {"HISTORY": str(HISTORY), "RETRY_MS": str(RETRY_MS)}


async def publish(app: App, *texts: str) -> list[str]:
    """Publica titulares; devuelve sus `id`."""
    answers = [await app.post("/headlines", json={"text": text}, status=201) for text in texts]
    ids = [answer.json().get("id") for answer in answers]
    expect(ids, [Matching(description="un texto que sea su id")] * len(ids), "el «id» que contesta POST /headlines")
    return ids


def random_texts(rng: Random, count: int) -> list[str]:
    return [f"Titular {rng.randrange(10**6)} ¡ñ!" for _ in range(count)]


@asynccontextmanager
async def following(app: App, last_id: str | None = None, **options: Any) -> AsyncIterator[SseClient]:
    """Un cliente conectado, con su primer bloque, `retry`, ya leído: desde ahí cuenta todo."""
    async with app.sse("/events", last_event_id=last_id, **options) as stream:
        wanted = f"un primer bloque con «retry: {RETRY_MS}»"
        block = await stream.block(expecting=wanted)
        if block.retry != RETRY_MS:
            raise Mismatch(wanted, str(block))
        yield stream


async def expect_headlines(stream: SseClient, texts: list[str], ids: list[str]) -> None:
    for text, event_id in zip(texts, ids, strict=True):
        event = await stream.expect({"text": text}, event="headline")
        expect(event.id, event_id, f"el id de «{text[:30]}»")


@check(
    1,
    "Empieza con retry y entrega cada titular que se publica",
    todo=4,
    section=SECTION,
    hints=(
        "Lo primero que sale es ServerSentEvent(retry=RETRY_MS): sin datos, el navegador solo apunta la espera.",
        "Después, un bucle sin fin: los titulares que vayan detrás de `position`, y esperar la señal `changed`.",
        "Quien llega sin Last-Event-ID empieza en archive.last: solo le falta lo que se publique desde ahora.",
    ),
)
async def test_live(app: App, rng: Random) -> None:
    await publish(app, *random_texts(rng, 1))
    async with following(app) as stream:
        for text in random_texts(rng, 2):
            await publish(app, text)
            await stream.expect({"text": text}, event="headline")


@check(
    2,
    "Cada titular lleva su id, el mismo para todos",
    todo=1,
    points=2,
    needs=("test_live",),
    section=SECTION,
    hints=(
        "El id es del titular, no de la conexión: quien llega tarde ve el mismo que quien estaba desde el principio.",
        "El que contesta POST y el que va en el evento salen los dos de archive.id_of().",
    ),
)
async def test_ids(app: App, rng: Random) -> None:
    async with following(app, name="Ana") as ana:
        early = random_texts(rng, 2)
        early_ids = await publish(app, *early)
        async with following(app, name="Luis") as luis:
            late = random_texts(rng, 2)
            late_ids = await publish(app, *late)
            await expect_headlines(ana, early + late, early_ids + late_ids)
            await expect_headlines(luis, late, late_ids)
    if len({*early_ids, *late_ids}) < 4:
        raise Mismatch("un id distinto para cada titular", str(early_ids + late_ids))


@check(
    3,
    "Con Last-Event-ID sigue justo detrás: nada se repite y nada falta",
    todo=3,
    points=2,
    needs=("test_ids",),
    section=SECTION,
    hints=(
        "El titular que nombra Last-Event-ID ya lo tiene: el primero que le falta es el siguiente.",
        "Quien pide seguir desde el último no necesita repetición: solo lo que se publique después.",
        "Quien llega sin la cabecera es nuevo: no se le repite lo viejo.",
    ),
)
async def test_resume(app: App, rng: Random) -> None:
    texts = random_texts(rng, HISTORY)
    ids = await publish(app, *texts)
    for position in (rng.randrange(HISTORY - 2), HISTORY - 2, HISTORY - 1):
        async with following(app, ids[position]) as stream:
            await expect_headlines(stream, texts[position + 1 :], ids[position + 1 :])
            new = random_texts(rng, 1)
            new_ids = await publish(app, *new)
            await expect_headlines(stream, new, new_ids)
            texts, ids = [*texts[1:], *new], [*ids[1:], *new_ids]


@check(
    4,
    "Lo que se publica mientras se repite lo viejo tampoco se pierde",
    todo=4,
    points=2,
    needs=("test_resume",),
    section=SECTION,
    hints=(
        "Repetir lo viejo lleva tiempo, y entretanto se publica. Al acabar, mira si hay más antes de esperar.",
        "Apunta por dónde vas (`position`) con cada titular que entregas, no con el último que exista.",
        "Toma la señal antes de mirar qué falta y espérala después: si la tomas después, te pierdes el aviso.",
    ),
)
async def test_published_meanwhile(launch: Launch, rng: Random) -> None:
    # Textos grandes y un lector que no lee: el servidor se queda a mitad de la repetición.
    texts = [f"{number} {'x' * 200_000}" for number in range(12)]
    async with launch(env={"HISTORY": "100"}) as app:
        ids = await publish(app, *texts)
        async with following(app, ids[0], buffer=16_384) as stream:
            await expect_headlines(stream, texts[1:2], ids[1:2])
            new = random_texts(rng, 3)
            new_ids = await publish(app, *new)
            await expect_headlines(stream, texts[2:] + new, ids[2:] + new_ids)


@check(
    5,
    "Si lo que falta ya se ha olvidado, dice cuánto se ha perdido",
    todo=4,
    points=2,
    needs=("test_resume",),
    section=SECTION,
    hints=(
        "Antes de repetir, compara por dónde iba el cliente con archive.forgotten.",
        "Perdidos son los que hay entre el último que vio y el más antiguo que queda, sin contar ninguno de los dos.",
        "Si el más antiguo que queda es justo el siguiente al suyo, no ha perdido nada.",
    ),
)
async def test_forgotten(launch: Launch, rng: Random) -> None:
    async with launch() as app:
        forgotten = rng.randint(3, 5)
        texts = random_texts(rng, HISTORY + forgotten)
        ids = await publish(app, *texts)
        kept, kept_ids = texts[forgotten:], ids[forgotten:]
        for seen in (forgotten, forgotten - 1, 1):
            async with following(app, ids[seen - 1]) as stream:
                if seen < forgotten:
                    await stream.expect({"missed": forgotten - seen}, event="lost")
                await expect_headlines(stream, kept, kept_ids)


@check(
    6,
    "Un id de antes de reiniciar no vale: se contesta con «lost»",
    todo=1,
    points=2,
    needs=("test_resume",),
    section=SECTION,
    hints=(
        "Tras reiniciar, la cuenta empieza otra vez: el tercer titular de ahora no es el tercero de antes.",
        "self.epoch se sortea al arrancar: con él dentro, los ids de dos procesos no coinciden nunca.",
        "Si ya lo lleva, mira number_of(): un id con otro epoch no lo ha dado este proceso, y es None.",
    ),
)
async def test_restarted(launch: Launch, rng: Random) -> None:
    texts = random_texts(rng, 3)
    async with launch(name="app de antes") as before, launch(name="app reiniciada") as restarted:
        old_ids, ids = await publish(before, *texts), await publish(restarted, *texts)
        for old in (old_ids[0], old_ids[-1]):
            async with following(restarted, old) as stream:
                await expect_all_again(stream, texts, ids)


async def expect_all_again(stream: SseClient, texts: list[str], ids: list[str]) -> None:
    """Lo que recibe quien trae un id desconocido: que no se sabe qué ha perdido, y todo lo que queda."""
    await stream.expect({"missed": None}, event="lost")
    await expect_headlines(stream, texts, ids)


@check(
    7,
    "Un id inventado se contesta con «lost», no con un error",
    todo=2,
    points=2,
    needs=("test_resume",),
    section=SECTION,
    hints=(
        "Last-Event-ID la escribe el cliente y puede traer cualquier cosa: la transcripción dice qué traía esta.",
        "int() y desempaquetar un split() lanzan ValueError con lo que no tiene la forma que esperas: captúralo.",
        "Lo que tiene buena forma tampoco basta: un número más alto que el último no se ha dado todavía.",
    ),
)
async def test_invented(launch: Launch, rng: Random) -> None:
    async with launch() as app:
        texts = random_texts(rng, 3)
        ids = await publish(app, *texts)
        higher = f"{ids[0]}{rng.randint(10, 99)}"
        for invented in (higher, f"{ids[1]}x", ids[1][:-1], f"x{ids[1]}", "hola", "-", "9" * 5000):
            async with following(app, invented) as stream:
                await expect_all_again(stream, texts, ids)
