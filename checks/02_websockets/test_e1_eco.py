"""Controles de 2.1: un protocolo de mensajes JSON sobre un WebSocket."""

import string
from random import Random

from taller.checking import App, Mismatch, check
from taller.checking.logs import last_error

SECTION = "un-protocolo-encima-de-los-textos"


def words(rng: Random) -> str:
    return f" {''.join(rng.choices(string.ascii_letters + 'áñ¿ü €😀', k=12))} "


@check(
    1,
    "Contesta a un eco con el mismo texto y la cuenta",
    todo=1,
    section=SECTION,
    hints=(
        "Session.reply recibe el mensaje ya convertido en diccionario: mira message['type'].",
        "La respuesta a un eco lleva tres campos: type, text y count, y count empieza en 1.",
        'self.count += 1; return {"type": "echo", "text": message["text"], "count": self.count}',
    ),
)
async def test_echo(app: App, rng: Random) -> None:
    text = words(rng)
    async with app.websocket("/ws") as client:
        await client.exchange({"type": "echo", "text": text}, {"type": "echo", "text": text, "count": 1})


@check(
    2,
    "Cada conexión lleva su propia cuenta",
    todo=2,
    needs=("test_echo",),
    section=SECTION,
    hints=(
        "Hay dos clientes conectados a la vez, y uno ha recibido la cuenta que llevaba el otro.",
        "Lo que se crea fuera de la función existe una sola vez; lo que se crea dentro, una vez por conexión.",
    ),
)
async def test_own_count(app: App, rng: Random) -> None:
    text = words(rng)
    async with app.websocket("/ws", name="Ana") as ana, app.websocket("/ws", name="Luis") as luis:
        for client in rng.sample([ana, luis], 2):
            await client.exchange({"type": "echo", "text": text}, {"type": "echo", "text": text, "count": 1})


@check(
    3,
    "Contesta a todos los ecos, no solo al primero",
    todo=2,
    needs=("test_echo",),
    section=SECTION,
    hints=(
        "La función atiende la conexión entera: cuando termina, la conexión se cierra.",
        "Recibir y contestar tiene que estar dentro de un bucle: while True.",
    ),
)
async def test_many_echoes(app: App, rng: Random) -> None:
    async with app.websocket("/ws") as client:
        for count in range(1, rng.randint(4, 8)):
            text = words(rng)
            await client.exchange({"type": "echo", "text": text}, {"type": "echo", "text": text, "count": count})


@check(
    4,
    "Un texto que no es JSON recibe un error y la conexión sigue",
    todo=3,
    needs=("test_many_echoes",),
    section=SECTION,
    hints=(
        "json.loads lanza ValueError cuando el texto no es JSON; si nadie la captura, la conexión muere.",
        "Captúrala dentro del bucle, no fuera: fuera del bucle ya no queda a quién contestar.",
        "Con demasiados corchetes anidados, json.loads lanza RecursionError: también hay que capturarla.",
    ),
)
async def test_invalid_json(app: App, rng: Random) -> None:
    async with app.websocket("/ws") as client:
        for broken in ("¿?", '{"type": "echo"', "", words(rng), "[" * 100_000):
            await client.send(broken)
            await client.expect({"type": "error", "reason": "invalid_json"})
        await client.exchange({"type": "echo", "text": "sigo"}, {"type": "echo", "text": "sigo", "count": 1})


@check(
    5,
    "Un mensaje que no entiende recibe su error y la conexión sigue",
    todo=3,
    needs=("test_many_echoes",),
    section=SECTION,
    hints=(
        "Busca lo que llegó en la tabla del enunciado: cada motivo tiene su fila, y los errores no cuentan.",
        "`3`, `null` o `[1]` son JSON válido, pero no son un objeto: message['type'] falla con ellos.",
        "Un `text` que no es texto no es un eco; compruébalo con isinstance(…, str).",
    ),
)
async def test_invalid_message(app: App, rng: Random) -> None:
    wrong = [
        (rng.randint(0, 99), "invalid_message"),
        ([{"type": "echo", "text": "x"}], "invalid_message"),
        (None, "invalid_message"),
        ({"text": words(rng)}, "invalid_message"),
        ({"type": words(rng)}, "unknown_type"),
        ({"type": ["echo"]}, "unknown_type"),
        ({"type": "echo"}, "invalid_message"),
        ({"type": "echo", "text": rng.randint(0, 99)}, "invalid_message"),
    ]
    async with app.websocket("/ws") as client:
        for message, reason in rng.sample(wrong, len(wrong)):
            await client.exchange(message, {"type": "error", "reason": reason})
        await client.exchange({"type": "echo", "text": "sigo"}, {"type": "echo", "text": "sigo", "count": 1})


@check(
    6,
    "Responde a «stats» y se despide con «bye»",
    todo=2,
    needs=("test_many_echoes",),
    section=SECTION,
    hints=(
        "Tras contestar a «bye», cierra tú: await websocket.close() usa el código 1000.",
        "«stats» dice cuántos ecos van, sin sumar ninguno.",
    ),
)
async def test_stats_and_bye(app: App, rng: Random) -> None:
    echoes = rng.randint(2, 5)
    async with app.websocket("/ws") as client:
        await client.exchange({"type": "stats"}, {"type": "stats", "count": 0})
        for count in range(1, echoes + 1):
            await client.exchange({"type": "echo", "text": "x"}, {"type": "echo", "text": "x", "count": count})
        await client.exchange({"type": "stats"}, {"type": "stats", "count": echoes})
        await client.exchange({"type": "bye"}, {"type": "bye"})
        await client.expect_close(1000)


@check(
    7,
    "Un cliente que se va sin despedirse no deja una traza",
    todo=2,
    needs=("test_echo",),
    section="qué-son-los-websockets",
    hints=(
        "Cuando el cliente se va, receive_text() lanza WebSocketDisconnect.",
        "Es el final normal de una conexión: captúrala alrededor del bucle y termina la función.",
    ),
)
async def test_abrupt_leave(app: App, rng: Random) -> None:
    written_before = len(await app.log())
    async with app.websocket("/ws", name="Ana") as ana:
        await ana.exchange({"type": "echo", "text": "x"}, {"type": "echo", "text": "x", "count": 1})
        await ana.abort()
    # La app ve irse a Ana antes que llegar a Luis: cuando le conteste, ya habrá escrito la traza, si la hay.
    async with app.websocket("/ws", name="Luis") as luis:
        for count in range(1, 6):
            await luis.exchange({"type": "echo", "text": "x"}, {"type": "echo", "text": "x", "count": count})
    if error := last_error((await app.log())[written_before:], app.folder):
        raise Mismatch("que la app no escriba ninguna traza", f"una traza de {error}")
