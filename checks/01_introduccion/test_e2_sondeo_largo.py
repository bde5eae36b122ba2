"""Controles de 1.2: contestar cuando hay algo que decir, a todos, y olvidar a quien se va."""

import asyncio
import string
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import httpx
import pytest

from taller.checking import App, Approx, Launch, Mismatch, check, expect, patience

SECTION = "esperar-en-el-servidor"
READ = "0"
SLOW_READS = (0.06, 0.25, 1.0)
CROWD = 50


@pytest.fixture(scope="module")
def app_env() -> dict[str, str]:
    return {"WAIT_SECONDS": "30", "READ_SECONDS": READ}


def symbol(rng: Random) -> str:
    return "".join(rng.choices(string.ascii_uppercase, k=8))


def price(rng: Random) -> float:
    return rng.randint(100, 99999) / 100


async def put(app: App, name: str, value: float) -> int:
    answer = await app.request("PUT", f"/prices/{name}", json={"price": value}, status=200)
    return int(answer.json()["last"])


async def ask(app: App, since: int, *, client: str = "cliente", within: float = 1.0) -> httpx.Response:
    return await app.get(f"/prices?since={since}", client=client, within=within)


async def expect_news(answer: httpx.Response, last: int, prices: dict[str, float]) -> None:
    expect(answer.status_code, 200, "el código de la respuesta")
    news = answer.json()
    expect(news, {"last": last, "prices": prices}, "la respuesta")
    extra = sorted(set(news["prices"]) - set(prices))
    if extra:
        raise Mismatch(f"solo lo que ha cambiado: {sorted(prices)}", f"también {extra}")


async def until_waiting(app: App, count: int, within: float = 1.0) -> None:
    """Hasta que /waiting dice `count`: la única forma de saber que una petición ya está esperando."""
    deadline = time.monotonic() + patience(within)
    while True:
        found = (await app.get("/waiting", client="control", status=200)).json().get("waiting")
        if found == count:
            return
        if time.monotonic() > deadline:
            raise Mismatch(f'que /waiting llegue a {{"waiting": {count}}}', f'{{"waiting": {found}}}')
        await asyncio.sleep(0.01)


@asynccontextmanager
async def asking(app: App, since: int, *clients: str) -> AsyncIterator[list[asyncio.Task[httpx.Response]]]:
    """Peticiones en marcha, cada una de un cliente; al salir, las que quedan se abandonan."""
    tasks = [asyncio.create_task(ask(app, since, client=name, within=4.0)) for name in clients]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def answer_of(task: asyncio.Task[httpx.Response], expecting: str, within: float = 1.0) -> httpx.Response:
    done, _ = await asyncio.wait({task}, timeout=patience(within))
    if not done:
        raise Mismatch(expecting, f"sigue sin contestar {within:g} s después")
    return task.result()


@check(
    1,
    "Si ya hay algo nuevo, lo contesta en el acto, y solo lo nuevo",
    todo=2,
    section=SECTION,
    hints=(
        "store.read(since) devuelve lo posterior a `since` y el último número.",
        "Si lo leído trae un número distinto del que tiene el cliente, hay novedades: devuélvelas.",
    ),
)
async def test_at_once(app: App, rng: Random) -> None:
    old, new = symbol(rng), symbol(rng)
    since = await put(app, old, price(rng))
    value = price(rng)
    last = await put(app, new, value)
    await expect_news(await ask(app, since), last, {new: value})


@check(
    2,
    "Mientras uno espera, los demás son atendidos",
    todo=2,
    needs=("test_at_once",),
    section=SECTION,
    hints=(
        "Ana pregunta sin que haya nada nuevo: su petición tiene que quedarse esperando, y /waiting contarla.",
        "Si la app entera se para, algo bloquea el bucle de eventos: nada de time.sleep en un async def.",
        "await bell.next_ring.wait() espera y, mientras, deja trabajar a los demás.",
    ),
)
async def test_others_are_served(app: App, rng: Random) -> None:
    last = await put(app, symbol(rng), price(rng))
    async with asking(app, last, "Ana") as [ana]:
        await until_waiting(app, 1)
        started = time.monotonic()
        for _ in range(8):
            expect((await app.get("/waiting", client="Luis", status=200)).json(), {"waiting": 1}, "/waiting")
        took = time.monotonic() - started
        if took > patience(1.0):
            raise Mismatch("que Luis tenga sus ocho respuestas en menos de 1 s", f"han tardado {took:.1f} s")
        if ana.done():
            raise Mismatch("que Ana siga esperando: no ha cambiado nada", f"{ana.result().status_code}")


