"""Los encabezados de un Markdown y sus anclas, con las reglas de GitHub: se lee igual allí que en el portal."""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token


class Heading(NamedTuple):
    level: int
    text: str
    anchor: str


def github_anchor(text: str) -> str:
    """`¿Qué son los WebSockets?` → `qué-son-los-websockets`: minúsculas, guiones y sin signos, con sus acentos."""
    kept = (char for char in text.strip().lower() if char in "-_ " or unicodedata.category(char)[0] in "LNM")
    return "".join(kept).replace(" ", "-")


def anchor_headings(tokens: Sequence[Token]) -> Iterator[Heading]:
    """Los encabezados de un Markdown ya analizado; a cada uno le pone su `id`. Los repetidos se numeran."""
    used: Counter[str] = Counter()
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            text = "".join(child.content for child in inline.children or ())
            anchor = github_anchor(text)
            repeated, used[anchor] = used[anchor], used[anchor] + 1
            anchor += f"-{repeated}" if repeated else ""
            opening.attrSet("id", anchor)
            yield Heading(int(opening.tag[1]), text, anchor)


def anchors(markdown: str) -> set[str]:
    """Las anclas a las que se puede enlazar en un Markdown."""
    return {heading.anchor for heading in anchor_headings(MarkdownIt("commonmark").parse(markdown))}
