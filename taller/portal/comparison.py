"""Tu archivo junto a la solución, renglón a renglón."""

from collections.abc import Iterator
from difflib import SequenceMatcher
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from taller.catalog import Exercise
from taller.portal.highlight import highlighted
from taller.regions import Region
from taller.skeleton import STARTER, replace_todos, sources, todos

# Lo igual que se enseña a cada lado de una diferencia; lo demás se pliega.
CONTEXT = 3
KINDS = {"+": "added", "-": "removed", " ": "same", "": "same", "@": "gap"}


class Row(NamedTuple):
    """Un renglón de la comparación; `kind` es same, changed o fold (con cuántos se han plegado en `mine`)."""

    kind: str
    my_number: int | None
    mine: str
    its_number: int | None
    its: str


def compare(exercise: Exercise) -> dict[str, list[Row]]:
    """Por cada archivo del ejercicio, sus renglones."""
    return {
        path.as_posix(): list(_rows(_mine(exercise.lesson.root / "exercises" / path), finished(text)))
        for path, text in sources(exercise).items()
    }


def changed_lines(changes: str) -> list[tuple[str, str]]:
    """Unas diferencias en formato unificado: de cada línea, su clase (added, removed, same, gap) y su código."""
    lines = changes.splitlines()
    code = highlighted("\n".join("" if line.startswith("@@") else line[1:] for line in lines)).splitlines()
    return [(KINDS[line[:1]], html) for line, html in zip(lines, code, strict=False)]


def _mine(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def finished(source: str) -> str:
    """Una solución como la habría dejado el estudiante: con sus TODO y sin las marcas del autor."""
    return replace_todos(source, todos(source), _without_marks)


def _without_marks(region: Region) -> list[str]:
    written = [line for line in region.lines if not line.strip().startswith(STARTER)]
    return [f"{region.indent}# {region.name}", *written]


def _rows(mine: str, its: str) -> Iterator[Row]:
    matcher = SequenceMatcher(None, mine.splitlines(), its.splitlines(), autojunk=False)
    my_html, its_html = highlighted(mine).splitlines(), highlighted(its).splitlines()
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "equal":
            yield from _folded(
                [
                    Row("same", i + 1, my_html[i], j + 1, its_html[j])
                    for i, j in zip(range(a, b), range(c, d), strict=True)
                ]
            )
            continue
        for i, j in zip_longest(range(a, b), range(c, d)):
            yield Row(
                "changed",
                None if i is None else i + 1,
                "" if i is None else my_html[i],
                None if j is None else j + 1,
                "" if j is None else its_html[j],
            )


def _folded(rows: list[Row]) -> Iterator[Row]:
    hidden = len(rows) - 2 * CONTEXT
    if hidden <= CONTEXT:
        yield from rows
        return
    yield from rows[:CONTEXT]
    yield Row("fold", None, str(hidden), None, "")
    yield from rows[-CONTEXT:]
