"""Controles de 7.1: quién entra, con qué token, desde dónde y hasta cuándo."""

import asyncio
import json
import math
import secrets
import time
from collections.abc import Sequence
from random import Random
from typing import Any

import jwt
import pytest

from taller.checking import App, Launch, Mismatch, check, expect, patience
from taller.wire import WebSocketClient, transcript

SECTION = "autenticación-en-websockets"
SECRET = secrets.token_hex(40)
AUDIENCE = f"servicio-{secrets.token_hex(3)}"
ORIGINS = [f"https://{secrets.token_hex(3)}.taller.example", "http://localhost:5173"]
HOUR = 3600


@pytest.fixture(scope="module")
def app_env() -> dict[str, str]:
    return {"SECRET": SECRET, "AUDIENCE": AUDIENCE, "ALLOWED_ORIGINS": ",".join(ORIGINS), "AUTH_SECONDS": "20"}


def someone(rng: Random) -> str:
    return rng.choice(["ana", "luis", "eva", "iñigo"]) + str(rng.randrange(10**6))


def claims(user: str, without: str = "", **changes: Any) -> dict[str, Any]:
    """Lo que lleva dentro un token bueno, con los cambios que se digan."""
    content = {"sub": user, "aud": AUDIENCE, "exp": math.ceil(time.time()) + HOUR, "type": "access", **changes}
    return {name: value for name, value in content.items() if name != without}


def signed(content: dict[str, Any], key: str | None = SECRET, algorithm: str = "HS256") -> str:
    return jwt.encode(content, key, algorithm=algorithm)


async def enter(client: WebSocketClient, user: str, content: dict[str, Any] | None = None) -> None:
    """Se presenta con un token bueno."""
    content = content or claims(user)
    ready = {"type": "ready", "user": user, "expires_at": content["exp"]}
    await client.exchange({"type": "auth", "token": signed(content)}, ready)


async def say(client: WebSocketClient, user: str, text: str) -> None:
    await client.exchange({"type": "say", "text": text}, {"type": "said", "user": user, "text": text})


async def closes_in_silence(client: WebSocketClient, what: str, within: float = 1.0) -> None:
    """Lo siguiente es el cierre con 1008: ni una respuesta antes."""
    mark = len(transcript.entries)
    await client.expect_close(1008, within)
    answers = [entry.text for entry in transcript.entries[mark:] if entry.kind == "ws"]
    if answers:
        raise Mismatch(f"{what}: cierre 1008 sin contestar nada", f"antes contestó {answers[0]}")


async def refused(app: App, tokens: Sequence[tuple[str, str]]) -> None:
    """Ninguno de esos tokens (qué le pasa, cuál es) deja entrar."""
    for what, token in tokens:
        async with app.websocket("/ws", name=what) as client:
            await client.send_json({"type": "auth", "token": token})
            await closes_in_silence(client, what)


@check(
    1,
    "Con un token bueno se entra, y la app sabe quién habla",
    todo=3,
    section=SECTION,
    hints=(
        "authenticate() lee el primer mensaje y devuelve lo que dice verify(); converse() contesta «ready» y atiende.",
        "jwt.decode necesita la audiencia (audience=AUDIENCE): si el token la lleva y no la pides, lo rechaza.",
        "Al «say» se contesta «said» con el usuario del token y el mismo texto, y se espera el siguiente: un bucle.",
        "Si ni siquiera se abre (HTTP 403): sin cabecera Origin no viene de una página, y se acepta (TODO 2).",
    ),
)
async def test_enters(app: App, rng: Random) -> None:
    one, other = someone(rng), someone(rng) + "b"
    async with app.websocket("/ws", name="Ana") as ana, app.websocket("/ws", name="Luis") as luis:
        await enter(ana, one)
        await enter(luis, other, claims(other, exp=math.ceil(time.time()) + rng.randint(100, 999)))
        for _ in range(2):
            await say(ana, one, f"hola {rng.randrange(1000)}")
            await say(luis, other, f"¿qué tal? {rng.randrange(1000)}")


