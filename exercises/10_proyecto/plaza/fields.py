"""Los tipos de los datos que llegan de fuera: lo que no cumple se rechaza antes de tocar nada."""

from typing import Annotated

from pydantic import AfterValidator, Field

MAX_TEXT = 4000
LARGEST = 2**63 - 1


def _storable(value: str) -> str:
    """PostgreSQL no guarda el carácter NUL; los sustitutos sueltos los rechaza ya Pydantic."""
    if "\0" in value:
        raise ValueError("no puede llevar el carácter NUL")
    return value


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("no puede estar en blanco")
    return value


Id = Annotated[int, Field(ge=1, le=LARGEST)]
Seq = Annotated[int, Field(ge=0, le=LARGEST)]
Username = Annotated[str, Field(pattern=r"^[a-z0-9_]{2,32}$")]
Email = Annotated[str, Field(max_length=254, pattern=r"^[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+\.[^@\s.\x00-\x1f]+$")]
Password = Annotated[str, Field(min_length=8, max_length=200), AfterValidator(_storable)]
Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$"), AfterValidator(_not_blank)]
Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT), AfterValidator(_storable), AfterValidator(_not_blank)]
ClientId = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_storable)]
