"""Compara un mensaje con lo que dice el enunciado y nombra la diferencia exacta.

En los objetos, los campos de más se aceptan: el enunciado dice lo que debe haber, no lo que sobra.
"""

import json
import re
from dataclasses import dataclass
from typing import Any


class Pattern:
    """Un valor del que el enunciado solo fija la forma."""

    description = "cualquier valor"

    def accepts(self, value: Any) -> bool:
        return True

    def __repr__(self) -> str:
        return f"‹{self.description}›"


ANY = Pattern()


@dataclass(repr=False)
class Matching(Pattern):
    """Un texto que casa entero con una expresión regular; o, sin ella, cualquier texto no vacío."""

    regex: str = r"(?s).+"
    description: str = "un texto"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str) and re.fullmatch(self.regex, value) is not None


@dataclass(repr=False)
class Approx(Pattern):
    """Un número entre dos, ambos incluidos."""

    low: float
    high: float

    @property
    def description(self) -> str:  # type: ignore[override]  # cada intervalo se describe a sí mismo
        return f"un número entre {self.low:g} y {self.high:g}"

    def accepts(self, value: Any) -> bool:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and self.low <= value <= self.high


class OneOf(Pattern):
    """Uno de varios valores (que pueden ser a su vez patrones)."""

    def __init__(self, *options: Any) -> None:
        self.options = options
        self.description = " o ".join(show(option) for option in options)

    def accepts(self, value: Any) -> bool:
        return any(difference(option, value) is None for option in self.options)


def difference(expected: Any, received: Any, where: str = "") -> str | None:
    """La primera diferencia, dicha en una frase; None si `received` cumple `expected`."""
    place = f"en «{where}», " if where else ""
    if isinstance(expected, Pattern):
        return None if expected.accepts(received) else f"{place}{expected!r} y no {show(received)}"
    if isinstance(expected, dict) and isinstance(received, dict):
        return _in_dict(expected, received, where, place)
    if isinstance(expected, list) and isinstance(received, list):
        return _in_list(expected, received, where, place)
    if type(expected) is type(received) and expected == received:
        return None
    return f"{place}{show(expected)} y no {show(received)}"


def _in_dict(expected: dict[str, Any], received: dict[str, Any], where: str, place: str) -> str | None:
    for key, value in expected.items():
        if key not in received:
            return f"{place}el campo «{key}», que falta"
        if found := difference(value, received[key], f"{where}.{key}" if where else key):
            return found
    return None


def _in_list(expected: list[Any], received: list[Any], where: str, place: str) -> str | None:
    if len(expected) != len(received):
        noun = "elemento" if len(expected) == 1 else "elementos"
        return f"{place}{len(expected)} {noun} y no {len(received)}"
    for index, (wanted, got) in enumerate(zip(expected, received, strict=True)):
        if found := difference(wanted, got, f"{where}[{index}]"):
            return found
    return None


def show(value: Any) -> str:
    """Un valor tal como viaja: JSON, con los patrones entre comillas angulares."""
    if isinstance(value, Pattern):
        return repr(value)
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{json.dumps(key, ensure_ascii=False)}: {show(item)}" for key, item in value.items()) + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(show(item) for item in value) + "]"
    try:
        return json.dumps(value, ensure_ascii=False)
    except TypeError:
        return repr(value)
