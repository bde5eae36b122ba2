"""Los textos de click y typer, en español: la ayuda y los errores de uso."""

import re

import click
import typer.rich_utils

HELP = "Mira las órdenes con: python3 curso.py --ayuda"

PANELS = {
    "ARGUMENTS_PANEL_TITLE": "Argumentos",
    "OPTIONS_PANEL_TITLE": "Opciones",
    "COMMANDS_PANEL_TITLE": "Órdenes",
    "DEFAULT_STRING": "[por defecto: {}]",
    "REQUIRED_LONG_STRING": "[obligatorio]",
}

TRANSLATIONS = {"Show this message and exit.": "Muestra esta ayuda.", "Usage:": "Uso:"}


def translate() -> None:
    """Traduce lo que typer imprime por su cuenta; sus rótulos son constantes de módulo."""
    for name, text in PANELS.items():
        setattr(typer.rich_utils, name, text)


def usage_error(error: click.ClickException) -> str:
    """Un error de uso en una línea que termina con la orden que ayuda."""
    match error:
        case click.NoSuchOption():
            hint = f" ¿Querías decir {error.possibilities[0]}?" if error.possibilities else ""
            return f"No existe la opción {error.option_name}.{hint} {_help(error)}"
        case click.MissingParameter():
            name = error.param.human_readable_name if error.param else ""
            return f"Falta {name}. {_help(error)}"
        case click.BadParameter():
            name = error.param.human_readable_name if error.param else ""
            return f"El valor de {name} no vale: {error.message} {_help(error)}"
        case _ if match := re.match(r"No such command '(.+?)'", error.message):
            return f"No existe la orden «{match[1]}». {HELP}"
        case _ if match := re.match(r"Got unexpected extra arguments? \((.+)\)", error.message):
            return f"Sobra «{match[1]}». {_help(error)}"
        case _ if match := re.match(r"Option '(.+?)' requires", error.message):
            return f"A la opción {match[1]} le falta su valor. {_help(error)}"
        case _:
            return f"{error.message} {_help(error)}"


def _help(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"Mira cómo se usa con: {context.command_path} --ayuda" if context else HELP
