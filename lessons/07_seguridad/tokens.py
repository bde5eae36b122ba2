"""Los tokens de la mini-app: uno bueno y todos los que alguien podría traer en su lugar."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jwt

SECRET = os.environ.get("SECRET", "esta clave es de la lección 7 y solo sirve para jugar con ella, así de larga")
AUDIENCE = "taller"
ALGORITHM = "HS256"
MINUTES = 10
SHORT_SECONDS = 4

Kind = Literal[
    "good",
    "short",
    "expired",
    "other_key",
    "none",
    "hs512",
    "other_service",
    "no_exp",
    "no_sub",
    "refresh",
    "other_user",
]


@dataclass(frozen=True)
class Forgery:
    """Cómo se hace un token: qué cambia del contenido de uno bueno, con qué clave y con qué algoritmo se firma."""

    changes: Callable[[float], dict[str, Any]] = lambda now: {}
    key: str | None = SECRET
    algorithm: str = ALGORITHM


FORGERIES: dict[Kind, Forgery] = {
    "good": Forgery(),
    "short": Forgery(lambda now: {"exp": int(now) + SHORT_SECONDS}),
    "expired": Forgery(lambda now: {"exp": int(now) - 60}),
    "other_key": Forgery(key="otra clave, la de quien quiere entrar sin que nadie se la haya dado"),
    "none": Forgery(key=None, algorithm="none"),
    "hs512": Forgery(algorithm="HS512"),
    "other_service": Forgery(lambda now: {"aud": "facturas"}),
    "no_exp": Forgery(lambda now: {"exp": None}),
    "no_sub": Forgery(lambda now: {"sub": None}),
    "refresh": Forgery(lambda now: {"type": "refresh", "exp": int(now) + 30 * 24 * 3600}),
    "other_user": Forgery(lambda now: {"sub": "luis"}),
}


def make(kind: Kind) -> str:
    """Un token recién hecho de esa clase; `None` en un cambio quita el campo."""
    now, forgery = time.time(), FORGERIES[kind]
    content = {"sub": "ana", "aud": AUDIENCE, "exp": int(now) + MINUTES * 60, "type": "access", **forgery.changes(now)}
    content = {name: value for name, value in content.items() if value is not None}
    return jwt.encode(content, forgery.key, algorithm=forgery.algorithm)
