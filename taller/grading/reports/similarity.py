"""Parejas de entregas que se parecen más de lo que explican el código que da el curso y lo que escriben muchos.

Cada archivo se reduce a sus fichas: todos los nombres son iguales entre sí, y los números y los textos también; los
comentarios y los espacios no cuentan. Se comparan sus secuencias de `GRAM` fichas. Es un indicio para mirar, no un
veredicto. Las fichas las saca una expresión regular y no el analizador de Python: vale igual para un archivo roto, y
tarda según lo que ocupe.
"""

import functools
import keyword
import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

from taller.grading.results import Grade

GRAM = 12
# Menos secuencias propias que estas no dicen nada: son unas pocas líneas.
LEAST_OWN = 20
LEAST_SHARE = 0.6
# Lo que comparte más de esta parte de la clase (y al menos tres entregas) es una forma corriente de hacerlo.
COMMON_PART = 0.2
COMMON_LEAST = 3
LONGEST_FILE = 64 * 1024
MOST_PAIRS = 40

# Un texto sin cerrar llega hasta el final: así no se vuelve sobre lo mirado, ni en un archivo hecho para hacer daño.
STRING = r"""
    [rbfuRBFU]{0,2} (?: \"{3} (?:\\.|[^\\])*? (?:\"{3}|\Z) | '{3} (?:\\.|[^\\])*? (?:'{3}|\Z)
                      | \" (?:\\.|[^\"\\\n])* \"? | ' (?:\\.|[^'\\\n])* '? )
"""
TOKEN = re.compile(
    rf"(?P<comment>\#[^\n]*) | (?P<string>{STRING}) | (?P<number>\d[\w.]*) | (?P<name>[^\W\d]\w*) | [^\w\s]",
    re.DOTALL | re.VERBOSE,
)


@dataclass(frozen=True)
class Tokens:
    """Las fichas de un archivo, dónde empieza cada una y sus secuencias."""

    text: str
    starts: list[int]
    grams: list[int]

    def lines(self, first: int, last: int) -> tuple[int, int]:
        """De qué línea a qué línea va lo que cubren las secuencias `first` a `last`."""
        ends = [match.end() for match in re.finditer("\n", self.text)]
        return bisect_right(ends, self.starts[first]) + 1, bisect_right(ends, self.starts[last + GRAM - 1]) + 1


@dataclass(frozen=True)
class Region:
    """Un trozo compartido: sus líneas en cada lado, y su texto."""

    left_lines: tuple[int, int]
    left: str
    right_lines: tuple[int, int]
    right: str


@dataclass(frozen=True)
class SharedFile:
    """Un archivo que se parece: `share` es la parte propia del más corto que está también en el otro."""

    path: str
    share: float
    identical: bool
    weight: int
    regions: list[Region]


@dataclass(frozen=True)
class Pair:
    left: Grade
    right: Grade
    files: list[SharedFile]

    @property
    def weight(self) -> int:
        return sum(shared.weight for shared in self.files)


def similar_pairs(grades: list[Grade], given: Iterable[str]) -> list[Pair]:
    """Las parejas, de la que más comparte a la que menos; `given` es el código que da el curso."""
    known = {gram for text in given for gram in tokens(text).grams}
    by_key = {grade.key: grade for grade in grades}
    found: dict[tuple[str, str], list[SharedFile]] = defaultdict(list)
    for path in sorted({path for grade in grades for path in grade.files}):
        texts = {grade.key: grade.files[path] for grade in grades if path in grade.files}
        for keys, shared in _similar_files(path, texts, known):
            found[keys].append(shared)
    pairs = [Pair(by_key[left], by_key[right], files) for (left, right), files in found.items()]
    return sorted(pairs, key=lambda pair: (-pair.weight, pair.left.key, pair.right.key))[:MOST_PAIRS]


# Muchas entregas traen iguales los archivos que no han tocado.
@functools.lru_cache(256)
def tokens(text: str) -> Tokens:
    text = text[:LONGEST_FILE]
    found = [match for match in TOKEN.finditer(text) if match.lastgroup != "comment"]
    kinds = [_kind(match) for match in found]
    grams = [hash(tuple(kinds[index : index + GRAM])) for index in range(len(kinds) - GRAM + 1)]
    return Tokens(text, [match.start() for match in found], grams)


def _kind(match: re.Match[str]) -> str:
    if match.lastgroup == "name" and keyword.iskeyword(match[0]):
        return match[0]
    return match.lastgroup or match[0]


def _similar_files(path: str, texts: dict[str, str], known: set[int]) -> Iterator[tuple[tuple[str, str], SharedFile]]:
    files = {key: tokens(text) for key, text in texts.items()}
    users = Counter(gram for file in files.values() for gram in set(file.grams))
    most = max(COMMON_LEAST, COMMON_PART * len(files))
    own = {
        key: {gram for gram in file.grams if gram not in known and users[gram] <= most} for key, file in files.items()
    }
    for (left, right), shared in _shared_counts(own).items():
        least = min(len(own[left]), len(own[right]))
        if least >= LEAST_OWN and shared / least >= LEAST_SHARE:
            regions = list(_regions(files[left], files[right], own[left] & own[right]))
            identical = texts[left] == texts[right]
            yield (left, right), SharedFile(path, shared / least, identical, shared, regions)


def _shared_counts(own: dict[str, set[int]]) -> Counter[tuple[str, str]]:
    """Cuántas secuencias comparte cada pareja. Ninguna la tienen muchos, así que no hay que cruzar toda la clase."""
    holders: dict[int, list[str]] = defaultdict(list)
    for key, grams in own.items():
        for gram in grams:
            holders[gram].append(key)
    return Counter(pair for keys in holders.values() for pair in combinations(keys, 2))


def _regions(left: Tokens, right: Tokens, shared: set[int]) -> Iterator[Region]:
    """Los trozos más largos con las mismas fichas, en el orden de la izquierda aunque a la derecha cambien de sitio."""
    places: dict[int, int] = {}
    for index, gram in enumerate(right.grams):
        places.setdefault(gram, index)
    first = 0
    while first < len(left.grams):
        gram = left.grams[first]
        length = _run(left.grams[first:], right.grams[places[gram] :], shared) if gram in shared else 0
        if length:
            yield _region(left, first, right, places[gram], length)
        first += max(length, 1)


def _run(left: list[int], right: list[int], shared: set[int]) -> int:
    """Cuántas secuencias son iguales desde el principio, hasta la última que cuenta."""
    length = 0
    for index, (gram, other) in enumerate(zip(left, right, strict=False), 1):
        if gram != other:
            break
        length = index if gram in shared else length
    return length


def _region(left: Tokens, first: int, right: Tokens, start: int, length: int) -> Region:
    here = left.lines(first, first + length - 1)
    there = right.lines(start, start + length - 1)
    return Region(here, _excerpt(left.text, here), there, _excerpt(right.text, there))


def _excerpt(text: str, lines: tuple[int, int]) -> str:
    return "\n".join(text.split("\n")[lines[0] - 1 : lines[1]])
