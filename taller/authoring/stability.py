"""`taller autor estabilidad`: cada control, muchas veces sobre la solución. Un control inestable es un error."""

from collections import Counter
from collections.abc import Callable, Sequence

from taller.authoring.findings import Finding
from taller.catalog import Exercise, source_folder
from taller.checker import Checker


async def stability(
    exercises: Sequence[Exercise],
    checker: Checker,
    times: int,
    on_progress: Callable[[str], None] = lambda text: None,
) -> list[Finding]:
    """Los controles que alguna de las `times` veces no pasan la solución, con las semillas que lo muestran."""
    found: list[Finding] = []
    for exercise in exercises:
        folder = source_folder("soluciones", exercise.lesson.root)
        disagreements: Counter[str] = Counter()
        evidence: dict[str, str] = {}
        for turn in range(times):
            seed = f"estabilidad-{turn}"
            verdict = await checker.check(exercise, folder, seed=seed)
            if verdict.problem:
                disagreements["todos"] += 1
                evidence["todos"] = f"semilla {seed}: {verdict.problem}"
            for check in verdict.checks:
                if check.status != "passed":
                    disagreements[check.name] += 1
                    evidence[check.name] = f"semilla {seed}: {check.expected} / {check.received}"
        on_progress(f"{exercise.id} {exercise.title}: {times} veces, {disagreements.total()} desacuerdos")
        found += [
            Finding(exercise.id, f"{name} falla {count} de {times} veces; {evidence[name]}")
            for name, count in disagreements.items()
        ]
    return found
