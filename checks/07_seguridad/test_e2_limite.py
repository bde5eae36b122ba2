"""Controles de 7.2: una ventana que se desliza, que dice cuándo volver y que no guarda más de lo que hace falta."""

import asyncio
import time
from random import Random
from typing import Any

import httpx
import pytest

from taller.checking import App, Approx, Launch, check, expect, patience
from taller.wire import WebSocketClient, transcript

SECTION = "limitar-el-ritmo"
LIMIT = Random().randint(4, 7)
WINDOW = 30.0


@pytest.fixture(scope="module")
def app_env() -> dict[str, str]:
    return {"LIMIT": str(LIMIT), "WINDOW_SECONDS": str(WINDOW)}


def someone(rng: Random) -> str:
    return f"{rng.choice(['ana', 'luis', 'eva', 'iñigo'])}-{rng.randrange(10**6)}"


async def passes(client: WebSocketClient, user: str, remaining: int) -> None:
    await client.exchange({"user": user}, {"user": user, "allowed": True, "remaining": remaining})


async def fills(client: WebSocketClient, user: str, limit: int) -> None:
    for taken in range(1, limit + 1):
        await passes(client, user, limit - taken)


async def is_stopped(client: WebSocketClient, user: str, retry_after: Any) -> float:
    answer = await client.exchange({"user": user}, {"user": user, "allowed": False, "retry_after": retry_after})
    wait: float = answer["retry_after"]
    return wait


async def ask_all(client: WebSocketClient, users: list[str]) -> None:
    """Una pregunta por usuario, todas seguidas."""
    with transcript.summarized(f"la pasarela pregunta por {len(users)} usuarios distintos"):
        for user in users:
            await client.send_json({"user": user})
        for user in users:
            await client.expect({"user": user, "allowed": True})


async def expect_users(app: App, count: int) -> None:
    response = await app.get("/limiter", status=200)
    expect(response.json(), {"users": count}, "los usuarios que recuerda")


@check(
    1,
    "Pasan LIMIT peticiones de cada usuario, pregunte quien pregunte",
    todo=1,
    section=SECTION,
    hints=(
        "times son los instantes de las peticiones permitidas que aún cuentan: si ya hay LIMIT, no cabe otra.",
        "La cuenta es del usuario, no de la conexión por la que se pregunta.",
        'Al que no pasa se le contesta {"user": …, "allowed": False, "retry_after": …}, y no se le apunta nada.',
    ),
)
async def test_limit(app: App, rng: Random) -> None:
    one, other = someone(rng), someone(rng) + "b"
    async with app.websocket("/ws", name="pasarela 1") as first, app.websocket("/ws", name="pasarela 2") as second:
        await fills(first, one, LIMIT)
        for client in (first, second):
            await is_stopped(client, one, Approx(0, WINDOW))
        await fills(second, other, LIMIT)
        await is_stopped(first, other, Approx(0, WINDOW))


@check(
    2,
    "La ventana se desliza: cada petición deja de contar a su hora",
    todo=1,
    points=2,
    needs=("test_limit",),
    section="ventana-fija-y-ventana-deslizante",
    hints=(
        "Antes de contar, quita de times los instantes que ya han salido de la ventana.",
        "No se vacía de golpe ni se repone poco a poco: cada petición cuenta exactamente WINDOW_SECONDS.",
        "times = [moment for moment in times if now - moment < WINDOW_SECONDS]",
    ),
)
async def test_slides(launch: Launch, rng: Random) -> None:
    window = patience(0.45)
    async with (
        launch(env={"WINDOW_SECONDS": str(window), "LIMIT": "4"}) as app,
        app.websocket("/ws", name="pasarela 1") as first,
        app.websocket("/ws", name="pasarela 2") as second,
    ):
        await asyncio.gather(slides(first, "ana", window), does_not_refill(second, "luis", window))


async def slides(client: WebSocketClient, user: str, window: float) -> None:
    """1 al principio y 3 más tarde: cuando la primera ya ha salido de la ventana cabe 1, no 2 ni 4."""
    await passes(client, user, 3)
    # Aquí el tiempo es lo que se prueba.
    await asyncio.sleep(window * 0.6)
    for remaining in (2, 1, 0):
        await passes(client, user, remaining)
    await asyncio.sleep(window * 0.6)
    await passes(client, user, 0)
    await is_stopped(client, user, Approx(0, window * 0.6))


async def does_not_refill(client: WebSocketClient, user: str, window: float) -> None:
    """4 de golpe llenan la ventana: a la mitad no cabe ninguna, aunque un cubo de fichas ya habría repuesto dos."""
    await fills(client, user, 4)
    await asyncio.sleep(window * 0.5)
    await is_stopped(client, user, Approx(0, window * 0.7))


@check(
    3,
    "Dice cuánto falta, ni más ni menos",
    todo=1,
    points=2,
    needs=("test_limit",),
    section="decir-cuándo-volver",
    hints=(
        "Cabrá otra cuando salga de la ventana la más antigua de las que cuentan, que es times[0].",
        "Sale a los WINDOW_SECONDS de haber entrado: lo que falta es times[0] + WINDOW_SECONDS - now.",
    ),
)
async def test_retry_after(app: App, rng: Random) -> None:
    user, gap = someone(rng), patience(0.1)
    async with app.websocket("/ws", name="pasarela") as client:
        earliest = time.monotonic()
        await passes(client, user, LIMIT - 1)
        latest = time.monotonic()
        for taken in range(2, LIMIT + 1):
            # Solo para que la primera y las demás no sean del mismo instante.
            await asyncio.sleep(gap / LIMIT)
            await passes(client, user, LIMIT - taken)
        for _ in range(2):
            asked = time.monotonic()
            wait = await is_stopped(client, user, Approx(0, WINDOW))
            answered = time.monotonic()
            bounds = Approx(earliest + WINDOW - answered - 0.001, latest + WINDOW - asked + 0.001)
            expect(wait, bounds, "retry_after, según cuándo pasó la primera")


