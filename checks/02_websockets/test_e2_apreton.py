"""Controles de 2.2: lo que se acuerda antes de que exista el WebSocket."""

import base64
import hashlib
from random import Random

import pytest

from taller.checking import App, Mismatch, check, expect
from taller.checking.logs import last_error

ORIGIN = "https://taller.example"


@pytest.fixture(scope="module")
def subprotocols() -> list[str]:
    return Random().sample(["chat.v1", "chat.v2", "json", "cbor"], 3)


@pytest.fixture(scope="module")
def app_env(subprotocols: list[str]) -> dict[str, str]:
    return {"SUBPROTOCOLS": ",".join(subprotocols), "ALLOWED_ORIGIN": ORIGIN}


def new_key(rng: Random, size: int = 16) -> str:
    return base64.b64encode(rng.randbytes(size)).decode()


def request(key: str | None, version: str | None = "13", offered: list[str] | None = None) -> dict[str, str]:
    headers = {"Sec-WebSocket-Key": key, "Sec-WebSocket-Version": version}
    if offered:
        headers["Sec-WebSocket-Protocol"] = ", ".join(offered)
    return {name: value for name, value in headers.items() if value is not None}


@check(
    1,
    "Calcula Sec-WebSocket-Accept como dice la especificación",
    todo=1,
    section="2-la-respuesta",
    hints=(
        "Son tres pasos: la clave con el GUID detrás, su SHA-1, y esos 20 bytes en base64 (28 caracteres).",
        "La clave se usa tal como llegó, sin descodificar; y base64 escribe bytes: usa .digest(), no .hexdigest().",
        "base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()",
    ),
)
async def test_accept_value(app: App, rng: Random) -> None:
    key = new_key(rng)
    digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    answer = await app.get("/handshake", headers=request(key), status=200)
    expect(answer.json().get("accept"), base64.b64encode(digest).decode(), "accept")
    example = await app.get("/handshake", headers=request("dGhlIHNhbXBsZSBub25jZQ=="), status=200)
    expect(example.json().get("accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "accept, para la clave del RFC 6455")


@check(
    2,
    "Exige una clave de 16 bytes en base64",
    todo=2,
    section="1-el-apretón-de-manos",
    hints=(
        "is_nonce ya sabe decir si una clave vale: úsala en check_request.",
        "Una clave que falta es None: compruébalo antes de llamar a is_nonce.",
    ),
)
async def test_key_is_checked(app: App, rng: Random) -> None:
    for wrong in rng.sample([None, "", "¡hola!".encode().hex(), new_key(rng, 8), new_key(rng, 20), "*" * 24], 6):
        await app.get("/handshake", headers=request(wrong), status=400)
    await app.get("/handshake", headers=request(new_key(rng)), status=200)


@check(
    3,
    "Exige la versión 13 y dice cuál habla",
    todo=2,
    section="1-el-apretón-de-manos",
    hints=(
        "Sin versión, 400: la petición está incompleta. Con otra versión, 426: podría volver a intentarlo.",
        "HTTPException acepta headers={…}: di ahí qué versión hablas.",
    ),
)
async def test_version_is_checked(app: App, rng: Random) -> None:
    await app.get("/handshake", headers=request(new_key(rng), version=None), status=400)
    for other in rng.sample(["7", "8", "12", "14", "130"], 3):
        answer = await app.get("/handshake", headers=request(new_key(rng), version=other), status=426)
        expect(answer.headers.get("sec-websocket-version"), "13", "la cabecera Sec-WebSocket-Version del 426")
    await app.get("/handshake", headers=request(new_key(rng)), status=200)


@check(
    4,
    "Elige el subprotocolo por su orden de preferencia",
    todo=3,
    section="subprotocolos",
    hints=(
        "Recorre tu lista, no la del cliente: el primero tuyo que él también hable.",
        "Si no hay ninguno en común la respuesta es None, que en JSON es null.",
    ),
)
async def test_preference(app: App, rng: Random, subprotocols: list[str]) -> None:
    best, second, third = subprotocols
    for offered, chosen in (
        ([third, second, best], best),
        (["soap", third, second], second),
        ([third], third),
        (["soap", best.upper()], None),
        ([f"{best}0", f"x{second}"], None),
        ([], None),
    ):
        answer = await app.get("/handshake", headers=request(new_key(rng), offered=offered), status=200)
        expect(
            answer.json().get("subprotocol", "falta"),
            chosen,
            f"subprotocol cuando el cliente ofrece {offered}",
        )


@check(
    5,
    "Acepta el WebSocket con el subprotocolo acordado, o sin ninguno",
    todo=4,
    points=2,
    section="subprotocolos",
    hints=(
        "Si /ws contesta 403 aunque no haya ningún Origin, mira antes el control 6.",
        "websocket.accept(subprotocol=…) lo pone en la respuesta; con None, no pone ninguno.",
        "Un subprotocolo que el cliente no ofreció le obliga a cortar: no lo pongas por tu cuenta.",
    ),
)
async def test_real_negotiation(app: App, rng: Random, subprotocols: list[str]) -> None:
    best, second, third = subprotocols
    for offered, chosen in (([third, second], second), ([third, best], best), (["soap"], None), (None, None)):
        async with app.websocket("/ws", subprotocols=offered) as client:
            expect(client.subprotocol, chosen, f"el subprotocolo de la respuesta si se ofrece {offered}")
            await client.expect({"type": "welcome", "subprotocol": chosen})


@check(
    6,
    "Rechaza otros orígenes con HTTP 403, antes de abrir",
    todo=4,
    points=2,
    section="rechazar-antes-de-aceptar-o-cerrar-después",
    hints=(
        "Si cierras antes de aceptar, uvicorn contesta HTTP 403; si aceptas y luego cierras, ya has contestado 101.",
        "Compara el origen entero: «empieza por» deja pasar https://taller.example.malo.example",
        "Las peticiones sin Origin no vienen de una página: acéptalas.",
    ),
)
async def test_foreign_origin(app: App, rng: Random) -> None:
    foreign = [
        f"{ORIGIN}.malo.example",
        ORIGIN[:-1],
        "https://malo.example",
        "null",
        ORIGIN.replace("https", "http"),
        f"{ORIGIN}:8443",
    ]
    for origin in rng.sample(foreign, len(foreign)):
        answer = await app.handshake("/ws", headers={"Origin": origin})
        if answer.status != 403:
            raise Mismatch(f"HTTP 403 para el origen {origin}", f"HTTP {answer.status}")
    for headers in ({"Origin": ORIGIN}, {}):
        answer = await app.handshake("/ws", headers=headers)
        if answer.status != 101:
            raise Mismatch(f"HTTP 101 con {headers or 'ningún Origin'}", f"HTTP {answer.status}")


@check(
    7,
    "Se queda hasta que el cliente se va, y eso no deja una traza",
    todo=4,
    needs=("test_real_negotiation",),
    section="qué-son-los-websockets",
    hints=(
        "Cuando la función termina, la conexión se corta: lee en un bucle aunque no hagas nada con lo que llega.",
        "Que el cliente se vaya llega como WebSocketDisconnect: es el final normal, captúrala.",
    ),
)
async def test_stays_until_the_client_leaves(app: App, rng: Random) -> None:
    written_before = len(await app.log())
    async with app.websocket("/ws", name="Ana") as ana:
        await ana.receive_json(expecting="el mensaje «welcome»")
        for _ in range(3):
            await ana.send("hola")
        await ana.expect_open()
        await ana.abort()
    async with app.websocket("/ws", name="Luis") as luis:
        await luis.receive_json(expecting="el mensaje «welcome»")
        await luis.expect_open()
    if error := last_error((await app.log())[written_before:], app.folder):
        raise Mismatch("que la app no escriba ninguna traza", f"una traza de {error}")
