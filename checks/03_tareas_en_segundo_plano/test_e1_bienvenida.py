"""Controles de 3.1: contestar ya y enviar el correo después, por un servidor SMTP de verdad."""

import asyncio
import contextlib
from random import Random

import pytest

from taller.checking import App, Launch, Matching, Mismatch, check, expect, patience
from taller.services import Mail, Mailbox

KINDS = "tipos-de-tareas-en-segundo-plano"
FASTAPI = "1-las-de-fastapi"
ERRORS = "1-errores-que-se-ven"

ID = Matching(r"\S+", "un id")
# Tarda más de lo que dura cualquier control: quien espere al correo para contestar no contesta.
FOREVER = 30.0


@pytest.fixture(scope="module")
def app_env(smtp_server: Mailbox) -> dict[str, str]:
    return {"SMTP_URL": smtp_server.url}


def person(rng: Random) -> dict[str, str]:
    name = rng.choice(["Ana", "Luis", "Íñigo", "María José", "Zoë"])
    return {
        "email": f"p{rng.randrange(10**6)}@correo{rng.randrange(100)}.example.org",
        "name": f"{name} {rng.randrange(100)}",
    }


async def register(app: App, body: dict[str, str]) -> str:
    answer = (await app.post("/users", json=body, status=202)).json()
    expect(answer, {"id": ID, "status": "accepted"}, "la respuesta")
    return str(answer["id"])


async def mail_for(mailbox: Mailbox, email: str) -> Mail:
    """El correo que llega a esa dirección."""
    deadline = 2.0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience(deadline)):
            async for messages in mailbox.changes():
                if found := sent_to(messages, email):
                    return found[0]
    raise Mismatch(f"un correo para {email}", f"ninguno en {deadline:g} s")


def sent_to(messages: list[Mail], email: str) -> list[Mail]:
    return [mail for mail in messages if email in mail.recipients]


@check(
    1,
    "Contesta 202 con un id nuevo cada vez",
    todo=4,
    section=KINDS,
    hints=(
        "202 significa «aceptado»: se hará. Ya está puesto en status_code; falta el id de verdad.",
        "uuid4().hex da un texto distinto cada vez.",
    ),
)
async def test_accepts(app: App, mailbox: Mailbox, rng: Random) -> None:
    body = person(rng)
    ids = [await register(app, body) for _ in range(3)]
    if len(set(ids)) != len(ids):
        raise Mismatch("tres ids distintos, aunque se apunte tres veces la misma persona", ", ".join(ids))


@check(
    2,
    "El correo llega: destinatario, remitente, asunto y nombre",
    todo=2,
    points=2,
    needs=("test_accepts",),
    section=FASTAPI,
    hints=(
        "BackgroundTasks.add_task(función, argumentos…) la ejecuta cuando la respuesta ya ha salido.",
        "hostname y port están en SMTP: SMTP.hostname y SMTP.port.",
        'message["To"] = newcomer.email, y lo mismo con From y Subject; el texto, con message.set_content(…).',
    ),
)
async def test_mail(app: App, mailbox: Mailbox, rng: Random) -> None:
    body = person(rng)
    await register(app, body)
    mail = await mail_for(mailbox, body["email"])
    expect(list(mail.recipients), [body["email"]], "a quién llega")
    expect(mail.sender, "taller@example.org", "de quién viene")
    expect(mail.subject, f"¡Te damos la bienvenida, {body['name']}!", "el asunto")
    if body["name"] not in mail.body:
        raise Mismatch(f"que el texto contenga «{body['name']}»", mail.body or "un correo sin texto")


@check(
    3,
    "Contesta antes de enviar, y mientras envía sigue atendiendo",
    todo=4,
    points=2,
    needs=("test_mail",),
    section=FASTAPI,
    hints=(
        "El servidor de correo tarda 30 s en aceptar, y tu app no ha contestado: está esperándolo.",
        "No lo esperes con await en la función de la ruta: encárgalo con background.add_task.",
        "Si contesta a la primera y no a la segunda, algo bloquea el bucle: smtplib o time.sleep dentro de async def.",
    ),
)
async def test_answers_first(launch: Launch, mailbox: Mailbox, rng: Random) -> None:
    mailbox.delay(FOREVER)
    people = [person(rng) for _ in range(3)]
    async with launch() as app:
        for body in people:
            await register(app, body)
            # Contesta a algo más: a estas alturas el envío ya ha empezado.
            await app.get("/openapi.json", status=200)


