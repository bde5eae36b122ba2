"""Controles de 9.2: tres canales que dicen que no, se rompen o se callan, y un recibo que dice la verdad."""

import asyncio
from random import Random

import pytest
from notices import answer, by_stream, by_websocket, mails_to, notifying, someone, until_status

from taller.checking import App, Launch, check, eventually, expect, let_it_go_on, patience
from taller.services import Mailbox, Valkey

FAILING = "tres-maneras-de-fallar"
DEADLINE = "un-plazo-para-cada-canal"
RECEIPT = "un-recibo-que-no-miente"
LAST = "el-último-recurso-tiene-que-durar"

# Más de lo que dura cualquier control: quien espere un plazo que no hacía falta no contesta.
NEVER = "30"
# Bastante para que un canal que funciona conteste aunque la máquina esté ocupada.
SHORT = str(patience(0.3))


@pytest.fixture(scope="module")
def app_env(valkey_server: Valkey, smtp_server: Mailbox) -> dict[str, str]:
    return {
        "REDIS_URL": valkey_server.url,
        "SMTP_URL": smtp_server.url,
        "CHANNEL_SECONDS": NEVER,
        "RETRY_SECONDS": "2",
    }


@check(
    1,
    "Si alguien lo confirma por su WebSocket, el recibo lo dice",
    todo=1,
    section=RECEIPT,
    hints=(
        "El POST espera: contesta cuando llega la confirmación, no cuando ha salido el aviso.",
        "Ve paso a paso: offer() pregunta, read() apunta la respuesta (listener.answer) y deliver() hace el recibo.",
        'listener.answer(answer.id, answer.type == "ack")',
    ),
)
async def test_websocket(app: App, redis_server: Valkey, mailbox: Mailbox, rng: Random) -> None:
    user = someone(rng)
    async with by_websocket(app, user) as client:
        for _ in range(2):
            async with notifying(app, user, rng) as notice:
                note_id = await notice.reaches(client)
                for noise in ("esto no es JSON", '{"type": "ack"}', '{"type": "ack", "id": "otro"}', "[]"):
                    await client.send(noise)
                await answer(client, "ack", note_id)
                await notice.receipt("websocket", note_id)


@check(
    2,
    "Sin WebSocket, va por el flujo, y se confirma aparte",
    todo=6,
    needs=("test_websocket",),
    section=RECEIPT,
    hints=(
        "Un flujo no tiene vuelta: la confirmación llega en otra petición.",
        "Quien la espera está en streams.listeners[user]; answer() devuelve si la esperaba.",
        "Y es de esa persona: que otra la confirme por ella es un 404.",
    ),
)
async def test_stream(app: App, redis_server: Valkey, mailbox: Mailbox, rng: Random) -> None:
    user = someone(rng)
    async with (
        by_stream(app, user) as stream,
        by_stream(app, user, "otro flujo") as other,
        notifying(app, user, rng) as notice,
    ):
        note_id = await notice.reaches(stream)
        await notice.reaches(other)
        await notice.confirm("no-existe", status=404)
        await notice.confirm(note_id, status=404, by=f"{user}b")
        await notice.confirm(note_id)
        await notice.receipt("sse", note_id)
        await notice.confirm(note_id, status=404)


@check(
    3,
    "Sin nadie conectado, un correo",
    todo=2,
    points=2,
    needs=("test_websocket",),
    section=LAST,
    hints=(
        "Nadie conectado es un «no» inmediato: no hay nada que esperar.",
        "enqueue() escribe en el Stream; el cartero lo lee y handle() lo envía (TODO 4).",
        "Los campos del Stream: id, to y text.",
    ),
)
async def test_mail(app: App, redis_server: Valkey, mailbox: Mailbox, rng: Random) -> None:
    user = someone(rng)
    async with notifying(app, user, rng) as notice:
        note_id = await notice.receipt("email_queued")
        received = [mail.body for mail in await mails_to(mailbox, user)]
        expect(received, [notice.text], "los correos que ha recibido")
        await until_status(app, note_id, "sent")
    await app.get("/mail/no-existe", status=404)


@check(
    4,
    "Decir que no es contestar: se pasa al siguiente en el acto",
    todo=5,
    points=2,
    needs=("test_stream",),
    section=FAILING,
    hints=(
        "Un nack es una respuesta: no hay que esperar a que venza el plazo.",
        "Con varias pestañas, que una diga que no, o se quede callada, no impide que otra confirme.",
        "Mira las respuestas según llegan: con la primera afirmativa, True; si se acaban, False.",
    ),
)
async def test_says_no(app: App, redis_server: Valkey, mailbox: Mailbox, rng: Random) -> None:
    user = someone(rng)
    async with by_websocket(app, user) as first, by_websocket(app, user, "otra pestaña") as second:
        async with by_websocket(app, user, "callada") as silent, notifying(app, user, rng) as notice:
            note_id = await notice.reaches(first)
            await answer(first, "nack", note_id)
            for client in (silent, second):
                await notice.reaches(client)
            await answer(second, "ack", note_id)
            await notice.receipt("websocket", note_id)
        async with by_stream(app, user) as stream, notifying(app, user, rng) as notice:
            for client in (first, second):
                await answer(client, "nack", await notice.reaches(client))
            await notice.confirm(await notice.reaches(stream))
            await notice.receipt("sse")