@check(
    3,
    "En cuanto se guarda un precio, contesta",
    todo=1,
    points=2,
    needs=("test_others_are_served",),
    section=SECTION,
    hints=(
        "Guardar un precio hace sonar el timbre; quien espera a ese timbre tiene que despertar.",
        "asyncio.Event.set() despierta a quien espera; después, mira otra vez si hay algo nuevo.",
        "Mirar cada poco es sondear por dentro: cada cambio llega tarde. Espera al timbre.",
        "Si la app no descansa, espera a un timbre que ya ha sonado: cada ring() deja otro, nuevo, en su sitio.",
    ),
)
async def test_answers_on_change(app: App, rng: Random) -> None:
    last = await put(app, symbol(rng), price(rng))
    waited = 0.0
    for _ in range(6):
        async with asking(app, last, "Ana") as [ana]:
            await until_waiting(app, 1)
            name, value = symbol(rng), price(rng)
            last = await put(app, name, value)
            stored = time.monotonic()
            await expect_news(await answer_of(ana, "que Ana reciba el cambio"), last, {name: value})
            waited += time.monotonic() - stored
            await until_waiting(app, 0)
    if waited > patience(0.8):
        raise Mismatch("seis cambios entregados en cuanto se guardan", f"{waited:.1f} s de retraso entre todos")
    async with asking(app, last, "Ana"):
        await until_waiting(app, 1)
        await app.rests("hasta que suene el timbre")


@check(
    4,
    "Un solo cambio despierta a todos los que esperan",
    todo=1,
    points=2,
    needs=("test_answers_on_change",),
    section="despertar-a-todos",
    hints=(
        f"Hay {CROWD} clientes esperando y se guarda un precio: tiene que contestarles a todos.",
        "Una cola o un notify() reparten el aviso: se lo lleva uno. Un Event lo oyen todos.",
        "Esperar en hilos también tiene un tope: el de FastAPI es de 40.",
    ),
)
async def test_everybody_wakes(app: App, rng: Random) -> None:
    last = await put(app, symbol(rng), price(rng))
    async with asking(app, last, *(f"cliente {number}" for number in range(1, CROWD + 1))) as crowd:
        await until_waiting(app, CROWD, within=2.0)
        name, value = symbol(rng), price(rng)
        last = await put(app, name, value)
        done, _ = await asyncio.wait(crowd, timeout=patience(1.0))
        if len(done) < CROWD:
            raise Mismatch(f"que contesten a los {CROWD} que esperan", f"solo han contestado a {len(done)}")
        for task in crowd:
            await expect_news(task.result(), last, {name: value})
    await until_waiting(app, 0)


@check(
    5,
    "No se pierde el cambio que llega mientras lee",
    todo=2,
    points=2,
    needs=("test_answers_on_change",),
    section="el-cambio-que-se-cuela",
    hints=(
        "El cambio se guardó cuando la petición ya había leído y aún no esperaba: nadie la avisó.",
        "Si tomas el timbre después de leer, ya es otro. Tómalo antes y, si ha sonado, wait() no espera.",
        "next_ring = bell.next_ring; news = await store.read(since); …; await next_ring.wait()",
    ),
    within=12.0,
)
async def test_no_lost_update(launch: Launch, rng: Random) -> None:
    for read in map(patience, SLOW_READS):
        async with launch(env={"READ_SECONDS": str(read)}) as app:
            if await change_while_reading(app, rng, read):
                return
    raise Mismatch("guardar un cambio mientras la app lee", "la máquina va demasiado lenta para conseguirlo")