@check(
    2,
    "Caducado, de otro, para otro o incompleto: cierre 1008",
    todo=1,
    points=2,
    needs=("test_enters",),
    section="qué-hay-que-comprobar-de-un-token",
    hints=(
        "El nombre del cliente, en la transcripción, dice qué le pasa al token que ha entrado o que ha roto la app.",
        'Un token sin «exp» no caduca nunca, y PyJWT lo acepta si no le dices que lo exija: options={"require": […]}.',
        "Captura jwt.InvalidTokenError, que es la madre de todos sus errores, y lanza Rejected.",
        'Un token de refresco está bien firmado: lo que lo distingue es claims["type"].',
    ),
)
async def test_bad_tokens(app: App, rng: Random) -> None:
    user, now = someone(rng), math.floor(time.time())
    tokens = [
        ("caducado", signed(claims(user, exp=now - rng.choice([2, HOUR])))),
        ("firmado con otra clave", signed(claims(user), secrets.token_hex(40))),
        ("para otro servicio", signed(claims(user, aud=f"{AUDIENCE}-b"))),
        ("sin exp", signed(claims(user, without="exp"))),
        ("sin sub", signed(claims(user, without="sub"))),
        ("sin aud", signed(claims(user, without="aud"))),
        ("de refresco", signed(claims(user, type="refresh"))),
        ("sin type", signed(claims(user, without="type"))),
        ("con la firma cortada", signed(claims(user)).rpartition(".")[0] + "."),
        ("que no es un JWT", f"eyJ{secrets.token_hex(10)}"),
    ]
    await refused(app, rng.sample(tokens, len(tokens)))


@check(
    3,
    "El algoritmo lo decides tú, no el token",
    todo=1,
    points=2,
    needs=("test_enters",),
    section="el-algoritmo-no-lo-elige-el-token",
    hints=(
        "La cabecera del token la escribe quien lo hace: no es de fiar antes de comprobar la firma.",
        "algorithms= es la lista de los que aceptas tú. Aquí, uno.",
    ),
)
async def test_algorithm(app: App, rng: Random) -> None:
    user = someone(rng)
    tokens = [
        ("sin firma, alg none", signed(claims(user), None, "none")),
        ("firmado con HS512", signed(claims(user), algorithm="HS512")),
        ("firmado con HS384", signed(claims(user), algorithm="HS384")),
    ]
    await refused(app, rng.sample(tokens, len(tokens)))


@check(
    4,
    "Antes de presentarse no se habla",
    todo=3,
    needs=("test_enters",),
    section="el-primer-mensaje",
    hints=(
        "Un primer mensaje que no es un «auth» bien escrito cierra con 1008; que no rompa la app.",
        "Hello.model_validate_json() lanza ValidationError con lo que no es JSON y con lo que no tiene esa forma.",
    ),
)
async def test_first_message(app: App, rng: Random) -> None:
    token = signed(claims(someone(rng)))
    firsts = {
        "no es JSON": "{" + token,
        "no es un objeto": json.dumps([token]),
        "habla sin presentarse": json.dumps({"type": "say", "text": "hola"}),
        "el token no es un texto": json.dumps({"type": "auth", "token": rng.randrange(1000)}),
        "no trae token": json.dumps({"type": "auth"}),
        "el token, en otro tipo de mensaje": json.dumps({"type": "renew", "token": token}),
    }
    for what in rng.sample(sorted(firsts), len(firsts)):
        async with app.websocket("/ws", name=what) as client:
            await client.send(firsts[what])
            await closes_in_silence(client, what)


