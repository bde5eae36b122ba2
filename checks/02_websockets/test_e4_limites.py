"""Controles de 2.4: límites que se dicen con el código de cierre."""

import asyncio
import json
from random import Random

import pytest

from taller.checking import App, Launch, check, patience
from taller.wire import Mismatch, WebSocketClient

MAX_BYTES = Random().randint(150, 400)
MAX_MESSAGES = Random().randint(4, 8)


@pytest.fixture(scope="module")
def app_env() -> dict[str, str]:
    return {"MAX_MESSAGE_BYTES": str(MAX_BYTES), "MAX_MESSAGES": str(MAX_MESSAGES), "WINDOW_SECONDS": "30"}


def message_of(size: int, letter: str = "a") -> str:
    """Un mensaje JSON que mide exactamente `size` bytes en UTF-8 y está hecho de `letter`."""
    room = size - len('{"text": ""}')
    width = len(letter.encode())
    text = letter * (room // width) + "x" * (room % width)
    return json.dumps({"text": text}, ensure_ascii=False)


async def send_ok(client: WebSocketClient, message: str) -> None:
    await client.send(message)
    await client.expect({"type": "ok", "bytes": len(message.encode())})


@check(
    1,
    "Contesta con el tamaño en bytes, y a lo que no es JSON con un error",
    todo=1,
    section="límites",
    hints=(
        "El tamaño es el del texto recibido, entero, codificado en UTF-8: len(text.encode()).",
        "json.loads lanza ValueError si no es JSON: contesta el error y sigue.",
    ),
)
async def test_answers(app: App, rng: Random) -> None:
    async with app.websocket("/ws") as client:
        await send_ok(client, message_of(rng.randint(20, 60)))
        await client.send("{sin cerrar")
        await client.expect({"type": "error", "reason": "invalid_json"})
        await send_ok(client, message_of(rng.randint(40, 60), "ñ"))


@check(
    2,
    "Una trama binaria cierra con 1003",
    todo=2,
    needs=("test_answers",),
    section="límites",
    hints=("En lo que devuelve websocket.receive(), una trama binaria trae «bytes» y su «text» falta o es None.",),
)
async def test_binary(app: App, rng: Random) -> None:
    async with app.websocket("/ws") as client:
        await client.send(rng.randbytes(20))
        await client.expect_close(1003)


@check(
    3,
    "Un mensaje demasiado grande cierra con 1009, medido en bytes",
    todo=2,
    needs=("test_answers",),
    section="límites",
    hints=(
        "El límite es de bytes y una «ñ» ocupa dos: compara len(text.encode()), no len(text).",
        "El que mide justo el límite todavía cabe.",
    ),
)
async def test_too_big(app: App, rng: Random) -> None:
    for letter in ("a", "ñ", "€"):
        async with app.websocket("/ws") as client:
            await send_ok(client, message_of(MAX_BYTES, letter))
            await client.send(message_of(MAX_BYTES + 1, letter))
            await client.expect_close(1009)


@check(
    4,
    "El tamaño se mira antes de interpretar el mensaje",
    todo=2,
    needs=("test_answers",),
    section="límites",
    hints=(
        "Un texto enorme que ni siquiera es JSON también debe cerrar con 1009: mídelo antes de llamar a json.loads.",
    ),
)
async def test_size_before_parsing(app: App, rng: Random) -> None:
    async with app.websocket("/ws") as client:
        await client.send("[" * (MAX_BYTES + rng.randint(1, 200)))
        await client.expect_close(1009)


@check(
    5,
    "Demasiados mensajes en la ventana cierran con 1008, sólo a quien se pasa",
    todo=3,
    points=2,
    needs=("test_answers",),
    section="límites",
    hints=(
        "Caben MAX_MESSAGES en la ventana; el siguiente cierra.",
        "Cada conexión tiene su ventana: créala dentro de la función que la atiende.",
    ),
)
async def test_rate(app: App, rng: Random) -> None:
    async with app.websocket("/ws", name="Ana") as ana, app.websocket("/ws", name="Luis") as luis:
        for _ in range(MAX_MESSAGES):
            await send_ok(ana, message_of(20))
        await ana.send(message_of(20))
        await ana.expect_close(1008)
        for _ in range(MAX_MESSAGES):
            await send_ok(luis, message_of(20))


@check(
    6,
    "La ventana se desliza: pasado el tiempo, puede seguir",
    todo=3,
    points=2,
    needs=("test_rate",),
    section="límites",
    hints=(
        "Lo que cuenta son los últimos WINDOW_SECONDS segundos, no los mensajes desde que se abrió la conexión.",
        "Antes de contar, saca de la cola los instantes que ya han salido de la ventana.",
    ),
)
async def test_window_slides(launch: Launch, rng: Random) -> None:
    window = patience(0.25)
    async with (
        launch(env={"WINDOW_SECONDS": str(window), "MAX_MESSAGES": "3"}) as app,
        app.websocket("/ws") as client,
    ):
        for _ in range(2):
            for _ in range(3):
                await send_ok(client, message_of(20))
            # Es el tiempo lo que se prueba: la ventana tiene que quedar atrás.
            await asyncio.sleep(window * 1.2)
        await send_ok(client, message_of(20))


@check(
    7,
    "Cuando está lleno cierra con 1013, y quien se va deja sitio",
    todo=4,
    points=2,
    needs=("test_answers",),
    section="límites",
    hints=(
        "Acepta y después cierra con 1013: así el navegador ve el código. Sin aceptar sólo vería 1006.",
        "Borra la conexión en un finally: se vaya como se vaya, deja su sitio.",
    ),
)
async def test_capacity(launch: Launch, rng: Random) -> None:
    places = rng.randint(2, 4)
    async with launch(env={"MAX_CONNECTIONS": str(places)}) as app:
        clients = [app.websocket("/ws", name=f"cliente {number}") for number in range(1, places + 1)]
        opened = [await client.__aenter__() for client in clients]
        try:
            for client in opened:
                await send_ok(client, message_of(20))
            async with app.websocket("/ws", name="sobra") as extra:
                await extra.expect_close(1013)
            await send_ok(opened[0], message_of(20))
            await opened[0].abort()
            await opened[1].close()
            for _ in range(2):
                await eventually_enters(app)
        finally:
            for client in clients:
                await client.__aexit__(None, None, None)


async def eventually_enters(app: App) -> None:
    """Alguien entra y se va; hay un plazo para que la app vea que hay sitio."""
    deadline = asyncio.get_running_loop().time() + patience(1.0)
    while True:
        async with app.websocket("/ws", name="nuevo") as client:
            try:
                await send_ok(client, message_of(20))
            except Mismatch:
                if asyncio.get_running_loop().time() > deadline:
                    raise
            else:
                return
