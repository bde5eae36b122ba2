"""1.1 Sondeo con memoria

Sondear es preguntar una y otra vez. Casi siempre la respuesta es la misma, y volver a enviarla es tirar
bytes. HTTP tiene memoria para esto: el servidor pone a cada respuesta una etiqueta (`ETag`), el cliente la
devuelve en la pregunta siguiente (`If-None-Match`) y, si sigue valiendo, recibe un 304 sin cuerpo.

**`PUT /prices/{symbol}`**, con `{"price": 12.5}`, pone un precio y contesta 204. Ya está escrito.

**`GET /prices`** contesta con todos los precios, por orden alfabético: `{"ACME": 12.5, "ZETA": 3.0}`.

- La respuesta, 200, lleva `ETag: "…"` (entre comillas dobles; lo de dentro lo eliges tú) y
  `Cache-Control: no-cache`: quien la reciba puede guardarla, pero ha de preguntar antes de usarla.
- Si `If-None-Match` contiene la etiqueta de los precios de ahora, contesta 304, con la misma `ETag` y
  sin cuerpo. Si no, 200 como siempre.
- **La etiqueta depende del contenido y de nada más.** Si cambia un precio, cambia; si todos vuelven a ser
  los de antes, vuelve la de antes. Y dos procesos con los mismos precios dan la misma: el cliente no sabe
  a cuál le ha preguntado, ni si el servidor se ha reiniciado entre medias.
- `If-None-Match` puede traer una etiqueta, varias separadas por comas, o `*`, que vale por cualquiera. Cada
  una puede llevar delante `W/` (se lo ponen los proxies que comprimen): para comparar, no cuenta.

Ejemplo:

    GET /prices                          200   ETag: "5f1d…"   {"ACME": 12.5}
    GET /prices
    If-None-Match: "5f1d…"               304   ETag: "5f1d…"
    PUT /prices/ACME {"price": 12.6}     204
    GET /prices
    If-None-Match: "5f1d…"               200   ETag: "a07c…"   {"ACME": 12.6}
"""

import hashlib
import json
from typing import Annotated

from fastapi import FastAPI, Header, Response
from pydantic import BaseModel

app = FastAPI(title="Sondeo con memoria")

prices: dict[str, float] = {}


class Price(BaseModel):
    price: float


@app.put("/prices/{symbol}", status_code=204)
async def set_price(symbol: str, new: Price) -> None:
    prices[symbol] = new.price


def current_body() -> bytes:
    """El cuerpo de la respuesta: los mismos precios dan siempre los mismos bytes."""
    return json.dumps(prices, sort_keys=True).encode()


def tag_of(body: bytes) -> str:
    """La etiqueta de un cuerpo, con sus comillas."""
    # region TODO 1: Que dependa de todo el contenido, y que en otro proceso salga la misma.
    #: return '"precios"'
    return f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    # endregion


def is_known(tag: str, if_none_match: str) -> bool:
    """Si `tag` es una de las etiquetas que el cliente dice tener."""
    # region TODO 2: Ten en cuenta las listas, los prefijos W/ y el asterisco.
    #: return False
    known = [item.strip().removeprefix("W/") for item in if_none_match.split(",")]
    return tag in known or "*" in known
    # endregion


@app.get("/prices")
async def get_prices(if_none_match: Annotated[str, Header()] = "") -> Response:
    body = current_body()
    # region TODO 3: Añade las dos cabeceras y, si el cliente ya tiene estos precios, contesta 304 sin cuerpo.
    #: return Response(body, media_type="application/json")
    tag = tag_of(body)
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if is_known(tag, if_none_match):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)
    # endregion
