"""Dos textos, uno junto a otro, con lo que difiere marcado."""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

from markupsafe import Markup, escape

from taller.verdicts import CheckVerdict
from taller.visible import visible

TOKEN = re.compile(r"\w+|\s+|[^\w\s]")
# Comparar cuesta según el cuadrado de las fichas, y uno de los textos lo ha escrito el estudiante.
MOST_TOKENS = 200
DIFFERENCE = " (se esperaba "


def contrast(check: CheckVerdict) -> tuple[Markup, Markup, str]:
    """Lo esperado, lo recibido, y la diferencia si el control la ha explicado detrás de lo recibido."""
    received, difference = check.received, ""
    if received.endswith(")") and DIFFERENCE in received:
        received, _, rest = received.partition(DIFFERENCE)
        difference = f"se esperaba {rest[:-1]}"
    left, right = TOKEN.findall(visible(check.expected)), TOKEN.findall(visible(received))
    if max(len(left), len(right)) > MOST_TOKENS:
        return escape("".join(left)), escape("".join(right)), difference
    blocks = SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks()
    same_left = {index for block in blocks for index in range(block.a, block.a + block.size)}
    same_right = {index for block in blocks for index in range(block.b, block.b + block.size)}
    return _marked(left, same_left, "missing"), _marked(right, same_right, "extra"), difference


def _marked(tokens: list[str], same: set[int], kind: str) -> Markup:
    """Solo se marca si queda bastante en común: dos frases sin nada que ver se leen mejor lisas."""
    if len(same) < len(tokens) / 3:
        return escape("".join(tokens))
    return Markup("").join(_runs(tokens, same, kind))


def _runs(tokens: list[str], same: set[int], kind: str) -> Iterable[Markup]:
    start = 0
    for index in range(1, len(tokens) + 1):
        if index == len(tokens) or (index in same) != (start in same):
            text = "".join(tokens[start:index])
            yield escape(text) if start in same else Markup('<mark class="{}">{}</mark>').format(kind, text)
            start = index
