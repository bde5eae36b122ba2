"""Paso 1: el token en la URL.

Di: «El cliente trae un token firmado. Si la firma es buena y no ha caducado, ya sé quién es. Lo pongo en la dirección,
que es lo único que deja poner el WebSocket de un navegador, y si no vale, cierro con 1008.»
Enseña: entra con uno bueno y mira el terminal: el token, entero, en el registro. Prueba uno caducado: el navegador ve
1006, no 1008. Entra con uno sin «exp», con el de otro servicio, y desde otra página: entran todos. Y el que caduca en
cuatro segundos sigue dentro después.
Minutos: 8
Arranca: uvicorn paso_1:app --reload
"""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import jwt
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse

app = FastAPI()


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page.html"))


# region tokens
SECRET = "esta clave es de los pasos de la lección 7, y solo sirve para jugar con ella"
AUDIENCE, ALGORITHM = "taller", "HS256"


@app.get("/tokens/{kind}")
async def make_token(kind: str) -> str:
    """Lo que haría el servicio que firma; y, de paso, lo que haría quien intenta colarse."""
    now = int(time.time())
    changes: dict[str, Any] = {
        "short": {"exp": now + 4},
        "expired": {"exp": now - 60},
        "no_exp": {"exp": None},
        "other_service": {"aud": "facturas"},
        "refresh": {"type": "refresh"},
    }.get(kind, {})
    claims = {"sub": "ana", "aud": AUDIENCE, "exp": now + 600, "type": "access", **changes}
    key = "una clave que no es la de este servicio, sino otra" if kind == "other_key" else SECRET
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, key, algorithm=ALGORITHM)


# endregion


@app.get("/door")
async def door() -> dict[str, bool]:
    """Para la página: si el token va en la URL, y si se puede renovar."""
    return {"in_url": True, "renews": False}


# region puerta
@app.websocket("/ws/{token}")
async def chat(websocket: WebSocket, token: str) -> None:
    try:
        claims = jwt.decode(token, SECRET, algorithms=[ALGORITHM], options={"verify_aud": False})
    except jwt.InvalidTokenError:
        await websocket.close(1008, "token no válido")
        return
    await websocket.accept()
    with suppress(WebSocketDisconnect):
        await websocket.send_json({"type": "ready", "user": claims["sub"]})
        while True:
            message: Any = await websocket.receive_json()
            await websocket.send_json({"type": "said", "user": claims["sub"], "text": message["text"]})


# endregion
