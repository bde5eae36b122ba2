"""Controles de 3.3: insistir, rendirse a tiempo y dejar dicho lo que no se pudo hacer."""

import asyncio
import socket
from collections.abc import Callable
from random import Random
from typing import Any

import httpx
import pytest

from taller.checking import App, Approx, Launch, Matching, Mismatch, check, expect, patience
from taller.services import Mailbox

ERRORS = "1-errores-que-se-ven"
ID = Matching(r"\S+", "un id")
BASE = 0.02
ATTEMPTS = Random().randint(3, 4)
CROWD = 6
# Más de lo que dura cualquier control.
FOREVER = 30.0


@pytest.fixture(scope="module")
def app_env(smtp_server: Mailbox) -> dict[str, str]:
    limits = {"MAX_ATTEMPTS": str(ATTEMPTS), "ATTEMPT_SECONDS": "5", "BASE_SECONDS": str(BASE), "WORKERS": str(CROWD)}
    return {"SMTP_URL": smtp_server.url, **limits}


def people(rng: Random, count: int) -> list[str]:
    return [f"p{rng.randrange(10**8)}@example.org" for _ in range(count)]


async def post(app: App, to: list[str], text: str = "Hola") -> list[str]:
    answer = (await app.post("/messages", json={"to": to, "subject": "Aviso", "text": text}, status=202)).json()
    expect(answer, {"ids": [ID] * len(to)}, "la respuesta")
    return [str(delivery_id) for delivery_id in answer["ids"]]


async def poll(ready: Callable[[], bool], expected: str, received: Callable[[], str], within: float = 2.0) -> None:
    deadline = asyncio.get_running_loop().time() + patience(within)
    while not ready():
        if asyncio.get_running_loop().time() > deadline:
            raise Mismatch(expected, received())
        await asyncio.sleep(0.005)


async def arrive(mailbox: Mailbox, to: list[str]) -> None:
    """Espera a que cada una de esas direcciones tenga su correo, y solo suyo."""

    def missing() -> list[str]:
        got = [mail.recipients for mail in mailbox.messages]
        return [address for address in to if (address,) not in got]

    expected = "un correo para " + (to[0] if len(to) == 1 else f"cada una de estas {len(to)} direcciones")
    await poll(lambda: not missing(), expected, lambda: f"ninguno para {', '.join(missing())}")


async def failures(app: App, ids: list[str]) -> list[dict[str, Any]]:
    """Los perdidos que tienen esos ids, cuando están todos en la lista, y por su orden."""

    def of_these(answer: httpx.Response) -> list[dict[str, Any]]:
        return [lost for lost in answer.json() if lost.get("id") in ids]

    expecting = f"{len(ids)} en la lista de perdidos: {', '.join(ids)}"
    answer = await app.poll("/failures", lambda got: len(of_these(got)) >= len(ids), expecting=expecting, status=200)
    expect(len(of_these(answer)), len(ids), "las veces que están en la lista de perdidos")
    return of_these(answer)


async def none_lost(app: App, ids: list[str]) -> None:
    listed = (await app.get("/failures", status=200)).json()
    expect([lost for lost in listed if lost.get("id") in ids], [], "los perdidos")


@check(
    1,
    "Un correo por destinatario, y ninguno perdido",
    todo=4,
    section=ERRORS,
    hints=(
        "Un obrero es un bucle: delivery = await pending.get(); await deliver(delivery); y otra vez.",
        "deliver() llama a send(): con que lo haga una vez, este control pasa.",
    ),
)
async def test_all_arrive(app: App, mailbox: Mailbox, rng: Random) -> None:
    to = people(rng, rng.randint(3, 6))
    ids = await post(app, to)
    await arrive(mailbox, to)
    await none_lost(app, ids)


@check(
    2,
    "Lo que falla de momento se vuelve a intentar",
    todo=3,
    points=2,
    needs=("test_all_arrive",),
    section=ERRORS,
    hints=(
        "Un 451 significa «ahora no»: el mismo envío, un poco después, sale.",
        "Un bucle de MAX_ATTEMPTS intentos; return en cuanto uno sale bien.",
    ),
)
async def test_retries(app: App, mailbox: Mailbox, rng: Random) -> None:
    [to] = people(rng, 1)
    mailbox.reject_next(ATTEMPTS - 1, 451)
    ids = await post(app, [to])
    await arrive(mailbox, [to])
    await none_lost(app, ids)


@check(
    3,
    "Cuando se acaban los intentos, queda apuntado con su motivo",
    todo=3,
    points=2,
    needs=("test_retries",),
    section=ERRORS,
    hints=(
        "El último intento también cuenta: attempts es cuántos se han hecho.",
        "Un 4xx y una conexión rechazada son el mismo motivo: «unavailable».",
        "failures.append(Failure(…)) con el motivo que da reason_for(error).",
    ),
)
async def test_gives_up(app: App, launch: Launch, mailbox: Mailbox, rng: Random) -> None:
    [busy, nobody] = people(rng, 2)
    mailbox.reject_next(ATTEMPTS, 421)
    await lost_to(app, busy, ATTEMPTS)
    expect(len(mailbox.rejected), ATTEMPTS, "los intentos que vio el servidor de correo")
    unreachable = {"MAX_ATTEMPTS": "2", "SMTP_URL": f"smtp://127.0.0.1:{closed_port()}"}
    async with launch(env=unreachable, name="app sin servidor de correo") as alone:
        await lost_to(alone, nobody, 2)