def long_email(length: int) -> str:
    domain = "@example.org"
    return "a" * (length - len(domain)) + domain


@check(
    4,
    "Rechaza con 422 lo que no es una dirección o un nombre",
    todo=1,
    points=2,
    needs=("test_mail",),
    section=FASTAPI,
    hints=(
        "Declara los límites en el modelo y FastAPI contestará 422 por ti.",
        "Átalo por los dos lados: ^…$. Y excluye espacios con \\s, que incluye los saltos de línea.",
        "Una coma en la dirección, o un salto de línea en el nombre, cuelan destinatarios.",
        "[^@\\s,]+ es «una o más cosas que no sean arroba, espacio ni coma»; \\x00-\\x1f y \\x7f son los de control.",
    ),
)
async def test_validation(app: App, mailbox: Mailbox, rng: Random) -> None:
    good = person(rng)
    bad_emails = [
        "ana",
        "ana@",
        "@example.org",
        "ana@example",
        "a na@example.org",
        "ana@example.org,luis@example.org",
        "ana,luis@example.org",
        "ana@example.org\nBcc: todos@example.org",
        long_email(255),
        "",
    ]
    control = chr(rng.choice([*range(9), *range(14, 32), 127]))
    bad_names = ["", "Ana\nBcc: todos@example.org", "Ana\r", "Ana\t", f"A{control}na", "x" * 61]
    bad = [{**good, "email": email} for email in bad_emails] + [{**good, "name": name} for name in bad_names]
    bad += [{"name": good["name"]}, {"email": good["email"]}]
    for body in rng.sample(bad, len(bad)):
        await app.post("/users", json=body, status=422)
    for name in ("Ñ", "x" * 60):
        await register(app, {"email": long_email(254), "name": name})
    await register(app, good)
    await mail_for(mailbox, good["email"])
    expect(len(sent_to(mailbox.messages, good["email"])), 1, "los correos enviados")


@check(
    5,
    "La dirección no acaba en el registro",
    todo=1,
    needs=("test_mail",),
    section=FASTAPI,
    hints=(
        "uvicorn escribe en su registro la dirección entera de cada petición, con lo que vaya detrás de «?».",
        "Un parámetro suelto (email: str) es un parámetro de la URL; un modelo de Pydantic se lee del cuerpo.",
    ),
)
async def test_nothing_in_the_url(launch: Launch, mailbox: Mailbox, rng: Random) -> None:
    body = person(rng)
    async with launch() as app:
        await app.post("/users", params=body, status=422)
        before = len(await app.log())
        await register(app, body)
        await mail_for(mailbox, body["email"])
        log = (await app.log())[before:]
    expect(len(sent_to(mailbox.messages, body["email"])), 1, "los correos enviados")
    if body["email"].partition("@")[0] in log:
        raise Mismatch("un registro sin la dirección de nadie", log.strip().splitlines()[-1])


@check(
    6,
    "Si el envío falla deja una traza con el id, y el siguiente sale",
    todo=3,
    points=2,
    needs=("test_mail",),
    section=ERRORS,
    hints=(
        "El servidor de correo ha dicho que no: en la salida de tu app tiene que quedar una traza, y en ella el id.",
        "logger.exception, dentro de un except, escribe el mensaje y la traza; except: pass lo borra todo.",
        'logger.exception("No se pudo enviar la bienvenida de %s", user_id)',
    ),
)
async def test_failure_leaves_a_trace(launch: Launch, mailbox: Mailbox, rng: Random) -> None:
    mailbox.reject_next(1, 550)
    body = person(rng)
    async with launch() as app:
        failed = await register(app, person(rng))
        await until_logged(app, failed, "Traceback (most recent call last)", "550")
        await register(app, body)
        await mail_for(mailbox, body["email"])


async def until_logged(app: App, *wanted: str) -> None:
    """Espera a que la app haya escrito todo eso."""
    deadline = asyncio.get_running_loop().time() + patience(1.5)
    while missing := [text for text in wanted if text not in await app.log()]:
        if asyncio.get_running_loop().time() > deadline:
            raise Mismatch(f"una traza en la salida de la app que nombre {wanted[0]}", f"no aparece «{missing[0]}»")
        await asyncio.sleep(0.01)
