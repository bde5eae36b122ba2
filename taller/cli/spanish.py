"""Los textos de click, en español: la ayuda y los errores de uso."""

import re
from typing import Any

import click

HELP = "Mira las órdenes con: python3 curso.py --ayuda"
# Lo que click añade por su cuenta a la descripción de una opción.
ASIDES = {
    r"\[required\]": "[obligatoria]",
    r"\[(\d+)<=x<=(\d+)\]": r"[de \1 a \2]",
    r"\[x>=(\d+)\]": r"[\1 o más]",
}


class SpanishCommand(click.Command):
    """Una orden cuya ayuda se lee en español."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **{"options_metavar": "[OPCIONES]", **attributes})

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, " ".join(self.collect_usage_pieces(ctx)), "Uso: ")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        records = [record for option in options if (record := option.get_help_record(ctx))]
        with formatter.section("Opciones"):
            formatter.write_dl([(names, _aside(text)) for names, text in records])

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        option = super().get_help_option(ctx)
        if option is not None:
            option.help = "Muestra esta ayuda."
        return option


class SpanishGroup(SpanishCommand, click.Group):
    """Un grupo de órdenes; sus órdenes y subgrupos también se leen en español."""

    command_class = SpanishCommand

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **{"subcommand_metavar": "ORDEN …", **attributes})

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_options(ctx, formatter)
        with formatter.section("Órdenes"):
            formatter.write_dl([(name, command.get_short_help_str(90)) for name, command in self.commands.items()])

    def list_commands(self, ctx: click.Context) -> list[str]:
        """En el orden en que se han definido, que es el orden en que se usan."""
        return list(self.commands)


def _aside(text: str) -> str:
    for english, spanish in ASIDES.items():
        text = re.sub(english, spanish, text)
    return text


def usage_error(error: click.ClickException) -> str:
    """Un error de uso en una línea que termina con la orden que ayuda."""
    match error:
        case click.NoSuchOption():
            return f"No existe la opción {error.option_name}. {_help(error)}"
        case click.MissingParameter():
            return f"Falta {_name_of(error)}. {_help(error)}"
        case click.BadParameter():
            return f"El valor de {_name_of(error)} no vale. {_help(error)}"
        case _ if match := re.match(r"No such command '(.+?)'", error.message):
            return f"No existe la orden «{match[1]}». {HELP}"
        case _ if match := re.match(r"Got unexpected extra arguments? \((.+)\)", error.message):
            return f"Sobra «{match[1]}». {_help(error)}"
        case _ if match := re.match(r"Option '(.+?)' requires", error.message):
            return f"A la opción {match[1]} le falta su valor. {_help(error)}"
        case _:
            return f"{error.message} {_help(error)}"


def _name_of(error: click.BadParameter) -> str:
    if error.param is None:
        return "un argumento"
    return error.param.opts[0] if isinstance(error.param, click.Option) else str(error.param.metavar)


def _help(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"Mira cómo se usa con: {context.command_path} --ayuda" if context else HELP