@check(
    5,
    "Quien no se presenta a tiempo, fuera; quien sí, puede callar",
    todo=3,
    points=2,
    needs=("test_enters",),
    section="el-primer-mensaje",
    hints=(
        "Una conexión que no dice nada ocupa sitio para siempre: el primer mensaje tiene un plazo, AUTH_SECONDS.",
        "El plazo es solo para presentarse: quien ya ha entrado puede callar lo que quiera.",
        "async with asyncio.timeout(AUTH_SECONDS): lanza TimeoutError. Que abarque solo el primer mensaje.",
    ),
)
async def test_auth_deadline(launch: Launch, rng: Random) -> None:
    user, seconds = someone(rng), patience(0.2)
    async with launch(env={"AUTH_SECONDS": str(seconds)}) as app, app.websocket("/ws", name="Ana") as ana:
        await enter(ana, user)
        async with app.websocket("/ws", name="callado") as silent:
            started = time.monotonic()
            await closes_in_silence(silent, "quien no se presenta", within=seconds + 0.5)
            if time.monotonic() - started < seconds * 0.8:
                raise Mismatch(f"que espere AUTH_SECONDS ({seconds:g} s) a que se presente", "ha cerrado antes")
        await say(ana, user, "sigo aquí")


@check(
    6,
    "Solo desde los orígenes de la lista",
    todo=2,
    points=2,
    needs=("test_enters",),
    section="de-dónde-viene-origin",
    hints=(
        "El navegador dice desde qué página se abre el WebSocket: cabecera Origin. Antes de aceptar, compárala.",
        "Compara el origen entero: https://taller.example.malo.example empieza igual que https://taller.example.",
        "Sin Origin no viene de una página: se acepta. Con uno de fuera de la lista, no.",
        "«in» sobre una lista busca un elemento entero; sobre un texto, un trozo cualquiera.",
    ),
)
async def test_origins(app: App, rng: Random) -> None:
    user = someone(rng)
    for origin in (*ORIGINS, None):
        async with app.websocket("/ws", name="Ana", origin=origin) as ana:
            await enter(ana, user)
    good = rng.choice(ORIGINS)
    longer, shorter = [f"{good}.malo.example", f"{good}0", good.replace("://", "://x")], good[:-1]
    foreign = [*longer, shorter, "https://malo.example", "null"]
    for origin in foreign:
        answer = await app.handshake("/ws", headers={"Origin": origin}, name="otra página")
        expect(answer.status, 403, f"la respuesta a un WebSocket abierto desde {origin}")


@check(
    7,
    "Ningún token acaba en el registro",
    todo=3,
    points=2,
    needs=("test_enters",),
    section="el-token-en-la-url",
    hints=(
        "Un token en el registro es una llave copiada: cualquiera que lea el archivo puede entrar con ella.",
        "Busca print() y logger: ni el mensaje entero, ni el token, tampoco cuando se rechaza.",
    ),
)
async def test_not_logged(app: App, rng: Random) -> None:
    user = someone(rng)
    good, newer = claims(user), claims(user, exp=math.ceil(time.time()) + 2 * HOUR)
    bad = signed(claims(user, exp=math.floor(time.time()) - HOUR))
    async with app.websocket("/ws", name="Ana") as ana:
        await enter(ana, user, good)
        await ana.exchange({"type": "renew", "token": signed(newer)}, {"type": "renewed"})
    await refused(app, [("caducado", bad)])
    log = await app.log()
    for what, token in (("bueno", signed(good)), ("de la renovación", signed(newer)), ("caducado", bad)):
        for part in token.split(".")[1:]:
            if part in log:
                raise Mismatch("que ningún token aparezca en la salida de la app", f"está el {what}: …{part[:16]}…")


