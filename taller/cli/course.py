"""Órdenes que ponen algo en marcha: el portal, una mini-app, Plaza, servicios, un cuaderno, una clase, las pruebas."""

import asyncio
import os
import subprocess
import sys
import webbrowser
from pathlib import Path

import click
from rich.syntax import Syntax

from taller.catalog import ROOT, CatalogError, Lesson, find_lesson
from taller.cli.output import console, interactive, say
from taller.cli.spanish import SpanishCommand
from taller.demo import demo as running_demo
from taller.livecoding import Step, find_step, go_to, steps, working_copy
from taller.runner import LaunchError

lesson_argument = click.argument("key", metavar="LECCIÓN")
port_option = click.option(
    "--puerto", "port", metavar="N", type=click.IntRange(1, 65535), help="Uno libre si no se dice."
)


def open_portal(port: int | None, browser: bool) -> None:
    """Sirve el curso hasta Ctrl+C y, si se quiere, lo abre en el navegador."""
    from taller.portal import serve_portal

    def on_ready(url: str) -> None:
        say(f"El curso está en {url}  (Ctrl+C para terminar)")
        if browser and interactive():
            webbrowser.open(url)

    asyncio.run(serve_portal(port, on_ready))


@click.command("demo", cls=SpanishCommand)
@lesson_argument
@port_option
def demo(key: str, port: int | None) -> None:
    """Arranca la mini-app de una lección."""
    asyncio.run(_serve_demo(find_lesson(key), port))


async def _serve_demo(lesson: Lesson, port: int | None) -> None:
    async with running_demo(lesson, port) as run:
        assert run.address is not None
        say(f"La mini-app de {lesson.slug[:2]} está en {run.address.http}  (Ctrl+C para terminar)")
        while run.exit is None:
            await run.ended(3600.0)
        last = (run.log.strip().splitlines() or [""])[-1]
        raise LaunchError(f"La mini-app {run.exit}. {last} Repite: python3 curso.py demo {lesson.slug[:2]}")


@click.command("proyecto", cls=SpanishCommand)
@port_option
@click.option("--procesos", "processes", metavar="N", type=click.IntRange(1, 64), default=2, help="Procesos web; 2.")
@click.option("--temporal", "temporary", is_flag=True, help="Con datos que se tiran al terminar.")
@click.option("--demo", "seeded", is_flag=True, help="Con gente, salas y mensajes de ejemplo.")
@click.option("--de", "source", metavar="ORIGEN", default="soluciones", help="soluciones, ejercicios o una carpeta.")
def project(port: int | None, processes: int, temporary: bool, seeded: bool, source: str) -> None:
    """Arranca Plaza entera: sus servidores, sus procesos web y su obrero."""
    from taller.project.plan import DATA, Plan
    from taller.project.serve import serve_project

    plan = Plan(source, port, processes, None if temporary else DATA)
    asyncio.run(serve_project(plan, say, seeded))


@click.command("servicios", cls=SpanishCommand)
def services() -> None:
    """Arranca Valkey, PostgreSQL y un buzón de correo, y dice cómo conectarse."""
    from taller.services import serve_until_stopped

    try:
        asyncio.run(serve_until_stopped(say))
    except KeyboardInterrupt:
        say("Servicios cerrados.")


@click.command("cuaderno", cls=SpanishCommand)
@lesson_argument
@click.option("--ejecutar", "execute", is_flag=True, help="Ejecutarlo entero, sin abrirlo.")
def notebook(key: str, execute: bool) -> int:
    """Abre el cuaderno de una lección en JupyterLab."""
    lesson = find_lesson(key)
    if not lesson.notebook.exists():
        raise CatalogError(f"La lección {key} aún no tiene cuaderno. Mira las lecciones con: python3 curso.py lista")
    if execute:
        command = [
            "-m",
            "jupyter",
            "nbconvert",
            "--to",
            "notebook",
            "--execute",
            "--inplace",
            str(lesson.notebook),
        ]
    else:
        command = ["-m", "jupyter", "lab", "--ip=127.0.0.1", str(lesson.notebook)]
    if hasattr(os, "geteuid") and os.geteuid() == 0 and not execute:
        command.append("--allow-root")
    return subprocess.call([sys.executable, *command], cwd=ROOT)


@click.command("vivo", cls=SpanishCommand)
@lesson_argument
@click.option("--paso", "step", metavar="N", type=int, help="Ponerse al día en ese paso.")
@port_option
def live(key: str, step: int | None, port: int | None) -> int:
    """Programar en directo: un paso, lo que cambia respecto del anterior, y recarga al guardar."""
    lesson = find_lesson(key)
    known = steps(lesson)
    current = find_step(lesson, step or known[0].number)
    folder = working_copy(current)
    if step is not None:
        _go(current, folder)
    _show_step(current, known)
    say(f"\nEdita {(folder / 'vivo.py').relative_to(ROOT)}; al guardar se recarga.")
    if current.number < known[-1].number:
        say(f"Siguiente paso, en otro terminal: python3 curso.py vivo {lesson.slug[:2]} --paso {current.number + 1}")
    command = [sys.executable, "-m", "uvicorn", "vivo:app", "--reload", "--port", str(port or 8000)]
    return subprocess.call([*command, "--reload-dir", str(folder)], cwd=folder)


def _go(step: Step, folder: Path) -> None:
    backup = go_to(step, folder)
    if backup:
        say(f"Lo que había queda en {backup.relative_to(ROOT)}")


def _show_step(step: Step, known: list[Step]) -> None:
    previous = next((other for other in known if other.number == step.number - 1), None)
    console.rule(f"Paso {step.number} de {known[-1].number}")
    say(step.speech)
    console.rule("Lo que cambia")
    changes = step.changes_since(previous)
    console.print(Syntax(changes, "diff", theme="ansi_dark") if interactive() else changes, markup=False)


@click.command(
    "pruebas",
    cls=SpanishCommand,
    context_settings={
        "ignore_unknown_options": True,
        "allow_extra_args": True,
        "help_option_names": ["--ayuda"],
    },
)
@click.pass_context
def tests(context: click.Context) -> int:
    """Ejecuta todas las pruebas del curso (los argumentos van a pytest)."""
    # Esperan mucho, pero cada una arranca servidores de verdad: con más a la vez, unas vencen los plazos de otras.
    at_once = ["-n", str((os.cpu_count() or 1) + 1), "--dist", "loadscope", "--no-loadscope-reorder"]
    status = _pytest(*at_once, *context.args)
    if status == SOME_FAILED:
        say("\nRepito las que han fallado, de una en una y con la máquina para ellas solas.")
        status = _pytest("--last-failed", "--exitfirst", *context.args)
        if status == ALL_PASSED:
            say("Solas, pasan: son inestables cuando la máquina está llena. Arriba dice cuáles y por qué.")
    return status


# Los códigos de salida de pytest.
ALL_PASSED, SOME_FAILED = 0, 1


def _pytest(*arguments: str) -> int:
    return subprocess.call([sys.executable, "-m", "pytest", *arguments], cwd=ROOT)


COMMANDS = (demo, project, notebook, live, services, tests)