@check(
    5,
    "Si se va con el aviso a medias, se pasa al siguiente en el acto",
    todo=1,
    points=2,
    needs=("test_stream",),
    section=FAILING,
    hints=(
        "El WebSocket se corta después de recibir el aviso: ya no va a contestar, y eso se sabe.",
        "Al salir de `listening`, close() contesta que no a todo lo que quedaba por contestar.",
        "Quien envía a una conexión muerta recibe una excepción: un canal que lanza es un canal que ha fallado.",
    ),
)
async def test_goes_away(app: App, redis_server: Valkey, mailbox: Mailbox, rng: Random) -> None:
    user = someone(rng)
    async with by_stream(app, user) as stream:
        async with by_websocket(app, user) as client, notifying(app, user, rng) as notice:
            await notice.reaches(client)
            await client.abort()
            await notice.confirm(await notice.reaches(stream))
            await notice.receipt("sse")
        async with by_websocket(app, user) as client:
            # Con la app detenida, al despertar se encuentra a la vez el aviso y la conexión muerta.
            await app.pause()
            async with notifying(app, user, rng) as notice:
                await client.abort()
                app.resume()
                await notice.confirm(await notice.reaches(stream))
                await notice.receipt("sse")


@check(
    6,
    "Quien se queda callado tiene un plazo, y cada canal el suyo",
    todo=3,
    points=3,
    needs=("test_stream", "test_mail"),
    section=DEADLINE,
    hints=(
        "La pestaña congelada recibe el aviso, o eso parece, y no contesta nunca: sin plazo no se llega al siguiente.",
        "El plazo es de cada canal: si es uno para todos, el primero que se calla se lo gasta a los demás.",
        "async with asyncio.timeout(CHANNEL_SECONDS), dentro del bucle; y except, también dentro.",
        "Una respuesta tardía no encuentra quien la espere: ni se apunta ni rompe nada.",
    ),
)
async def test_silence(launch: Launch, redis_server: Valkey, mailbox: Mailbox, rng: Random) -> None:
    first, second = someone(rng), someone(rng) + "b"
    async with launch(env={"CHANNEL_SECONDS": SHORT}) as app:
        await asyncio.gather(silent_websocket(app, first, rng), both_silent(app, second, mailbox, rng))


async def silent_websocket(app: App, user: str, rng: Random) -> None:
    """El WebSocket calla y el flujo confirma; la respuesta tardía no rompe nada: la siguiente vale."""
    async with by_websocket(app, user, "congelada") as frozen, by_stream(app, user) as stream:
        async with notifying(app, user, rng) as notice:
            late = await notice.reaches(frozen)
            await notice.confirm(await notice.reaches(stream))
            await notice.receipt("sse", late)
        await answer(frozen, "ack", late)
        async with notifying(app, user, rng) as notice:
            note_id = await notice.reaches(frozen)
            await answer(frozen, "ack", note_id)
            await notice.receipt("websocket", note_id)


async def both_silent(app: App, user: str, mailbox: Mailbox, rng: Random) -> None:
    """Callan los dos: un correo, y la confirmación tardía del flujo ya no la espera nadie."""
    async with by_websocket(app, user, "otra congelada") as frozen, by_stream(app, user, "flujo mudo") as stream:
        async with notifying(app, user, rng) as notice:
            note_id = await notice.reaches(frozen)
            await notice.reaches(stream)
            await notice.receipt("email_queued", note_id)
            await notice.confirm(note_id, status=404)
        await mails_to(mailbox, user)


@check(
    7,
    "Lo que se confirma por un canal no se envía por los demás",
    todo=3,
    points=2,
    needs=("test_stream", "test_mail"),
    section=RECEIPT,
    hints=(
        "Los tres canales funcionan, y el aviso ha llegado por más de uno: prueba uno, y solo si falla, el siguiente.",
        "El orden es WebSocket, flujo, correo.",
        "En cuanto uno lo consigue, return.",
    ),
)
async def test_exactly_one(app: App, redis_server: Valkey, mailbox: Mailbox, rng: Random) -> None:
    user = someone(rng)
    async with by_stream(app, user) as stream, by_websocket(app, user) as client:
        async with notifying(app, user, rng) as notice:
            await answer(client, "ack", await notice.reaches(client))
            await notice.receipt("websocket")
        # Lo siguiente que llegue al flujo tiene que ser este otro aviso.
        async with notifying(app, user, rng) as notice:
            await answer(client, "nack", await notice.reaches(client))
            await notice.confirm(await notice.reaches(stream))
            await notice.receipt("sse")
    # Y el primer correo, el de este, que se da cuando ya no tiene nada abierto.
    async with notifying(app, user, rng) as notice:
        await notice.receipt("email_queued")
    expect([mail.body for mail in await mails_to(mailbox, user)], [notice.text], "los correos que ha recibido")


