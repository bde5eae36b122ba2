"""Órdenes de quien escribe lecciones: sincronizar, validar, sintomas, estabilidad, mutantes y nueva."""

import asyncio

import click

from taller.authoring.findings import Finding
from taller.catalog import ROOT, Lesson, find_lesson, lessons, select
from taller.checker import Checker
from taller.cli.output import complain, say
from taller.cli.spanish import SpanishGroup
from taller.skeleton import synchronize


@click.group("autor", cls=SpanishGroup, no_args_is_help=True)
def author() -> None:
    """Para quien escribe lecciones."""


@author.command("sincronizar")
@click.argument("key", metavar="[LECCIÓN]", required=False)
def sync(key: str | None) -> None:
    """Rehace los esqueletos y los extractos de los README a partir de su fuente. Pisa `exercises/`."""
    from taller.authoring.excerpts import update_excerpts

    chosen = [find_lesson(key)] if key else lessons()
    for exercise in synchronize([exercise for lesson in chosen for exercise in lesson.exercises]):
        say(f"exercises/{exercise.relative.as_posix()} rehecho")
    for lesson in chosen:
        if update_excerpts(lesson.readme, ROOT):
            say(f"{lesson.readme.relative_to(ROOT).as_posix()} actualizado")
    say("Todo al día. Compruébalo con: python3 curso.py autor validar")


@author.command("validar")
@click.argument("key", metavar="[LECCIÓN]", required=False)
def validate_lessons(key: str | None) -> int:
    """Prueba que cada lección es sólida."""
    from taller.authoring.validate import validate

    chosen = _written(key)
    with Checker.start() as checker:
        checker.wait_warm()
        found = asyncio.run(validate(chosen, checker, say))
    return _report(found, f"{len(chosen)} lecciones, ningún hallazgo.")


@author.command("estabilidad")
@click.argument("which", metavar="[EJERCICIO|LECCIÓN]", required=False)
@click.option("--veces", "times", metavar="N", type=click.IntRange(1), default=20, help="Repeticiones (20).")
def check_stability(which: str | None, times: int) -> int:
    """Ejecuta cada control muchas veces sobre la solución: debe pasar siempre."""
    from taller.authoring.stability import stability

    with Checker.start() as checker:
        checker.wait_warm()
        found = asyncio.run(stability(select(which), checker, times, say))
    return _report(found, "Ningún desacuerdo.")


@author.command("sintomas")
@click.argument("which", metavar="[EJERCICIO|LECCIÓN]", required=False)
def symptoms(which: str | None) -> None:
    """Anota qué se ve al caer en cada variante: así se reconoce en el código de quien la comete."""
    from taller.authoring.symptoms import note_symptoms

    with Checker.start() as checker:
        checker.wait_warm()
        asyncio.run(note_symptoms(select(which), checker, say))


@author.command("mutantes")
@click.argument("which", metavar="[EJERCICIO|LECCIÓN]", required=False)
def mutants(which: str | None) -> None:
    """Cambia mecánicamente cada solución y cuenta cuántos cambios descubren sus controles (tarda)."""
    from taller.authoring.mutation import Score, mutation

    def tell(score: Score) -> None:
        say(str(score))
        for path, mutant in score.survivors:
            say(f"    {path.as_posix()}, {mutant}")

    with Checker.start() as checker:
        checker.wait_warm()
        scores = asyncio.run(mutation(select(which), checker, tell))
    caught, total = sum(score.caught for score in scores), sum(score.total for score in scores)
    say(f"En total: {caught} de {total} ({caught / max(total, 1):.1%})")


@author.command("nueva")
@click.argument("slug", metavar="NN_NOMBRE")
def new(slug: str) -> None:
    """Crea las carpetas de una lección nueva, lista para completar."""
    from taller.authoring.new_lesson import create_lesson

    for path in create_lesson(slug):
        say(f"{path.relative_to(ROOT).as_posix()} creado")
    say(f"Complétala y compruébala con: python3 curso.py autor validar {slug[:2]}")


def _written(key: str | None) -> list[Lesson]:
    chosen = [find_lesson(key)] if key else lessons()
    return [lesson for lesson in chosen if lesson.written or key]


def _report(found: list[Finding], praise: str) -> int:
    for finding in found:
        complain(str(finding))
    if found:
        say(f"{len(found)} hallazgos. Corrígelos y repite: python3 curso.py autor validar")
        return 1
    say(praise)
    return 0
