"""Regiones con nombre en un archivo: `# region nombre` … `# endregion`.

Las usan los esqueletos (lo que escribe el estudiante) y los extractos de los README. El editor las pliega.
"""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

START = re.compile(r"^(?P<indent>\s*)(?:#|//|/\*|<!--)\s*region\s+(?P<name>.+?)\s*(?:\*/|-->)?$")
END = re.compile(r"^\s*(?:#|//|/\*|<!--)\s*endregion\b")


class RegionError(Exception):
    """Las marcas de región de un archivo no casan."""


@dataclass(frozen=True)
class Region:
    """Una región: `first` y `last` son los índices (desde 0) de sus dos líneas de marca."""

    name: str
    indent: str
    first: int
    last: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """El contenido sin la sangría común y sin las marcas de otras regiones que contenga."""
        kept = [line for line in self.lines if not START.match(line) and not END.match(line)]
        return textwrap.dedent("\n".join(kept)).strip("\n")


def regions(text: str) -> Iterator[Region]:
    """Las regiones de `text`, en el orden en que se cierran; pueden anidarse."""
    lines = text.splitlines()
    opened: list[tuple[re.Match[str], int]] = []
    for index, line in enumerate(lines):
        if start := START.match(line):
            opened.append((start, index))
        elif END.match(line):
            if not opened:
                raise RegionError(f"línea {index + 1}: sobra un «endregion»")
            match, first = opened.pop()
            yield Region(match["name"], match["indent"], first, index, tuple(lines[first + 1 : index]))
    if opened:
        raise RegionError(f"línea {opened[-1][1] + 1}: falta el «endregion» de «{opened[-1][0]['name']}»")


def find_region(text: str, name: str) -> Region:
    for region in regions(text):
        if region.name == name:
            return region
    raise RegionError(f"no hay ninguna región «{name}»")