@check(
    8,
    "Se renueva sin volver a conectar, y solo con un token bueno de la misma persona",
    todo=5,
    points=2,
    needs=("test_enters",),
    section="renovar-sin-cortar",
    hints=(
        "El token nuevo se comprueba igual que el primero: verify().",
        "Renovar no es cambiar de persona: compara el usuario del token nuevo con el que ya estaba.",
    ),
)
async def test_renews(app: App, rng: Random) -> None:
    user, later = someone(rng), math.ceil(time.time()) + 2 * HOUR
    async with app.websocket("/ws", name="Ana") as ana:
        await enter(ana, user)
        await renew(ana, user, later)
        await say(ana, user, "sigo siendo yo")
    bad = {
        "renueva con el token de otra persona": signed(claims(f"{user}b")),
        "renueva con uno caducado": signed(claims(user, exp=math.floor(time.time()) - 2)),
        "renueva con uno de refresco": signed(claims(user, type="refresh")),
        "renueva con uno firmado con otra clave": signed(claims(user), secrets.token_hex(40)),
    }
    for what, token in bad.items():
        async with app.websocket("/ws", name=what) as client:
            await enter(client, user)
            await client.send_json({"type": "renew", "token": token})
            await closes_in_silence(client, what)


@check(
    9,
    "La conexión dura lo que el último token",
    todo=4,
    points=3,
    needs=("test_renews",),
    section="la-conexión-no-vive-más-que-el-token",
    hints=(
        "El token se mira al entrar y la conexión sigue horas después: cuando caduque, hay que cerrarla.",
        "Que se cierre aunque nadie diga nada: no basta con mirar la hora al recibir un mensaje.",
        "Y aunque hable sin parar: el plazo acaba a la hora del token, no un rato después del último mensaje.",
        "Al renovar, el plazo cambia: deadline.reschedule(loop.time() + access.remaining()).",
        "Y cambia también si el nuevo dura menos: vale el último, no el más largo; y desde ahora, no desde el otro.",
    ),
)
async def test_expires(app: App, rng: Random) -> None:
    users = [someone(rng) + letter for letter in "abcd"]
    # Un entero, como pide JWT: entre un tercio de segundo y segundo y un tercio en el futuro.
    expires_at = math.ceil(time.time() + patience(0.35))
    async with (
        app.websocket("/ws", name="callado") as silent,
        app.websocket("/ws", name="hablador") as chatty,
        app.websocket("/ws", name="previsor") as prudent,
        app.websocket("/ws", name="el que acorta") as shortening,
    ):
        later = expires_at + HOUR
        for client, user in zip((silent, chatty, prudent), users[:3], strict=True):
            await enter(client, user, claims(user, exp=expires_at))
        await enter(shortening, users[3], claims(users[3], exp=later))
        await renew(prudent, users[2], later)
        await renew(shortening, users[3], expires_at)
        await asyncio.gather(
            closes_at(silent, expires_at),
            chats_until(chatty, users[1], expires_at),
            closes_at(shortening, expires_at),
        )
        await say(prudent, users[2], "yo renové")


async def renew(client: WebSocketClient, user: str, expires_at: int) -> None:
    token = signed(claims(user, exp=expires_at))
    await client.exchange({"type": "renew", "token": token}, {"type": "renewed", "expires_at": expires_at})


async def closes_at(client: WebSocketClient, moment: float) -> None:
    """Se cierra con 1008 a esa hora: ni antes ni mucho después."""
    await client.expect_close(1008, within=max(moment - time.time(), 0.0) + 0.5)
    if (early := moment - time.time()) > 0.05:
        raise Mismatch("que la conexión dure lo que el token", f"se cierra {early:.2f} s antes de que caduque")


async def chats_until(client: WebSocketClient, user: str, moment: float) -> None:
    """Habla sin parar hasta que lo cierran, que debe ser a esa hora, aunque siga hablando."""
    while time.time() < moment + patience(0.4):
        try:
            await say(client, user, "…")
        except Mismatch:
            if client.connection.close_code is None:
                raise
            return await closes_at(client, moment)
        await asyncio.sleep(0.05)
    raise Mismatch("que se cierre al caducar el token, aunque el cliente hable sin parar", "sigue abierta y contesta")
