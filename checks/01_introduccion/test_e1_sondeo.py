"""Controles de 1.1: sondear sin volver a recibir lo que ya se tiene."""

import json
import string
from random import Random

import httpx

from taller.checking import App, Launch, Matching, Mismatch, check, expect

SECTION = "sondear-con-memoria"
TAG = Matching(r'(W/)?"[!#-~]+"', "una etiqueta entre comillas dobles")


def symbol(rng: Random) -> str:
    return "".join(rng.choices(string.ascii_uppercase, k=6))


def price(rng: Random) -> float:
    """Siempre con las mismas cifras: ni el largo ni la cantidad delatan el cambio."""
    return rng.randint(1000, 9999) / 10 + 0.05


async def put(app: App, name: str, value: float) -> None:
    await app.request("PUT", f"/prices/{name}", json={"price": value}, status=204)


async def ask(app: App, *, known: str | None = None, status: int = 200) -> httpx.Response:
    headers = {"If-None-Match": known} if known is not None else {}
    return await app.get("/prices", headers=headers, status=status)


async def current_tag(app: App) -> str:
    tag = (await ask(app)).headers.get("etag")
    expect(tag, TAG, "la cabecera ETag")
    return str(tag)


@check(
    1,
    "Cada respuesta lleva su etiqueta",
    todo=3,
    section=SECTION,
    hints=(
        "La respuesta no trae la cabecera ETag, o su valor no va entre comillas dobles.",
        "Las cabeceras se pasan a Response con headers={…}; las comillas son parte del valor.",
        'headers = {"ETag": tag_of(body), "Cache-Control": "no-cache"}',
    ),
)
async def test_tag(app: App, rng: Random) -> None:
    name, value = symbol(rng), price(rng)
    await put(app, name, value)
    answer = await ask(app)
    expect(answer.json(), {name: value}, "los precios")
    expect(answer.headers.get("etag"), TAG, "la cabecera ETag")


@check(
    2,
    "Deja guardar la respuesta, pero pide que se pregunte antes de usarla",
    todo=3,
    needs=("test_tag",),
    section=SECTION,
    hints=(
        "Mira la cabecera Cache-Control de la respuesta.",
        "no-cache significa «guárdala, pero pregunta»; no-store significa «no la guardes».",
    ),
)
async def test_cache_control(app: App, rng: Random) -> None:
    await put(app, symbol(rng), price(rng))
    value = (await ask(app)).headers.get("cache-control", "")
    directives = {directive.strip().lower() for directive in value.split(",")}
    if "no-cache" not in directives or "no-store" in directives:
        raise Mismatch("Cache-Control: no-cache", f"Cache-Control: {value}" if value else "ninguna Cache-Control")


@check(
    3,
    "A quien ya tiene los precios le contesta 304, con su etiqueta",
    todo=3,
    needs=("test_tag",),
    section=SECTION,
    hints=(
        "El cliente devuelve en If-None-Match la etiqueta que recibió, tal cual, con comillas.",
        "Si is_known(tag, if_none_match), contesta Response(status_code=304, headers=headers).",
        "El 304 lleva las mismas cabeceras que habría llevado el 200: la ETag también.",
    ),
)
async def test_not_modified(app: App, rng: Random) -> None:
    await put(app, symbol(rng), price(rng))
    tag = await current_tag(app)
    for _ in range(2):
        answer = await ask(app, known=tag, status=304)
        expect(answer.headers.get("etag"), tag, "la ETag del 304")


@check(
    4,
    "El 304 no lleva cuerpo, y la conexión sigue sirviendo",
    todo=3,
    needs=("test_not_modified",),
    section=SECTION,
    hints=(
        "Detrás de un 304 el cliente espera ya la respuesta siguiente: si llega un cuerpo, lo toma por ella.",
        "Response(status_code=304, headers=headers), sin contenido.",
    ),
)
async def test_no_body(app: App, rng: Random) -> None:
    await put(app, symbol(rng), price(rng))
    known = f"If-None-Match: {await current_tag(app)}\r\n"
    async with app.raw() as connection:
        for condition, status in ((known, 304), (known, 304), ("", 200)):
            await connection.send(f"GET /prices HTTP/1.1\r\nHost: app\r\n{condition}\r\n".encode())
            first_line = (await connection.read_head()).split(b"\r\n")[0].decode("latin-1")
            if not first_line.startswith(f"HTTP/1.1 {status} "):
                raise Mismatch(f"que lo siguiente en la conexión sea un {status}", first_line)


