"""Código con colores: las clases de Pygments que pinta la hoja de estilo del curso."""

from html import escape

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

FORMATTER = HtmlFormatter(nowrap=True)
CONSOLE = ("console", "bash", "sh", "shell")


def highlighted(code: str, language: str = "python") -> str:
    try:
        lexer = get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return escape(code)
    return str(highlight(code, lexer, FORMATTER))


def highlighted_block(code: str, language: str) -> str:
    # Un bloque que se desplaza de lado tiene que poder recibir el foco para moverlo con el teclado.
    if not language or language in CONSOLE:
        kind = ' class="terminal"' if language else ""
        return f'<pre{kind} tabindex="0"><code>{escape(code)}</code></pre>\n'
    return f'<pre class="highlight" tabindex="0"><code>{highlighted(code, language)}</code></pre>\n'