async def lost_to(app: App, to: str, attempts: int) -> None:
    ids = await post(app, [to])
    wanted = [{"id": ids[0], "to": to, "attempts": attempts, "reason": "unavailable"}]
    expect(await failures(app, ids), wanted, "los perdidos")


def closed_port() -> int:
    """Un puerto en el que no escucha nadie."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@check(
    4,
    "Lo que no tiene arreglo no se repite",
    todo=1,
    points=2,
    needs=("test_gives_up",),
    section=ERRORS,
    hints=(
        "Un 550 quiere decir que esa dirección no existe: insistir es molestar. Y como él, cualquier otro 5xx.",
        "SMTPResponseException.code >= 500 es «rejected», y no se vuelve a intentar.",
    ),
)
async def test_permanent(app: App, mailbox: Mailbox, rng: Random) -> None:
    # Al oír a quién va, el primero de los 5xx; y al recibir el texto, otro cualquiera.
    for code, at in ((500, "RCPT"), (rng.randrange(555, 600), "DATA")):
        mailbox.reject_next(1, code, at=at)
        [to] = people(rng, 1)
        ids = await post(app, [to])
        wanted = [{"id": ids[0], "to": to, "attempts": 1, "waits": [], "reason": "rejected"}]
        expect(await failures(app, ids), wanted, f"los perdidos, tras un {code}")
    expect(len(mailbox.rejected), 2, "los intentos que vio el servidor de correo")


@check(
    5,
    "Cada intento tiene un plazo",
    todo=3,
    points=2,
    needs=("test_gives_up",),
    section=ERRORS,
    hints=(
        "El servidor de correo acepta la conexión y no contesta: sin plazo, ese obrero no vuelve.",
        "async with asyncio.timeout(ATTEMPT_SECONDS): … lanza TimeoutError cuando vence.",
    ),
)
async def test_timeout(launch: Launch, mailbox: Mailbox, rng: Random) -> None:
    [to] = people(rng, 1)
    mailbox.delay(FOREVER)
    async with launch(env={"ATTEMPT_SECONDS": "0.1", "MAX_ATTEMPTS": "2"}) as app:
        ids = await post(app, [to])
        wanted = [{"id": ids[0], "to": to, "attempts": 2, "reason": "timeout"}]
        expect(await failures(app, ids), wanted, "los perdidos")


@check(
    6,
    "La espera entre intentos se dobla",
    todo=2,
    points=2,
    needs=("test_retries",),
    section=ERRORS,
    hints=(
        "Tras el primer intento, entre la mitad y el total de BASE_SECONDS; tras el segundo, del doble; y así.",
        "waits guarda lo que se esperó, en segundos: una menos que intentos.",
        "2 ** (attempt - 1) es 1, 2, 4…",
    ),
)
async def test_backoff(app: App, launch: Launch, mailbox: Mailbox, rng: Random) -> None:
    mailbox.reject_next(ATTEMPTS, 451)
    [lost] = await failures(app, await post(app, people(rng, 1)))
    bounds = [Approx(BASE * 2**n / 2, BASE * 2**n) for n in range(ATTEMPTS - 1)]
    expect(lost, {"attempts": ATTEMPTS, "waits": bounds}, "el perdido")
    # Una espera larga, para que se note si de verdad se ha esperado.
    await mailbox.clear()
    async with launch(env={"MAX_ATTEMPTS": "2", "BASE_SECONDS": "0.3"}, name="app que espera más") as slower:
        mailbox.reject_next(2, 451)
        [lost] = await failures(slower, await post(slower, people(rng, 1)))
    [wait], [first, second] = lost["waits"], mailbox.rejected
    gap = (second.received_at - first.received_at).total_seconds()
    if gap < wait * 0.95:
        raise Mismatch(f"{wait:.3f} s entre un intento y el siguiente, como dice waits", f"{gap:.3f} s")


@check(
    7,
    "Quienes fallan a la vez no vuelven a la vez",
    todo=2,
    points=2,
    needs=("test_backoff",),
    section=ERRORS,
    hints=(
        "Si todos esperan exactamente lo mismo, todos vuelven en el mismo instante, y vuelven a tumbarlo.",
        "random.uniform(mitad, total).",
    ),
)
async def test_jitter(app: App, mailbox: Mailbox, rng: Random) -> None:
    mailbox.reject_next(CROWD * ATTEMPTS, 451)
    ids = await post(app, people(rng, CROWD))
    waits = [lost["waits"][0] for lost in await failures(app, ids)]
    if len(set(waits)) < CROWD:
        raise Mismatch(f"{CROWD} esperas distintas", ", ".join(f"{wait:.4f} s" for wait in waits))


@check(
    8,
    "WORKERS envíos van a la vez, ni uno más ni uno menos",
    todo=5,
    needs=("test_all_arrive",),
    section=ERRORS,
    hints=(
        "El servidor de correo se queda con los envíos en la mano: los que vayan a la vez se le juntan.",
        "Cada obrero hace un envío cada vez: arranca WORKERS, ni uno solo ni un número fijo.",
    ),
)
async def test_workers(launch: Launch, mailbox: Mailbox, rng: Random) -> None:
    workers = rng.choice([3, 5, 6])
    mailbox.delay(FOREVER)
    async with launch(env={"WORKERS": str(workers), "ATTEMPT_SECONDS": str(FOREVER)}) as app:
        await post(app, people(rng, workers + 3))
        expected = f"{workers} envíos a la vez con WORKERS={workers}"
        await poll(lambda: mailbox.held >= workers, expected, lambda: str(mailbox.held))
        # Si hubiera otro obrero, estas idas y vueltas le dan tiempo a empezar.
        for _ in range(5):
            await app.get("/failures", status=200)
            if mailbox.held > workers:
                raise Mismatch(expected, str(mailbox.held))


@check(
    9,
    "Uno que falla no para a los demás",
    todo=4,
    points=2,
    needs=("test_permanent", "test_workers"),
    section=ERRORS,
    hints=(
        "Si deliver lanza una excepción y nadie la recoge, el obrero muere y la cola se queda sin él.",
        "El try va dentro del while True, alrededor de cada envío.",
        "Hay fallos que no son de SMTP: una dirección mal escrita, por ejemplo, que no se puede poner en un correo.",
    ),
)
async def test_isolation(launch: Launch, mailbox: Mailbox, rng: Random) -> None:
    to = people(rng, 4)
    async with launch(env={"WORKERS": "1"}) as app:
        mailbox.reject_next(2, 550)
        ids = await post(app, to)
        await arrive(mailbox, to[2:])
        expect([lost["to"] for lost in await failures(app, ids[:2])], to[:2], "los perdidos")
        # Esto no es una dirección: el fallo es del propio programa, al construir el correo.
        await post(app, ["no es, <una dirección"])
        [last] = people(rng, 1)
        await post(app, [last])
        await arrive(mailbox, [last])


@check(
    10,
    "De cada perdido queda una traza con su id, y de ninguno el texto",
    todo=3,
    points=2,
    needs=("test_permanent", "test_timeout"),
    section=ERRORS,
    hints=(
        "En la salida, por cada perdido, una traza y su id; el texto del mensaje, ni ahí ni en /failures.",
        "logger.exception, dentro del except, escribe la traza; logger.error, solo la frase.",
        "Si aparece el texto, mira qué escribes: el id basta, y Delivery entero lo lleva dentro.",
    ),
)
async def test_traces_without_secrets(app: App, mailbox: Mailbox, rng: Random) -> None:
    secret = f"codigo{rng.randrange(10**9)}"
    mailbox.reject_next(2, 550)
    before = len(await app.log())
    ids = await post(app, people(rng, 2), f"Tu código es {secret}")
    listed = await failures(app, ids)
    for lost in ids:
        await until_logged(app, before, lost, "Traceback (most recent call last)")
    if secret in str(listed) or secret in await app.log():
        where = "GET /failures" if secret in str(listed) else "la salida de la app"
        raise Mismatch("que el texto del mensaje no aparezca", f"está en {where}")


async def until_logged(app: App, since: int, *wanted: str) -> None:
    """Espera a que la app haya escrito todo eso, detrás de lo que llevaba escrito."""
    deadline = asyncio.get_running_loop().time() + patience(1.5)
    while missing := [text for text in wanted if text not in (await app.log())[since:]]:
        if asyncio.get_running_loop().time() > deadline:
            raise Mismatch(f"una traza en la salida de la app que nombre {wanted[0]}", f"no aparece «{missing[0]}»")
        await asyncio.sleep(0.01)


@check(
    11,
    "Un envío colgado no impide apagar",
    todo=5,
    needs=("test_all_arrive",),
    section=ERRORS,
    hints=(
        "Algo no se deja parar: una BackgroundTask, a la que uvicorn espera, o un except que atrapa la cancelación.",
        "Después del yield: cancel() en cada obrero y await asyncio.gather(…, return_exceptions=True).",
        "CancelledError no es un Exception: except Exception no la atrapa, y así debe ser.",
    ),
)
async def test_shutdown(launch: Launch, mailbox: Mailbox, rng: Random) -> None:
    mailbox.delay(FOREVER)
    async with launch(env={"ATTEMPT_SECONDS": str(FOREVER)}) as app:
        await post(app, people(rng, 3))
        await app.get("/failures", status=200)
        await app.terminate(within=2.0)
