"""Controles de 2.3: difundir a una sala en la que las conexiones mueren."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

from taller.checking import ANY, App, Mismatch, check, expect, patience
from taller.wire import WebSocketClient

SECTION = "una-sala-difundir-sin-hacer-daño"


def new_room(rng: Random) -> str:
    return f"sala-{rng.randrange(10**6)}"


@asynccontextmanager
async def people(app: App, room: str, *names: str) -> AsyncIterator[list[WebSocketClient]]:
    """Varias personas que entran por orden, con los avisos de entrada ya leídos."""
    async with AsyncExitStack() as stack:
        inside: list[WebSocketClient] = []
        for index, name in enumerate(names):
            inside.append(await stack.enter_async_context(app.websocket(f"/rooms/{room}/ws?name={name}", name=name)))
            joined = {"type": "join", "name": name, "members": list(names[: index + 1])}
            for client in inside:
                await client.expect(joined)
        yield inside


@check(
    1,
    "Quien entra y quienes estaban reciben el aviso, con la lista",
    todo=2,
    section=SECTION,
    hints=(
        "broadcast recorre room.members y envía a cada uno con send_json.",
        "Apunta a quien entra en la sala antes de anunciarlo: así el aviso también le llega.",
        "members va por orden de llegada, no por orden alfabético.",
    ),
)
async def test_join(app: App, rng: Random) -> None:
    async with people(app, new_room(rng), "Ana", "Luis", "Eva"):
        pass


@check(
    2,
    "Un mensaje llega a todos, también a quien lo envía",
    todo=2,
    needs=("test_join",),
    section=SECTION,
    hints=(
        "Cada mensaje lleva name, text y el seq de la sala, que es uno solo para todos.",
        "Quien envía también está en la sala: no lo saltes al difundir. Así ve su mensaje en el orden de todos.",
    ),
)
async def test_message_to_all(app: App, rng: Random) -> None:
    async with people(app, new_room(rng), "Ana", "Luis", "Eva") as everyone:
        for seq, sender in enumerate(rng.choices(everyone, k=4), start=1):
            text = f"mensaje {rng.randrange(1000)}"
            await sender.send_json({"text": text})
            for client in everyone:
                await client.expect({"type": "message", "name": sender.name, "text": text, "seq": seq})


@check(
    3,
    "Todos ven los mensajes en el mismo orden, numerados sin saltos",
    todo=2,
    points=2,
    needs=("test_message_to_all",),
    section=SECTION,
    hints=(
        "Suma el número y difunde en el mismo sitio: si entre medias hay un await que espera, otro mensaje se cuela.",
        "El número es de la sala, no de cada conexión.",
    ),
)
async def test_same_order(app: App, rng: Random) -> None:
    each = 8
    async with people(app, new_room(rng), "Ana", "Luis", "Eva") as everyone:
        for turn in range(each):
            await asyncio.gather(*(client.send_json({"text": f"{client.name} {turn}"}) for client in everyone))
        seen = []
        for client in everyone:
            messages = [await client.receive_json() for _ in range(each * len(everyone))]
            expect(
                [message["seq"] for message in messages],
                list(range(1, len(messages) + 1)),
                f"los seq que ve {client.name}",
            )
            seen.append([message["text"] for message in messages])
        for client, texts in zip(everyone[1:], seen[1:], strict=True):
            expect(texts, seen[0], f"el orden que ve {client.name}, igual al de Ana")


@check(
    4,
    "Lo que pasa en una sala no se ve en otra",
    todo=2,
    needs=("test_join",),
    section=SECTION,
    hints=("Cada sala tiene su propia lista de miembros y su propia cuenta: guárdalas por nombre en un diccionario.",),
)
async def test_rooms_are_apart(app: App, rng: Random) -> None:
    here, there = new_room(rng), new_room(rng) + "b"
    async with people(app, here, "Ana") as (ana,), people(app, there, "Luis") as (luis,):
        await ana.send_json({"text": "solo aquí"})
        await ana.expect({"type": "message", "name": "Ana", "text": "solo aquí", "seq": 1})
        await luis.send_json({"text": "solo allí"})
        await luis.expect({"type": "message", "name": "Luis", "text": "solo allí", "seq": 1})


@check(
    5,
    "Cuando alguien se va, los que quedan lo saben",
    todo=2,
    points=2,
    needs=("test_join",),
    section=SECTION,
    hints=(
        "Se va quien cierra y también quien desaparece: en los dos casos receive_json() lanza WebSocketDisconnect.",
        "Bórralo de la sala antes de anunciarlo: a quien ya no está no se le puede enviar nada.",
        "Ponlo en un finally: así se hace pase lo que pase.",
    ),
)
async def test_leave(app: App, rng: Random) -> None:
    async with people(app, new_room(rng), "Ana", "Luis", "Eva") as (ana, luis, eva):
        await ana.close()
        for client in (luis, eva):
            await client.expect({"type": "leave", "name": "Ana", "members": ["Luis", "Eva"]})
        await luis.abort()
        await eva.expect({"type": "leave", "name": "Luis", "members": ["Eva"]})
        await eva.send_json({"text": "¿hola?"})
        await eva.expect({"type": "message", "name": "Eva", "text": "¿hola?", "seq": ANY})


@check(
    6,
    "Varias conexiones muertas a la vez no dejan a nadie sin avisos",
    todo=1,
    points=2,
    needs=("test_leave",),
    section=SECTION,
    hints=(
        "Tres personas desaparecen en el mismo instante: al avisar de la primera, las otras dos aún están en la lista.",
        "Enviar a una conexión muerta lanza una excepción: captúrala para cada una, no alrededor del bucle.",
        "No recorras la misma lista que cambias: recorre una copia, list(self.members).",
    ),
)
async def test_dead_peers(app: App, rng: Random) -> None:
    names = ["Ana", "Luis", "Eva", "Iván", "Sara", "Hugo"]
    dead = {"Ana", "Luis", "Iván"}
    async with people(app, new_room(rng), *names) as everyone:
        # Con la app detenida, al despertar los encuentra muertos a todos a la vez.
        await app.pause()
        for client in everyone:
            if client.name in dead:
                await client.abort()
        app.resume()
        for client in (client for client in everyone if client.name not in dead):
            await expect_leaves(client, dead)
        await everyone[-1].send_json({"text": "quedamos"})
        for client in (client for client in everyone if client.name not in dead):
            await client.expect({"type": "message", "name": "Hugo", "text": "quedamos", "seq": 1})


async def expect_leaves(client: WebSocketClient, gone: set[str]) -> None:
    """Los avisos de que se han ido, en cualquier orden; si falta alguno, dice cuál."""
    told: set[str] = set()
    while told != gone:
        try:
            message = await client.receive_json()
        except Mismatch as error:
            expected = f"que a {client.name} le llegue el aviso de cada uno de los que se han ido"
            raise Mismatch(expected, f"le faltó el de {', '.join(sorted(gone - told))}") from error
        expect(message.get("type"), "leave", f"lo que recibe {client.name}")
        told.add(message["name"])


@check(
    7,
    "Las salas vacías se olvidan",
    todo=2,
    needs=("test_join",),
    section=SECTION,
    hints=(
        "Al irse el último, borra la sala del diccionario: si no, la memoria crece con cada nombre que alguien pruebe.",
        "Pero solo si queda vacía: si no, los que siguen dentro y los que lleguen estarán en salas distintas.",
    ),
)
async def test_empty_rooms_are_forgotten(app: App, rng: Random) -> None:
    room = new_room(rng)
    async with people(app, room, "Ana", "Luis", "Eva") as (ana, luis, eva):
        expect((await app.get("/rooms", status=200)).json(), {room: 3}, "la gente que hay")
        await eva.close()
        for client in (ana, luis):
            await client.expect({"type": "leave", "name": "Eva", "members": ["Ana", "Luis"]})
        async with app.websocket(f"/rooms/{room}/ws?name=Hugo", name="Hugo") as hugo:
            for client in (ana, luis, hugo):
                await client.expect({"type": "join", "name": "Hugo", "members": ["Ana", "Luis", "Hugo"]})
            await hugo.send_json({"text": "¿quién queda?"})
            await ana.expect({"type": "message", "name": "Hugo", "text": "¿quién queda?", "seq": 1})
    listed = {room: 0}
    async with asyncio.timeout(patience(2.0)):
        while room in listed:
            listed = (await app.get("/rooms", status=200)).json()
            if listed.get(room) == 0:
                raise Mismatch("que la sala vacía no aparezca", f"GET /rooms → {listed}")
    async with people(app, room, "Sara") as (sara,):
        await sara.send_json({"text": "empiezo"})
        await sara.expect({"type": "message", "name": "Sara", "text": "empiezo", "seq": 1})
