"""Reúne las órdenes y traduce cada fallo a una línea clara y un código de salida.

0: todo bien; 1: un control ha fallado; 2: mal uso o un problema del entorno. Solo los TallerError son esperables:
cualquier otra excepción es un error nuestro y se ve entera.

Cada orden importa dentro lo que pesa (FastAPI, los servidores): comprobar un ejercicio no debe esperar por el portal.
"""

import signal
import sys

import click

from taller.cli import author, course, exercises, grading
from taller.cli.output import complain
from taller.cli.spanish import SpanishGroup, usage_error
from taller.errors import TallerError

MISUSE, INTERRUPTED = 2, 130


@click.group(
    cls=SpanishGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--ayuda", "--help"]},
)
@click.option(
    "--puerto",
    "port",
    metavar="N",
    type=click.IntRange(1, 65535),
    help="Puerto del portal; si no, uno libre.",
)
@click.option("--navegador/--sin-navegador", "browser", default=True, help="Abrir el navegador, o no.")
@click.pass_context
def cli(context: click.Context, port: int | None, browser: bool) -> None:
    """Taller de APIs en tiempo real. Sin ninguna orden, abre el curso en el navegador."""
    if context.invoked_subcommand is None:
        course.open_portal(port, browser)


for command in (*exercises.COMMANDS, *course.COMMANDS, *grading.COMMANDS, author.author):
    cli.add_command(command)


def main() -> None:
    # Un SIGTERM limpia igual que Ctrl+C: sin procesos ni carpetas temporales olvidadas.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(run(sys.argv[1:]))


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    each = group.exceptions[0]
    return _first(each) if isinstance(each, BaseExceptionGroup) else each


def run(arguments: list[str]) -> int:
    """Ejecuta una orden y devuelve su código de salida."""
    try:
        result = cli.main(arguments, prog_name="python3 curso.py", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "")
        return MISUSE
    except click.ClickException as error:
        complain(usage_error(error))
        return MISUSE
    except TallerError as error:
        complain(str(error))
        return MISUSE
    except BaseExceptionGroup as group:
        # Lo que falla dentro de varias tareas a la vez llega junto.
        if group.split(TallerError)[1] is not None:
            raise
        complain(str(_first(group)))
        return MISUSE
    except (KeyboardInterrupt, click.Abort):
        complain("Interrumpido.")
        return INTERRUPTED
    except BrokenPipeError:
        # Quien leía la salida (head, less) ya tiene bastante.
        sys.stderr.close()
        return 0
    return result if isinstance(result, int) else 0
