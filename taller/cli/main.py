"""Reúne las órdenes y traduce cada fallo a una línea clara y un código de salida.

0: todo bien; 1: un control ha fallado; 2: mal uso o un problema del entorno.
"""

import sys

import click
import typer

from taller.catalog import CatalogError
from taller.cli import author, course, exercises, spanish
from taller.cli.output import complain
from taller.portal import PortalError
from taller.progress import ProgressError
from taller.runner import LaunchError
from taller.services import ServiceError
from taller.skeleton import SkeletonError

FAILED, MISUSE = 1, 2

# Lo que le puede pasar a quien usa el taller; cualquier otra excepción es un error nuestro y se ve entera.
EXPECTED = (CatalogError, LaunchError, PortalError, ProgressError, ServiceError, SkeletonError)

app = typer.Typer(
    name="taller",
    help="Taller de APIs en tiempo real. Sin ninguna orden, abre el curso en el navegador.",
    no_args_is_help=False,
    add_completion=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["--ayuda", "--help", "-h"]},
    pretty_exceptions_enable=False,
)
app.callback(invoke_without_command=True)(course.portal)
for module in (exercises, course):
    module.register(app)
app.add_typer(author.app, name="autor")


def main() -> None:
    spanish.translate()
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Ejecuta una orden y devuelve su código de salida."""
    try:
        result = app(arguments, prog_name="python3 curso.py", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.ctx.get_help() if error.ctx else "")
        return MISUSE
    except click.ClickException as error:
        complain(spanish.usage_error(error))
        return MISUSE
    except EXPECTED as error:
        complain(str(error))
        return MISUSE
    except (KeyboardInterrupt, click.Abort):
        complain("Interrumpido.")
        return 130
    except BrokenPipeError:
        # Quien leía la salida (head, less) ya tiene bastante.
        sys.stderr.close()
        return 0
    return result if isinstance(result, int) else 0
