"""De quién es cada fila de una planilla: por correo, por identificador, por usuario o por nombre completo.

Moodle y Canvas ponen el identificador en el nombre de lo que se descarga (`Ana López_1234_assignsubmission_file`,
`lopezana_1234_5678_entrega.zip`). Ante la duda no se empareja: una nota en la fila de otro es peor que ninguna.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from taller.grading.results import Grade

# De la señal más segura a la menos.
KINDS = ("email", "id", "name", "user")
EMAIL = re.compile(r"[^\s@<>,;]+@[^\s@<>,;]+")
# «1234», o como lo escribe Moodle en cualquier idioma: «Participante 1234».
IDENTIFIER = re.compile(r"[^\W\d]*\s*(\d+)", re.UNICODE)


@dataclass(frozen=True)
class Matches:
    """`pairs`: fila → entrega. Lo demás, con su razón, es para quien revisa."""

    pairs: dict[int, Grade]
    rows_alone: list[int]
    grades_alone: list[tuple[Grade, str]]


def match(rows: dict[int, list[str]], grades: list[Grade]) -> Matches:
    """`rows` son las celdas que dicen de quién es cada fila."""
    index: dict[tuple[str, str], set[int]] = defaultdict(set)
    for number, cells in rows.items():
        for identity in _row_identities(cells):
            index[identity].add(number)
    wanted = {grade.key: _find(grade, index) for grade in grades}
    claims: dict[int, list[Grade]] = defaultdict(list)
    alone: list[tuple[Grade, str]] = []
    for grade in grades:
        found = wanted[grade.key]
        if len(found) == 1:
            claims[min(found)].append(grade)
        else:
            alone.append((grade, f"le corresponden {len(found)} filas" if found else "no está en la planilla"))
    pairs = {number: claiming[0] for number, claiming in claims.items() if len(claiming) == 1}
    for claiming in claims.values():
        if len(claiming) > 1:
            alone += [(grade, f"hay {len(claiming)} entregas para su fila") for grade in claiming]
    return Matches(pairs, [number for number in rows if number not in claims], alone)


def _find(grade: Grade, index: dict[tuple[str, str], set[int]]) -> set[int]:
    """La única fila de la señal más segura que tenga una sola; si ninguna la tiene, todas las posibles."""
    possible: set[int] = set()
    identities = list(_grade_identities(grade))
    for kind in KINDS:
        found = {number for identity in identities if identity[0] == kind for number in index.get(identity, ())}
        if len(found) == 1:
            return found
        possible |= found
    return possible


def _row_identities(cells: list[str]) -> Iterator[tuple[str, str]]:
    for cell in cells:
        yield from _identities(cell)
    # El nombre y los apellidos pueden ir en dos columnas seguidas.
    for first, second in pairwise(cells):
        if first.strip() and second.strip():
            yield "name", plain_name(f"{first} {second}")


def _grade_identities(grade: Grade) -> Iterator[tuple[str, str]]:
    key = re.sub(r"\.(zip|tar|tgz|gz)$", "", grade.key, flags=re.IGNORECASE)
    for whole in dict.fromkeys((key, grade.student)):
        yield from _identities(whole)
    parts = key.split("_")
    yield from _identities(parts[0])
    # Detrás del de la persona puede ir el de la entrega, que no dice de quién es.
    yield from (("id", part.lstrip("0")) for part in [part for part in parts if part.isdecimal()][:1])


def _identities(text: str) -> Iterator[tuple[str, str]]:
    text = text.strip()
    for address in EMAIL.findall(text):
        yield "email", address.casefold()
        yield "user", plain_name(address.partition("@")[0])
    if found := IDENTIFIER.fullmatch(text):
        yield "id", found[1].lstrip("0")
    if name := plain_name(text):
        yield "name", name


def plain_name(text: str) -> str:
    """Sin acentos, signos, mayúsculas ni orden: «López, Ana» es «ana lopez»."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(character for character in decomposed if not unicodedata.combining(character))
    return " ".join(sorted(re.findall(r"[^\W_]+", letters)))
