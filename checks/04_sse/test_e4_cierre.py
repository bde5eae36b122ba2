"""Controles de 4.4: rechazar a tiempo, no esperar a nadie, soltarlo todo y saber apagarse."""

import asyncio
import string
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from random import Random

import pytest

from taller.checking import App, Launch, Mismatch, check, expect, patience, transcript
from taller.wire import RawSocket, SseClient

KEY = "".join(Random().choices(string.ascii_letters, k=16))
COOKIE = {"Cookie": f"access_key={KEY}"}
CLOSED = "stream closed"
CYCLES = 200


@pytest.fixture(scope="module")
def app_env() -> dict[str, str]:
    return {"ACCESS_KEY": KEY}


def events(app: App, name: str = "cliente", buffer: int | None = None) -> AbstractAsyncContextManager[SseClient]:
    return app.sse("/events", name=name, headers=COOKIE, buffer=buffer)


async def put(app: App, value: str) -> None:
    await app.request("PUT", "/reading", json={"value": value}, status=204)


def random_value(rng: Random) -> str:
    return f"{rng.randint(-20, 45)},{rng.randint(0, 9)} °C · {rng.randrange(10**6)}"


async def count_open(app: App) -> int:
    return int((await app.get("/streams", status=200)).json()["open"])


async def none_open(app: App) -> None:
    """Espera a que la app dé por cerrados todos los flujos."""
    expecting = 'que GET /streams diga {"open": 0} cuando ya no hay nadie'
    await app.poll("/streams", lambda answer: answer.json().get("open") == 0, expecting=expecting)


@check(
    1,
    "Con la clave, un flujo SSE",
    todo=4,
    section="el-formato-en-el-cable",
    hints=(
        "EventSourceResponse(watch()) convierte tu generador en un flujo y pone su tipo de contenido.",
        "El flujo empieza en cuanto se pide, haya lectura o no.",
    ),
)
async def test_stream(app: App, rng: Random) -> None:
    async with events(app) as stream:
        expect(stream.response.status_code, 200, "el código con la clave correcta")
        kind = stream.response.headers.get("content-type", "ninguno")
        expect(kind.partition(";")[0].strip(), "text/event-stream", "el tipo de contenido")


@check(
    2,
    "Sin la clave, 401 y ningún flujo",
    todo=1,
    points=2,
    needs=("test_stream",),
    section="rechazar-antes-de-empezar",
    hints=(
        "HTTPException(401, …) en require_key se convierte en una respuesta normal, con su código.",
        "require_key solo se ejecuta si la ruta la pide: dependencies=[Depends(require_key)], en el TODO 4.",
        "Una excepción dentro del generador llega cuando el 200 ya se ha enviado: tiene que ser una dependencia.",
    ),
)
async def test_refused(app: App, rng: Random) -> None:
    await put(app, random_value(rng))
    for cookie in (None, "", KEY[:-1], KEY.swapcase(), "ñ"):
        headers = {} if cookie is None else {"Cookie": f"access_key={cookie}".encode()}
        await app.get("/events", headers=headers, status=401)


@check(
    3,
    "Da la última lectura al conectarte y después cada una que llega",
    todo=2,
    needs=("test_stream",),
    section="quien-no-da-abasto",
    hints=(
        "Quien se conecta no ha recibido ninguna versión: si ya hay lectura, es nueva para él.",
        'El evento se llama «reading» y sus datos son JSON: {"value": …}.',
        "Si la que repite el valor no llega, comparas valores: lo que dice si es nueva es la versión del sensor.",
    ),
)
async def test_readings(app: App, rng: Random) -> None:
    first, second = random_value(rng), random_value(rng)
    await put(app, first)
    async with events(app, "Ana") as ana, events(app, "Luis") as luis:
        await both_receive(ana, luis, first)
        for value in (second, second, first):
            await put(app, value)
            await both_receive(ana, luis, value)


async def both_receive(ana: SseClient, luis: SseClient, value: str) -> None:
    for stream in (ana, luis):
        await stream.expect({"value": value}, event="reading")