@check(
    5,
    "La etiqueta cambia con cada cambio y vuelve con los precios de antes",
    todo=1,
    points=2,
    needs=("test_not_modified",),
    section="de-dónde-sale-una-etiqueta",
    hints=(
        "Con precios distintos, la etiqueta ha de ser distinta; con los mismos, la misma.",
        "Un número que solo crece no vuelve atrás cuando los precios vuelven: haz un resumen del cuerpo.",
        "hashlib.sha256(body).hexdigest() depende de cada byte del cuerpo y de nada más.",
    ),
)
async def test_tag_follows_content(app: App, rng: Random) -> None:
    name, first = symbol(rng), price(rng)
    other, second = symbol(rng), round(first + 1, 2)
    # Los mismos números cambiados de sitio: ni el largo ni la suma de los bytes se enteran.
    await put(app, name, second)
    await put(app, other, first)
    swapped = await current_tag(app)
    await put(app, name, first)
    await put(app, other, second)
    original = await current_tag(app)
    if swapped == original:
        raise Mismatch("otra etiqueta cuando dos símbolos se cambian los precios", f"la misma, {original}")
    seen = {original}
    for step in range(1, 5):
        await put(app, name, round(first + step, 2))
        answer = await ask(app, known=original, status=200)
        expect(answer.json().get(name), round(first + step, 2), f"el precio de {name}")
        tag = answer.headers.get("etag")
        if tag in seen:
            raise Mismatch("una etiqueta nueva para precios nuevos", f"otra vez {tag}")
        seen.add(tag)
    await put(app, name, first)
    await ask(app, known=original, status=304)


@check(
    6,
    "Dos procesos con los mismos precios dan la misma etiqueta; con otros, otra",
    todo=1,
    points=2,
    needs=("test_not_modified",),
    section="de-dónde-sale-una-etiqueta",
    hints=(
        "La etiqueta que dio un proceso no le ha valido al otro, aunque sus precios son iguales (o al revés).",
        "Si en ella hay algo del proceso (su hora de arranque, un azar, una cuenta, hash()), no es solo el contenido.",
    ),
)
async def test_same_tag_elsewhere(launch: Launch, rng: Random) -> None:
    # Nacen del mismo proceso, ya caliente, y con la misma semilla de hash(): a quien la use no se le nota aquí. Un
    # intérprete nuevo lo vería, y tarda en arrancar más que todos estos controles.
    board = {symbol(rng): price(rng) for _ in range(3)}
    async with launch(name="app 1") as one, launch(name="app 2") as two:
        for app in (one, two):
            for name in rng.sample(list(board), len(board)):
                await put(app, name, board[name])
        tag = await current_tag(one)
        await ask(two, known=tag, status=304)
        changed = rng.choice(list(board))
        await put(one, changed, round(board[changed] + 1, 2))
        await put(two, changed, round(board[changed] + 2, 2))
        await ask(two, known=await current_tag(one), status=200)


@check(
    7,
    "Entiende listas de etiquetas, el prefijo W/ y el asterisco",
    todo=2,
    points=2,
    needs=("test_not_modified",),
    section=SECTION,
    hints=(
        "If-None-Match puede traer varias etiquetas: separa por comas y quita los espacios.",
        "Un proxy que comprime le pone W/ delante a tu etiqueta: quítaselo antes de comparar.",
        "`*` significa «me vale cualquiera que tengas»: él solo, no dentro de una etiqueta.",
    ),
)
async def test_lists_and_weak(app: App, rng: Random) -> None:
    await put(app, symbol(rng), price(rng))
    tag = (await current_tag(app)).removeprefix("W/")
    others = [json.dumps(symbol(rng)) for _ in range(3)]
    listed = rng.sample([tag, *others], 4)
    for known in (f"W/{tag}", ", ".join(listed), ",".join(f"W/{item}" for item in listed), "*"):
        await ask(app, known=known, status=304)
    # Que se parezcan no basta: una que empieza como la buena, otra que acaba como ella y otra con un asterisco dentro.
    lookalikes = [f'{tag[:-1]}x"', f'"x{tag[1:]}', '"a*b"']
    for unknown in (", ".join(others), f"W/{others[0]}", '""', *lookalikes):
        await ask(app, known=unknown, status=200)
