"""Órdenes de quien escribe lecciones: sincronizar, validar, estabilidad y nueva."""

import asyncio
from typing import Annotated

import typer

from taller.authoring.excerpts import update_excerpts
from taller.authoring.findings import Finding
from taller.authoring.new_lesson import create_lesson
from taller.authoring.stability import stability
from taller.authoring.validate import validate
from taller.catalog import ROOT, Lesson, exercises, find_lesson, lessons, select
from taller.checking.checker import Checker
from taller.cli.output import complain, say
from taller.skeleton import synchronize

app = typer.Typer(help="Para quien escribe lecciones.", no_args_is_help=True)

Key = Annotated[str | None, typer.Argument(metavar="[LECCIÓN]", help="por ejemplo, 02; nada: todas")]


@app.command("sincronizar")
def sync() -> None:
    """Rehace los esqueletos y los extractos de los README a partir de su fuente. Pisa `exercises/`."""
    for exercise in synchronize(exercises()):
        say(f"exercises/{exercise.relative.as_posix()} rehecho")
    for lesson in lessons():
        if update_excerpts(lesson.readme, ROOT):
            say(f"{lesson.readme.relative_to(ROOT).as_posix()} actualizado")
    say("Todo al día. Compruébalo con: python3 curso.py autor validar")


@app.command("validar")
def validate_lessons(key: Key = None) -> int:
    """Prueba que cada lección es sólida."""
    chosen = _written(key)
    with Checker.start() as checker:
        checker.wait_warm()
        found = asyncio.run(validate(chosen, checker, say))
    return _report(found, f"{len(chosen)} lecciones, ningún hallazgo.")


@app.command("estabilidad")
def check_stability(
    which: Annotated[str | None, typer.Argument(metavar="[EJERCICIO|LECCIÓN]", help="2.1, 02 o nada: todo")] = None,
    times: Annotated[int, typer.Option("--veces", min=1, help="repeticiones de cada control")] = 20,
) -> int:
    """Ejecuta cada control muchas veces sobre la solución: debe pasar siempre."""
    with Checker.start() as checker:
        checker.wait_warm()
        found = asyncio.run(stability(select(which), checker, times, say))
    return _report(found, "Ningún desacuerdo.")


@app.command("nueva")
def new(slug: Annotated[str, typer.Argument(metavar="NN_NOMBRE", help="por ejemplo, 11_webrtc")]) -> None:
    """Crea las carpetas de una lección nueva, lista para completar."""
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
