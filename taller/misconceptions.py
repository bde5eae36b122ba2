"""La confusión que hay detrás de un control fallido, si es de las que ya se han visto.

Cada variante de un ejercicio deja un síntoma en su control: qué se esperaba y qué llegó. `autor sintomas` los anota
junto a los controles, en `symptoms_eN_nombre.json`: control → síntoma → frases que explican las confusiones que lo dan.
En un síntoma, `◊` está en lugar de lo que cambia de una vez a otra.
"""

import json
import re
from difflib import SequenceMatcher
from functools import lru_cache, reduce
from pathlib import Path

from taller.catalog import Exercise
from taller.verdicts import CheckVerdict

Symptoms = dict[str, dict[str, list[str]]]

ANYTHING = "◊"
# Si un síntoma lo dan más confusiones que estas, nombrarlas no ayuda: despista.
MOST = 2
# Cambian siempre, aunque en dos veces hayan coincidido: dónde está un archivo, los números y los identificadores.
VARIABLE = re.compile(r"(?:/[\w.-]+)+\.(?:pyx?|sock)\b|[\w-]*\d[\w.-]*")
TOKEN = re.compile(r"\w+|\W")


def symptom(check: CheckVerdict) -> str:
    """Lo que se ve de un fallo, sin lo que cambia de una máquina a otra ni de una vez a otra."""
    return VARIABLE.sub(ANYTHING, f"{check.expected} | {check.received}")


def common(symptoms: list[str]) -> str:
    """Lo que tienen igual varias veces del mismo fallo."""
    return reduce(_common, symptoms)


def _common(one: str, other: str) -> str:
    a, b = TOKEN.findall(one), TOKEN.findall(other)
    kept: list[str] = []
    reached = (0, 0)
    for block in SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks():
        if (block.a, block.b) != reached:
            kept.append(ANYTHING)
        kept += a[block.a : block.a + block.size]
        reached = (block.a + block.size, block.b + block.size)
    return re.sub(rf"{ANYTHING}+", ANYTHING, "".join(kept))


def misconceptions(exercise: Exercise, check: CheckVerdict) -> list[str]:
    """Las frases que explican lo que seguramente pasa; vacío si no se reconoce."""
    if check.status != "failed":
        return []
    path = symptoms_file(exercise)
    known = _load(path, path.stat().st_mtime).get(check.name, {}) if path.exists() else {}
    seen = symptom(check)
    found = list(dict.fromkeys(says for text, known_as in known.items() if _fits(text, seen) for says in known_as))
    return found if len(found) <= MOST else []


def _fits(text: str, seen: str) -> bool:
    """Si `seen` es `text` con cualquier cosa en cada hueco. Sin expresiones regulares: `seen` puede ser de mala fe."""
    first, *parts = text.split(ANYTHING)
    if not parts:
        return seen == first
    *middle, last = parts
    if not seen.startswith(first):
        return False
    at = len(first)
    for part in middle:
        found = seen.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(seen) - len(last) >= at and seen.endswith(last)


def symptoms_file(exercise: Exercise) -> Path:
    return exercise.check_file.with_name(f"symptoms_{exercise.name}.json")


@lru_cache(maxsize=128)
def _load(path: Path, version: float) -> Symptoms:
    symptoms: Symptoms = json.loads(path.read_text(encoding="utf-8"))
    return symptoms
