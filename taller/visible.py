"""Texto ajeno con lo invisible a la vista.

Un escape de terminal, un carácter de control o una marca que cambia el sentido de lectura engañan a quien lee sin
dejarse ver. Aquí se escriben como en Python: `\\x1b`. Los saltos de línea, los tabuladores y las uniones de los emojis
se quedan.
"""

import unicodedata

KEPT = "\n\t\u200d"


def visible(text: str) -> str:
    return text if text.isprintable() else "".join(map(_shown, text))


def one_line(text: str) -> str:
    """Para un terminal o una lista: un salto de línea dentro de un nombre haría pasar por nuestra una línea suya."""
    return visible(" ".join(text.split()))


def _shown(character: str) -> str:
    harmless = character.isprintable() or character in KEPT or unicodedata.category(character) == "Zs"
    return character if harmless else character.encode("unicode_escape").decode("ascii")