@check(
    4,
    "Quien no lee no retrasa a nadie, y al volver recibe lo más reciente",
    todo=2,
    points=3,
    needs=("test_readings",),
    section="quien-no-da-abasto",
    hints=(
        "Guardar una cola por cliente es guardar también lo que ya no le interesa: basta con la última lectura.",
        "Compara la versión del sensor con la última que entregaste; si es otra, entrega la de ahora.",
        "Una cola que tira lo nuevo cuando se llena acaba dando lo viejo: justo al revés.",
    ),
)
async def test_slow_reader(app: App, rng: Random) -> None:
    count = 30
    values = [f"{number} {rng.choice(string.ascii_letters) * 100_000}" for number in range(count)]
    await put(app, "primera")
    async with events(app, "Ana") as ana, events(app, "lento", buffer=16_384) as slow:
        for stream in (ana, slow):
            await stream.expect({"value": "primera"}, event="reading")
        transcript.note("lento deja de leer")
        for value in values:
            await put(app, value)
            await ana.expect({"value": value}, event="reading")
        transcript.note("lento vuelve a leer")
        received = [""]
        while received[-1] != values[-1]:
            event = await slow.event(expecting=f"que a lento le llegue la última lectura, la {count}")
            received.append(event.json().get("value"))
        if len(received) > count // 2:
            found = f"{len(received) - 1} de {count}: alguien se las ha guardado todas"
            raise Mismatch("que lento se salte lecturas viejas", found)


@check(
    5,
    f"{CYCLES} clientes que entran y se van no dejan nada abierto",
    todo=3,
    points=3,
    needs=("test_readings",),
    section="soltarlo-todo",
    hints=(
        "Cuando el cliente se va, el generador recibe una excepción en el `yield` o en el `await` en que esté.",
        "Descuenta y escribe la línea en un finally: así se hace acabe como acabe.",
        "Lo que se abre para un flujo (un archivo, una conexión) se cierra en ese mismo finally, o con un with.",
    ),
)
async def test_no_leaks(launch: Launch, rng: Random) -> None:
    async with launch() as app:
        await put(app, random_value(rng))
        await drop(app, 5)
        await none_open(app)
        before, lines = await app.open_files(), (await app.log()).count(CLOSED)
        with transcript.summarized(f"{CYCLES} clientes abren el flujo y cortan la conexión"):
            for _ in range(CYCLES // 20):
                await drop(app, 20)
        await none_open(app)
        written = (await app.log()).count(CLOSED) - lines
        expect(written, CYCLES, f"las líneas «{CLOSED}» escritas")
        await same_files(app, before)


async def drop(app: App, count: int) -> None:
    """Varios clientes a la vez: abren el flujo, reciben algo y cortan sin despedirse."""
    request = f"GET /events HTTP/1.1\r\nHost: app\r\nCookie: access_key={KEY}\r\n\r\n".encode()
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(app.raw()) for _ in range(count)]
        for raw in sockets:
            await raw.send(request)
        for raw in sockets:
            await first_event(raw)


async def first_event(raw: RawSocket) -> None:
    await raw.read_head()
    async with asyncio.timeout(patience(1.0)):
        await raw.reader.readuntil(b"data:")


async def same_files(app: App, before: int | None) -> None:
    """Los descriptores vuelven a ser los de antes; donde no se pueden ver, lo que ha dicho la app ya basta."""
    deadline = asyncio.get_running_loop().time() + patience(1.0)
    while before is not None and (now := await app.open_files() or 0) > before:
        if asyncio.get_running_loop().time() > deadline:
            raise Mismatch(f"{before} descriptores abiertos, como antes de los {CYCLES} clientes", str(now))
        await asyncio.sleep(0.02)


@check(
    6,
    "Con SIGTERM, los flujos acaban, cada uno escribe su línea y el proceso termina",
    todo=4,
    points=3,
    needs=("test_readings",),
    section="saber-apagarse",
    within=8.0,
    hints=(
        "uvicorn espera a que acaben las respuestas, y un flujo no acaba nunca: alguien tiene que acabarlo.",
        "El lifespan se cierra después que las conexiones: desde ahí ya es tarde.",
        "La respuesta de fastapi.sse no se entera de SIGTERM; sse_starlette.EventSourceResponse, sí.",
    ),
)
async def test_sigterm(launch: Launch, rng: Random) -> None:
    opened = rng.randint(3, 5)
    async with launch() as app, AsyncExitStack() as stack:
        await put(app, value := random_value(rng))
        names = [f"cliente {number}" for number in range(1, opened + 1)]
        streams = [await stack.enter_async_context(events(app, name)) for name in names]
        for stream in streams:
            await stream.expect({"value": value}, event="reading")
        expect(await count_open(app), opened, "los flujos abiertos que cuenta GET /streams")
        await app.terminate(within=3.0)
        await all_ended(streams)
        expect((await app.log()).count(CLOSED), opened, f"las líneas «{CLOSED}» escritas al apagarse")


async def all_ended(streams: Sequence[SseClient]) -> None:
    for stream in streams:
        await stream.ended()
