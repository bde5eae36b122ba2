"""Controles de 2.4: límites que se dicen con el código de cierre."""

import asyncio
import json
from contextlib import AsyncExitStack
from random import Random

import pytest

from taller.checking import App, Launch, check, patience
from taller.wire import Mismatch, WebSocketClient

MAX_BYTES = Random().randint(150, 400)
MAX_MESSAGES = Random().randint(7, 10)


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
        for message in (
            message_of(rng.randint(40, 60), "ñ"),
            '{ "text":\n"hola" }',
            rng.choice(["{}", "3", "[]", "null"]),
        ):
            await send_ok(client, message)
    async with app.websocket("/ws") as client:
        for broken in ("{sin cerrar", ""):
            await client.send(broken)
            await client.expect({"type": "error", "reason": "invalid_json"})
        await send_ok(client, message_of(30))


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
        await client.send("[" * 100_000)
        await client.expect_close(1009)


@check(
    5,
    "Demasiados mensajes en la ventana cierran con 1008, solo a quien se pasa",
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
        for turn in range(MAX_MESSAGES):
            await ana.send(message_of(20) if turn % 2 else "{")
            await ana.receive_json()
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
    window = patience(1.0)
    async with launch(env={"WINDOW_SECONDS": str(window), "MAX_MESSAGES": "4"}) as app:
        await asyncio.gather(slides(app, window), does_not_refill(app, window))


async def slides(app: App, window: float) -> None:
    """1 al principio y 3 más tarde: cuando el primero ya ha salido de la ventana cabe 1, no 2 ni 4."""
    async with app.websocket("/ws", name="Ana") as ana:
        await send_ok(ana, message_of(20))
        # Aquí el tiempo es lo que se prueba.
        await asyncio.sleep(window * 0.6)
        for _ in range(3):
            await send_ok(ana, message_of(20))
        await asyncio.sleep(window * 0.6)
        await send_ok(ana, message_of(20))
        await ana.send(message_of(20))
        await ana.expect_close(1008)


async def does_not_refill(app: App, window: float) -> None:
    """4 de golpe llenan la ventana: a la mitad no cabe ninguno, aunque un cubo de fichas ya habría repuesto dos."""
    async with app.websocket("/ws", name="Luis") as luis:
        for _ in range(4):
            await send_ok(luis, message_of(20))
        await asyncio.sleep(window * 0.5)
        await luis.send(message_of(20))
        await luis.expect_close(1008)


@check(
    7,
    "Cuando está lleno cierra con 1013, y quien se va deja sitio",
    todo=4,
    points=2,
    needs=("test_answers",),
    section="límites",
    hints=(
        "Borra la conexión en un finally: la cierre quien la cierre, deja su sitio.",
        "Cuenta solo a quien cabe: la conexión que se rechaza no ocupa sitio.",
        "Acepta y después cierra con 1013: así el navegador ve el código. Sin aceptar solo vería 1006.",
    ),
)
async def test_capacity(launch: Launch, rng: Random) -> None:
    places = rng.randint(2, 3)
    async with launch(env={"MAX_CONNECTIONS": str(places)}) as app, AsyncExitStack() as inside:
        clients = [await enters(app, inside, f"cliente {number}") for number in range(1, places + 1)]
        for _ in range(places + 1):
            await is_refused(app)
        # Un sitio cada vez: lo deja quien infringe una regla, quien desaparece y quien se despide.
        await clients[0].send(b"binario")
        await clients[0].expect_close(1003)
        third = await enters(app, inside, "el que espera")
        await is_refused(app)
        await clients[1].abort()
        fourth = await enters(app, inside, "el siguiente")
        await is_refused(app)
        await third.close()
        await enters(app, inside, "el último")
        await send_ok(fourth, message_of(20))


async def is_refused(app: App) -> None:
    async with app.websocket("/ws", name="sobra") as extra:
        await extra.expect_close(1013)


async def enters(app: App, inside: AsyncExitStack, name: str) -> WebSocketClient:
    """Alguien entra y se queda; hay un plazo para que la app vea que hay sitio."""
    deadline = asyncio.get_running_loop().time() + patience(1.0)
    while True:
        client = await inside.enter_async_context(app.websocket("/ws", name=name))
        try:
            await send_ok(client, message_of(20))
        except Mismatch:
            if asyncio.get_running_loop().time() > deadline:
                raise
        else:
            return client