async def change_while_reading(app: App, rng: Random, read: float) -> bool:
    """Si algún cambio se guardó, con seguridad, durante la lectura; en una máquina ocupada puede llegar tarde."""
    last = await put(app, symbol(rng), price(rng))
    in_time = False
    for _ in range(2):
        started = time.monotonic()
        async with asking(app, last, "Ana") as [ana]:
            await until_waiting(app, 1)
            name, value = symbol(rng), price(rng)
            last = await put(app, name, value)
            in_time = in_time or time.monotonic() - started < read
            expecting = "que Ana reciba el cambio que se guardó mientras su petición leía"
            await expect_news(await answer_of(ana, expecting, within=1.0 + 2 * read), last, {name: value})
        await until_waiting(app, 0)
    return in_time


@check(
    6,
    "Acabado el plazo sin novedades, contesta 204",
    todo=4,
    needs=("test_others_are_served",),
    section=SECTION,
    hints=(
        "WAIT_SECONDS dice cuánto se espera como mucho; después, wait_for_news devuelve None.",
        "asyncio.wait(tareas, timeout=WAIT_SECONDS) vuelve cuando se acaba el plazo, sin excepción.",
    ),
)
async def test_deadline(launch: Launch, rng: Random) -> None:
    wait = patience(0.2)
    async with launch(env={"WAIT_SECONDS": str(wait)}) as app:
        last = await put(app, symbol(rng), price(rng))
        started = time.monotonic()
        answer = await ask(app, last, within=2.0)
        took = time.monotonic() - started
        expect(answer.status_code, 204, "el código, acabado el plazo")
        expect(answer.text, "", "el cuerpo del 204")
        expect(round(took, 3), Approx(wait * 0.9, wait + patience(1.0)), "los segundos de espera")
        await until_waiting(app, 0)
        name, value = symbol(rng), price(rng)
        last_now = await put(app, name, value)
        await expect_news(await ask(app, last), last_now, {name: value})


@check(
    7,
    "Si el cliente se va, su petición acaba y las demás siguen",
    todo=3,
    points=2,
    needs=("test_others_are_served",),
    section="quien-se-va-sin-avisar",
    hints=(
        "FastAPI no interrumpe tu función cuando el cliente se va: tiene que enterarse ella.",
        "request.receive() da primero la petición y, cuando el cliente se va, {'type': 'http.disconnect'}.",
        "Espera a la vez a las novedades y a gone(request): asyncio.wait(…, return_when=FIRST_COMPLETED).",
    ),
)
async def test_leaving_is_noticed(app: App, rng: Random) -> None:
    last = await put(app, symbol(rng), price(rng))
    async with asking(app, last, "Luis") as [luis]:
        async with asking(app, last, *(f"impaciente {number}" for number in range(1, 6))):
            await until_waiting(app, 6)
        await until_waiting(app, 1)
        name, value = symbol(rng), price(rng)
        last = await put(app, name, value)
        await expect_news(await answer_of(luis, "que Luis, que sigue ahí, reciba el cambio"), last, {name: value})


@check(
    8,
    "A quien viene de antes del reinicio no le hace esperar",
    todo=2,
    needs=("test_others_are_served",),
    section=SECTION,
    hints=(
        "El cliente trae un número que este servidor aún no ha alcanzado: no es el futuro, es otra vida.",
        "Contesta siempre que el último número sea distinto del suyo, no solo cuando sea mayor; haya o no precios.",
    ),
)
async def test_after_restart(app: App, launch: Launch, rng: Random) -> None:
    last = await put(app, symbol(rng), price(rng))
    board = (await ask(app, 0)).json()["prices"]
    async with asking(app, last + rng.randint(1, 500), "Ana") as [ana]:
        await expect_news(await answer_of(ana, "una respuesta en el acto, con todos los precios"), last, board)
    async with launch() as newborn, asking(newborn, rng.randint(1, 500), "Luis") as [luis]:
        await expect_news(await answer_of(luis, "una respuesta en el acto, aunque aún no haya ningún precio"), 0, {})
