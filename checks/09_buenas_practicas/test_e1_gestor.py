"""Controles de 9.1: muchas pestañas por persona, y una congelada que no molesta a nadie."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

import httpx

from taller.checking import ANY, App, Launch, Matching, Mismatch, OneOf, check, expect, transcript
from taller.wire import WebSocketClient

NOTES = "el-gestor-de-los-apuntes"
WRITER = "una-cola-y-un-emisor-por-conexión"
DEADLINE = "plazo-y-desalojo"
KEY = "quién-pone-la-clave"
FORGET = "no-recordar-a-quien-se-fue"

ID = Matching(r"\S+", "una clave")
NEVER = "30"  # más de lo que dura cualquier control
# Entre todos pesan más de lo que cabe en los búferes de una conexión: a quien no lee, algún envío se le queda a medias.
HEAVY = 20
FILLING = "x" * 40_000
BUFFER = 8192
PLACES = 5


def someone(rng: Random) -> str:
    return f"persona-{rng.randrange(10**6)}"


@asynccontextmanager
async def tabs(app: App, user: str, *names: str, tab: str | None = None) -> AsyncIterator[list[WebSocketClient]]:
    """Conexiones de una persona, ya saludadas; con `tab`, todas dicen llamarse así."""
    async with AsyncExitStack() as stack:
        opened = []
        for name in names:
            path = f"/ws/{user}?tab={tab or name}"
            opened.append(await stack.enter_async_context(app.websocket(path, name=name, buffer=BUFFER)))
            await opened[-1].expect({"type": "welcome", "id": ID, "tab": tab or name})
        yield opened


async def send(app: App, user: str, data: Any, queued: Any = ANY) -> int:
    """Devuelve en cuántas conexiones dice haberlo dejado."""
    answer = (await app.post(f"/users/{user}/messages", json={"data": data}, status=202)).json()
    expect(answer, {"queued": queued}, "la respuesta al POST")
    return int(answer["queued"])


async def receive(clients: list[WebSocketClient], data: Any) -> None:
    for client in clients:
        await client.expect({"type": "message", "data": data})


def heavy(number: int) -> dict[str, Any]:
    return {"n": number, "filling": FILLING}


async def until(app: App, expecting: str, **counts: int) -> None:
    """Espera a que GET /stats diga esas cuentas."""

    def ready(answer: httpx.Response) -> bool:
        said = answer.json()
        return all(said.get(name) == count for name, count in counts.items())

    await app.poll("/stats", ready, expecting=f"{expecting}: GET /stats con {counts}")


async def numbers_until_closed(client: WebSocketClient) -> list[int]:
    """Los números de lo que llega hasta que la conexión se acaba, o deja de llegar."""
    received = []
    try:
        while True:
            received.append((await client.receive_json(within=0.5))["data"]["n"])
    except Mismatch:
        return received


def no_gaps(numbers: list[int], whose: str) -> None:
    if numbers != list(range(len(numbers))):
        raise Mismatch(
            f"que lo que recibe {whose} sea un principio de lo enviado, sin huecos", f"los números {numbers}"
        )


@check(
    1,
    "Cada conexión recibe una clave del servidor, distinta siempre",
    todo=7,
    section=KEY,
    hints=(
        "El saludo ya está en la cola de la conexión: falta quien la vacíe, y que la ruta no termine mientras tanto.",
        "Y si las claves se repiten: dos pestañas pueden decir que se llaman igual; el nombre no sirve de clave.",
        "manager.join(user, connection), await connection.attend() y, en un finally, manager.leave(user, connection).",
    ),
)
async def test_server_makes_the_key(app: App, rng: Random) -> None:
    user, seen = someone(rng), []
    async with AsyncExitStack() as stack:
        for number, tab in enumerate(("móvil", "móvil", "móvil", "")):
            client = app.websocket(f"/ws/{user}?tab={tab}" if tab else f"/ws/{user}", name=f"conexión {number + 1}")
            welcome = await (await stack.enter_async_context(client)).expect({"type": "welcome", "id": ID, "tab": tab})
            seen.append(welcome["id"])
    if len(set(seen)) != len(seen):
        raise Mismatch(f"{len(seen)} claves distintas", ", ".join(seen))


@check(
    2,
    "Un mensaje llega a todas las conexiones de esa persona, en orden, y a nadie más",
    todo=6,
    points=2,
    needs=("test_server_makes_the_key",),
    section=WRITER,
    hints=(
        "send() recorre las conexiones de esa persona y hace connection.put(message) en cada una.",
        "put() devuelve True si ha cabido: la suma da el número que hay que contestar.",
        "sum(connection.put(message) for connection in self.users.get(user, {}).values())",
    ),
)
async def test_every_tab(app: App, rng: Random) -> None:
    ana, luis = someone(rng), someone(rng) + "b"
    values = ["hola ñ€", 7, None, ["a", 1], {"n": rng.randrange(1000)}, True]
    async with tabs(app, ana, "portátil", "móvil", "tableta") as hers, tabs(app, luis, "Luis") as his:
        await hers[0].send("esto se ignora")
        await hers[1].send(rng.randbytes(8))
        for data in rng.sample(values, len(values)):
            await send(app, ana, data, queued=3)
            await receive(hers, data)
        await send(app, luis, "solo para Luis", queued=1)
        await receive(his, "solo para Luis")
        for number in range(5):
            await send(app, ana, number, queued=3)
        for number in range(5):
            await receive(hers, number)


@check(
    3,
    "Que una conexión vieja se cierre tarde no deja sorda a la nueva",
    todo=5,
    points=2,
    needs=("test_every_tab",),
    section=KEY,
    hints=(
        "El móvil cambia de antena y vuelve: la conexión nueva ya está, y la vieja aún no sabe que ha muerto.",
        "Las dos dicen llamarse igual. Al irse una, borra esa y solo esa.",
        "del connections[connection.id]: por la clave que puso el servidor, no por el nombre ni por la persona.",
    ),
)
async def test_late_close(app: App, rng: Random) -> None:
    user = someone(rng)
    async with tabs(app, user, "móvil, antes", "móvil, ahora", "móvil, después", tab="móvil") as (old, new, newest):
        await send(app, user, "a las tres", queued=3)
        await receive([old, new, newest], "a las tres")
        await old.abort()
        await until(app, "que sepa que una se ha ido", connections=2)
        await send(app, user, "a las dos", queued=2)
        await receive([new, newest], "a las dos")
        await newest.close()
        await until(app, "que sepa que otra se ha ido", connections=1)
        await send(app, user, "a la que queda", queued=1)
        await receive([new], "a la que queda")


@check(
    4,
    "Una pestaña congelada no retrasa a nadie",
    todo=6,
    points=3,
    needs=("test_every_tab",),
    section=NOTES,
    hints=(
        "Con sus búferes llenos, send_json a la congelada no vuelve: nadie puede estar esperándolo más que su emisor.",
        "gather tampoco vale: acaba cuando acaba el más lento. Y esperar sitio en su cola es esperarla a ella.",
        "El POST no tiene ningún await: deja el mensaje en cada cola con put_nowait y contesta.",
    ),
)
async def test_a_frozen_tab_delays_nobody(launch: Launch, rng: Random) -> None:
    ana, luis = someone(rng), someone(rng) + "b"
    async with (
        launch(env={"QUEUE_SIZE": "10", "SEND_SECONDS": NEVER}) as app,
        tabs(app, ana, "portátil", "congelada", "móvil") as (laptop, frozen, phone),
        tabs(app, luis, "Luis") as his,
    ):
        frozen.stop_reading()
        for number in range(HEAVY):
            await send(app, ana, heavy(number))
            await receive([laptop, phone], heavy(number))
        await send(app, luis, "hola, Luis", queued=1)
        await receive(his, "hola, Luis")


@check(
    5,
    "Quien deja de leer y vuelve a tiempo no pierde nada",
    todo=2,
    points=2,
    needs=("test_every_tab",),
    section=WRITER,
    hints=(
        "Aquí los mensajes son sucesos: quien vuelve los necesita todos, no solo el último.",
        "Mientras quepan en la cola y el envío en curso no pase de su plazo, espera.",
    ),
)
async def test_a_slow_tab_loses_nothing(launch: Launch, rng: Random) -> None:
    user = someone(rng)
    async with (
        launch(env={"QUEUE_SIZE": str(HEAVY), "SEND_SECONDS": NEVER}) as app,
        tabs(app, user, "lenta") as (slow,),
    ):
        slow.stop_reading()
        for number in range(HEAVY):
            await send(app, user, heavy(number), queued=1)
        slow.resume_reading()
        for number in range(HEAVY):
            await receive([slow], heavy(number))


@check(
    6,
    "Un envío que pasa de SEND_SECONDS desaloja a esa conexión",
    todo=2,
    points=2,
    needs=("test_every_tab",),
    section=DEADLINE,
    hints=(
        "Sin plazo, el emisor de la congelada espera para siempre, con su cola y su sitio.",
        "async with asyncio.timeout(SEND_SECONDS): await self.websocket.send_json(message)",
        "TimeoutError: activa self.late; attend() acaba y la ruta la borra.",
        "Si quedan tareas: close() también espera a quien no lee. Ponle el mismo plazo que a un envío.",
    ),
)
async def test_deadline(launch: Launch, rng: Random) -> None:
    user = someone(rng)
    async with (
        launch(env={"QUEUE_SIZE": "1000", "SEND_SECONDS": "0.2"}) as app,
        tabs(app, user, "portátil") as (laptop,),
    ):
        alone = (await app.get("/stats", status=200)).json()["tasks"]
        async with tabs(app, user, "congelada") as (frozen,):
            await deadline_of_a_frozen_tab(app, user, frozen, laptop, alone)


async def deadline_of_a_frozen_tab(
    app: App, user: str, frozen: WebSocketClient, laptop: WebSocketClient, alone: int
) -> None:
    """`alone`: las tareas del proceso cuando solo estaba el portátil."""
    frozen.stop_reading()
    for number in range(HEAVY):
        await send(app, user, heavy(number))
        await receive([laptop], heavy(number))
    await until(app, "que desaloje a la congelada", connections=1, evicted=1)
    await app.poll(
        "/stats",
        lambda answer: answer.json()["tasks"] <= alone,
        expecting=f"que cerrar a la congelada, que sigue sin leer, tenga su plazo: {alone} tareas, como sin ella",
    )
    await send(app, user, "sigo aquí", queued=1)
    await receive([laptop], "sigo aquí")
    frozen.resume_reading()
    no_gaps(await numbers_until_closed(frozen), "la congelada")
    await ended(frozen)


async def ended(client: WebSocketClient) -> None:
    """Comprueba que esa conexión ya está cerrada: no basta con dejar de contarla."""
    if client.connection.close_code is None:
        raise Mismatch(f"que la conexión de {client.name} se cierre", "sigue abierta, y muda")


@check(
    7,
    "Si no cabe en la cola, se desaloja con 1013, y lo recibido no tiene huecos",
    todo=7,
    points=3,
    needs=("test_every_tab",),
    section=DEADLINE,
    hints=(
        "Una cola sin tope convierte cada pestaña olvidada en memoria que crece.",
        "Tirar lo que no cabe y seguir deja huecos que el cliente no ve: se desaloja, y que vuelva a conectarse.",
        "QueueFull activa self.late aunque el emisor esté parado en un envío: por eso attend() espera también a late.",
        "Después de borrarla, await websocket.close(TRY_AGAIN_LATER), con plazo.",
        "Si «queued» cuenta de más: donde no ha cabido no se ha dejado nada, y put() devuelve False.",
    ),
)
async def test_full_queue(launch: Launch, rng: Random) -> None:
    user = someone(rng)
    async with (
        launch(env={"QUEUE_SIZE": str(PLACES), "SEND_SECONDS": NEVER}) as app,
        tabs(app, user, "portátil", "congelada") as (laptop, frozen),
    ):
        frozen.stop_reading()
        counted = 0
        for number in range(HEAVY):
            counted += await send(app, user, heavy(number), queued=OneOf(1, 2)) - 1
            await receive([laptop], heavy(number))
        await until(app, "que desaloje a la congelada", connections=1, evicted=1)
        frozen.resume_reading()
        numbers = await numbers_until_closed(frozen)
        no_gaps(numbers, "la congelada")
        await frozen.expect_close(1013)
        most = len(numbers) + 1 + PLACES
        if counted > most:
            reasons = f"{len(numbers)} que ha leído, una a medias y {PLACES} en su cola"
            raise Mismatch(f"que «queued» cuente a la congelada {most} veces o menos: {reasons}", f"{counted} veces")
        await send(app, user, "sigo aquí", queued=1)
        await receive([laptop], "sigo aquí")


@check(
    8,
    "De quien se fue no queda nada: ni diccionarios ni tareas",
    todo=5,
    points=2,
    needs=("test_every_tab",),
    section=FORGET,
    hints=(
        "Un defaultdict crea una entrada por cada persona por la que se pregunta, exista o no.",
        "Un conjunto vacío también ocupa: al irse la última conexión de alguien, borra a la persona.",
        "El emisor espera en su cola para siempre si nadie lo cancela: cada visita dejaría una tarea.",
    ),
)
async def test_nothing_is_left(launch: Launch, rng: Random) -> None:
    async with launch() as app:
        before = (await app.get("/stats", status=200)).json()["tasks"]
        with transcript.summarized("20 personas con dos conexiones cada una entran y se van, unas sin despedirse"):
            for number in range(20):
                async with tabs(app, f"visita-{number}", "a", "b") as (first, second):
                    await first.abort()
                    await second.close()
        for number in range(10):
            await send(app, f"nadie-{number}", "¿hay alguien?", queued=0)
        await until(app, "que no quede nadie", users=0, connections=0, evicted=0)
        await app.poll(
            "/stats",
            lambda answer: answer.json()["tasks"] <= before,
            expecting=f"{before} tareas, las que había antes de las visitas",
        )