@check(
    8,
    "«email_queued» sobrevive a un kill -9",
    todo=2,
    points=3,
    needs=("test_mail",),
    section=LAST,
    hints=(
        "El servidor de correo tarda, la app muere, y otra nueva tiene que enviarlo.",
        "create_task y BackgroundTasks viven en el proceso que acaba de morir; lo que está en Redis, no.",
        "Y no lo quites de la cola hasta haberlo enviado: finish() va al final.",
    ),
)
async def test_kill(launch: Launch, redis_server: Valkey, mailbox: Mailbox, rng: Random) -> None:
    user = someone(rng)
    mailbox.delay(30)
    async with launch() as app:
        async with notifying(app, user, rng) as notice:
            note_id = await notice.receipt("email_queued")
        await until_taken(app, redis_server)
        expect((await app.get(f"/mail/{note_id}", status=200)).json(), {"status": "queued"}, "el estado del correo")
        await app.kill()
    mailbox.delay(0)
    async with launch(name="app, otra vez", env={"RETRY_SECONDS": str(patience(0.3))}) as again:
        # Al menos una vez: quien no llega a saber si se lo aceptaron tiene que repetirlo.
        expect({mail.body for mail in await mails_to(mailbox, user)}, {notice.text}, "los correos que ha recibido")
        await until_status(again, note_id, "sent")


async def until_taken(app: App, server: Valkey) -> None:
    """Espera a que el cartero haya cogido el correo y haya tenido ocasión de seguir hasta donde pueda."""
    async with server.client(decode_responses=True) as redis:

        async def read() -> int:
            return sum(group["entries-read"] or 0 for group in await redis.xinfo_groups("mail"))

        await eventually(read, bool, "que el cartero coja lo que hay en el Stream «mail»")
        for _ in range(3):
            await let_it_go_on(app)
            await redis.ping()


@check(
    9,
    "El estado del correo es lo que ha pasado con él",
    todo=4,
    points=2,
    needs=("test_mail",),
    section=RECEIPT,
    hints=(
        "«sent» se escribe cuando el servidor de correo lo ha aceptado, no antes.",
        "Un 5xx es «nunca»: «rejected». Un 4xx es «inténtalo luego»: se queda en la cola, y se repite.",
        "except aiosmtplib.SMTPResponseException as refusal: mira refusal.code.",
    ),
)
async def test_truth(launch: Launch, redis_server: Valkey, mailbox: Mailbox, rng: Random) -> None:
    refused, delayed = (someone(rng) + letter for letter in "ab")
    async with launch() as app:
        mailbox.reject_next(1, 500)
        async with notifying(app, refused, rng) as notice:
            await until_status(app, await notice.receipt("email_queued"), "rejected")
    async with launch(env={"RETRY_SECONDS": str(patience(0.3))}, name="app con prisa") as hasty:
        mailbox.reject_next(1, 451)
        async with notifying(hasty, delayed, rng) as notice:
            await until_status(hasty, await notice.receipt("email_queued"), "sent")
            expect({mail.body for mail in await mails_to(mailbox, delayed)}, {notice.text}, "los correos recibidos")
    expect([mail.body for mail in mailbox.messages if refused in str(mail.recipients)], [], "los correos rechazados")


@check(
    10,
    "Sin Redis no hay correo, y se dice; los otros canales siguen",
    todo=3,
    points=2,
    needs=("test_mail", "test_silence"),
    section=FAILING,
    hints=(
        "Con Redis caído, escribir en la cola lanza: es un canal que ha fallado, y era el último. 503.",
        "Con Redis mudo no lanza ni acaba: también la cola necesita su plazo.",
        "Por WebSocket no hace falta Redis para nada.",
    ),
)
async def test_without_redis(launch: Launch, redis_server: Valkey, mailbox: Mailbox, rng: Random) -> None:
    user, nobody = someone(rng), someone(rng) + "b"
    async with launch(env={"CHANNEL_SECONDS": SHORT}) as app, by_websocket(app, user) as client:
        for take_away in (redis_server.pause, redis_server.kill):
            if (waiting := take_away()) is not None:
                await waiting
            await app.post(f"/users/{nobody}/notifications", json={"text": "¿?"}, status=503)
            async with notifying(app, user, rng) as notice:
                await answer(client, "ack", await notice.reaches(client))
                await notice.receipt("websocket")
            redis_server.resume()
