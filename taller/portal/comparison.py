"""Tu archivo junto a la solución, renglón a renglón."""

from collections.abc import Iterator
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import NamedTuple

from taller.catalog import Exercise
from taller.portal.highlight import highlighted
from taller.regions import Region
from taller.skeleton import STARTER, replace_todos, todos

# Lo igual que se enseña a cada lado de una diferencia; lo demás se pliega.
CONTEXT = 3


class Row(NamedTuple):
    """Un renglón de la comparación; `kind` es same, changed o fold (con cuántos se han plegado en `mine`)."""

    kind: str
    my_number: int | None
    mine: str
    its_number: int | None
    its: str


def compare(exercise: Exercise) -> list[Row]:
    mine = exercise.student_file.read_text(encoding="utf-8", errors="replace") if exercise.student_file.exists() else ""
    return list(_rows(mine, finished(exercise)))


def finished(exercise: Exercise) -> str:
    """La solución como la habría dejado el estudiante: con sus TODO y sin las marcas del autor."""
    source = exercise.solution_file.read_text(encoding="utf-8")
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