@check(
    4,
    "Quien insiste no retrasa su momento",
    todo=1,
    points=2,
    needs=("test_limit",),
    section="lo-que-se-rechaza-no-cuenta",
    hints=(
        "Una petición rechazada no se apunta: si se apuntara, quien no deja de intentarlo no pasaría nunca.",
        "Apunta solo lo que pasa: lo rechazado no mueve el momento en que saldrá la más antigua.",
    ),
)
async def test_insisting(launch: Launch, rng: Random) -> None:
    window, user = patience(0.3), someone(rng)
    async with (
        launch(env={"WINDOW_SECONDS": str(window), "LIMIT": "2"}) as app,
        app.websocket("/ws", name="pasarela") as client,
    ):
        await passes(client, user, 1)
        free_at = time.monotonic() + window
        await passes(client, user, 0)
        with transcript.summarized(f"{user} insiste cada 20 ms hasta la mitad larga de la ventana"):
            while time.monotonic() < free_at - window * 0.4:
                await client.exchange({"user": user}, {"user": user, "allowed": False})
                await asyncio.sleep(0.02)
        await asyncio.sleep(free_at - time.monotonic())
        await client.exchange({"user": user}, {"user": user, "allowed": True})


@check(
    5,
    "De quien no vuelve no queda nada",
    todo=2,
    points=3,
    needs=("test_limit",),
    section="una-memoria-con-tope",
    hints=(
        "Se limpia a quien pregunta; ¿y quien no vuelve a preguntar nunca? Su lista se queda para siempre.",
        "Los usuarios están ordenados por su última petición permitida: los que sobran están todos al principio.",
        "while self.times: mira el primero; si su última petición aún cuenta, has acabado; si no, bórralo.",
    ),
)
async def test_forgets(launch: Launch, rng: Random) -> None:
    window = patience(0.2)
    async with (
        launch(env={"WINDOW_SECONDS": str(window)}) as app,
        app.websocket("/ws", name="pasarela") as client,
    ):
        ghosts, regular = [f"{someone(rng)}-{number}" for number in range(60)], someone(rng)
        await ask_all(client, [regular, *ghosts])
        # Quien llegó primero sigue viniendo: ni estorba a que se olvide a los demás, ni se le olvida.
        enough = asyncio.Event()
        coming = asyncio.create_task(comes_often(client, regular, enough))
        try:
            await app.poll("/limiter", knows(1), expecting="que recuerde solo a quien sigue viniendo", within=1.0)
        finally:
            enough.set()
            await coming
        await app.poll("/limiter", knows(0), expecting="que al final no recuerde a nadie", within=window + 0.7)


async def comes_often(client: WebSocketClient, user: str, enough: asyncio.Event) -> None:
    while not enough.is_set():
        await client.exchange({"user": user}, {"user": user})
        await asyncio.sleep(0.02)


def knows(count: int) -> Any:
    def ready(response: httpx.Response) -> bool:
        return bool(response.json() == {"users": count})

    return ready


@check(
    6,
    "Nunca recuerda a más de MAX_USERS, y olvida a quien hace más tiempo",
    todo=3,
    points=2,
    needs=("test_limit",),
    section="una-memoria-con-tope",
    hints=(
        "Cien mil usuarios distintos en un minuto son cien mil entradas, y ninguna ha caducado: hace falta un tope.",
        "Al permitirle algo a alguien pasa al final de la fila (move_to_end); si la fila es larga, sobra el primero.",
        "Solo al permitirle: quien insiste y no pasa se queda donde estaba. Y quien ya está en ella no echa a nadie.",
        "self.times.popitem(last=False) quita el primero de un OrderedDict.",
    ),
)
async def test_at_most(launch: Launch, rng: Random) -> None:
    places = rng.randint(20, 40)
    async with (
        launch(env={"MAX_USERS": str(places)}) as app,
        app.websocket("/ws", name="pasarela") as client,
    ):
        users = [f"{someone(rng)}-{number}" for number in range(places)]
        newcomers = [f"{someone(rng)}-{number}n" for number in range(places - 2)]
        insistent, regular = users[:2]
        await fills(client, insistent, LIMIT)
        await ask_all(client, users[1:])
        await is_stopped(client, insistent, Approx(0, WINDOW))
        await passes(client, regular, LIMIT - 2)
        await expect_users(app, places)
        # Los nuevos ocupan el sitio de todos menos dos: quien acaba de pasar y quien llegó el último.
        await ask_all(client, newcomers)
        await expect_users(app, places)
        await passes(client, regular, LIMIT - 3)
        await passes(client, newcomers[-1], LIMIT - 2)
        await passes(client, insistent, LIMIT - 1)
        await passes(client, users[2], LIMIT - 1)
        await expect_users(app, places)
