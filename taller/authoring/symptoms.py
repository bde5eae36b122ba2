"""`taller autor sintomas`: anota lo que se ve cuando alguien cae en cada variante."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Iterator

from taller.authoring.exercise import VARIANTS_AT_ONCE, finished, submission
from taller.authoring.findings import Finding
from taller.authoring.variants import Variant, VariantError, variants
from taller.catalog import Exercise
from taller.checker import Checker
from taller.misconceptions import Symptoms, common, symptom, symptoms_file

# Con varias semillas: lo que llega puede depender de ellas.
SEEDS = ("sintoma-1", "sintoma-2", "sintoma-3")
# Qué parte de un síntoma tiene que ser igual cada vez para que sea el mismo.
ENOUGH = 0.5


async def note_symptoms(
    exercises: list[Exercise], checker: Checker, on_progress: Callable[[str], None] = lambda text: None
) -> None:
    for exercise in exercises:
        found = await _symptoms(exercise, checker)
        text = json.dumps(found, ensure_ascii=False, indent=2, sort_keys=True)
        symptoms_file(exercise).write_text(text + "\n", encoding="utf-8")
        on_progress(f"{exercise.id} {exercise.title}: {sum(map(len, found.values()))} síntomas")


async def _symptoms(exercise: Exercise, checker: Checker) -> Symptoms:
    free = asyncio.Semaphore(VARIANTS_AT_ONCE)

    async def seen(variant: Variant) -> list[str]:
        async with free:
            return [text for text in [await _seen(exercise, checker, variant, seed) for seed in SEEDS] if text]

    known = list(variants(exercise))
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for variant, texts in zip(known, await asyncio.gather(*map(seen, known)), strict=True):
        for text in _templates(texts):
            found[variant.caught_by][text].append(variant.says)
    return {check: dict(symptoms) for check, symptoms in found.items()}


def _templates(texts: list[str]) -> list[str]:
    """Lo común a todas las veces o, si apenas se parecen, cada una."""
    if not texts:
        return []
    shared = common(texts)
    return [shared] if len(shared) >= ENOUGH * min(map(len, texts)) else list(dict.fromkeys(texts))


async def _seen(exercise: Exercise, checker: Checker, variant: Variant, seed: str) -> str:
    with submission(exercise, variant.apply(exercise, finished(exercise))) as folder:
        verdict = await checker.check(exercise, folder, seed=seed, only=variant.caught_by)
    return next((symptom(check) for check in verdict.checks if check.name == variant.caught_by), "")


def check_symptoms(exercise: Exercise) -> Iterator[Finding]:
    """Cada variante tiene su síntoma anotado, y no hay anotado ninguno de más."""
    path = symptoms_file(exercise)
    text = path.read_text(encoding="utf-8") if path.exists() else "{}"
    noted = {says for known in json.loads(text).values() for found in known.values() for says in found}
    try:
        wanted = {variant.says for variant in variants(exercise)}
    except VariantError:
        return
    if noted != wanted:
        command = f"python3 curso.py autor sintomas {exercise.lesson.slug[:2]}"
        yield Finding(exercise.id, f"los síntomas de sus variantes no están al día: {command}")
