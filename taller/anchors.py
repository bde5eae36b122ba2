"""Anclas de los encabezados de un Markdown, con las reglas de GitHub: el curso se lee igual allí que en el portal."""

import re
from collections import Counter
from collections.abc import Iterator

HEADING = re.compile(r"^(#{1,6})\s+(?P<text>.+?)\s*#*$")
FENCE = re.compile(r"^\s*(```|~~~)")
LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


def slug(text: str) -> str:
    """`¿Qué son los WebSockets?` → `qué-son-los-websockets`."""
    plain = LINK.sub(r"\1", text).replace("`", "").replace("*", "").strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def headings(markdown: str) -> Iterator[tuple[str, str]]:
    """Los encabezados fuera de los bloques de código, como `(texto, ancla)`; los repetidos se numeran."""
    seen: Counter[str] = Counter()
    fenced = False
    for line in markdown.splitlines():
        if FENCE.match(line):
            fenced = not fenced
        elif not fenced and (match := HEADING.match(line)):
            anchor = slug(match["text"])
            repeated = seen[anchor]
            seen[anchor] += 1
            yield match["text"], f"{anchor}-{repeated}" if repeated else anchor


def anchors(markdown: str) -> set[str]:
    return {anchor for _, anchor in headings(markdown)}
