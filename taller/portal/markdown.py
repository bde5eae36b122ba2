"""De los README y enunciados del curso a HTML, con las anclas de GitHub y enlaces que sirven en la página."""

import posixpath
import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from taller.anchors import Heading, anchor_headings
from taller.catalog import Lesson
from taller.portal.highlight import highlighted_block

# Cómo empiezan las llamadas de una lección, y su clase en la hoja de estilo.
CALLOUTS = {"Trampa": "trampa", "Pruébalo": "prueba", "Medida": "medida"}
RELATIVE_SOURCE = re.compile(r'\b(src|srcset)="(?![a-z]+:|/)([^"]+)"')


class Page(NamedTuple):
    html: str
    headings: list[Heading]


def render_statement(text: str) -> str:
    """El enunciado de un ejercicio: Markdown sin HTML dentro."""
    return str(_parser(html=False).render(text))


def render_line(text: str) -> str:
    """Un texto seguido, sin párrafos ni HTML dentro."""
    return str(_parser(html=False).renderInline(text))


def render_lesson(text: str, lesson: Lesson) -> Page:
    parser = _parser(html=True)
    tokens = parser.parse(text)
    headings = list(anchor_headings(tokens))
    _mark_callouts(tokens)
    for token in tokens:
        _fix_addresses(token, lesson)
        for child in token.children or ():
            _fix_addresses(child, lesson)
        if token.children:
            token.children = list(_fix_links(token.children, lesson))
    return Page(str(parser.renderer.render(tokens, parser.options, {})), headings)


def _parser(*, html: bool) -> MarkdownIt:
    options = {"html": html, "highlight": lambda code, language, _: highlighted_block(code, language)}
    parser = MarkdownIt("commonmark", options).enable(["table", "strikethrough"])
    parser.core.ruler.push("figures", _mark_figures)
    return parser


def _mark_figures(state: StateCore) -> None:
    """Las columnas alineadas a la derecha, con una clase: el estilo escrito en la etiqueta lo prohíbe la política."""
    for token in state.tokens:
        if token.type in ("th_open", "td_open") and "right" in str(token.attrs.pop("style", "")):
            token.attrSet("class", "num")


def _mark_callouts(tokens: Sequence[Token]) -> None:
    """Una cita que empieza por una palabra en negrita («**Trampa…**») es una llamada, con su color."""
    for opening, _, inline in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if opening.type == "blockquote_open":
            first_words = "".join(child.content for child in (inline.children or ())[:3])
            kind = next((kind for word, kind in CALLOUTS.items() if first_words.startswith(word)), "nota")
            opening.attrSet("class", kind)


def _fix_addresses(token: Token, lesson: Lesson) -> None:
    """Las imágenes de la carpeta de la lección, por la ruta con la que el portal las sirve."""
    if token.type == "image":
        token.attrSet("src", _image_address(str(token.attrGet("src")), lesson))
    elif token.type in ("html_block", "html_inline"):
        token.content = RELATIVE_SOURCE.sub(
            lambda match: f'{match[1]}="{_image_address(match[2], lesson)}"', token.content
        )


def _image_address(source: str, lesson: Lesson) -> str:
    if urlsplit(source).scheme or source.startswith("/"):
        return source
    path = posixpath.normpath(posixpath.join(lesson.slug, source))
    return f"/{path}" if path.startswith("common/") else f"/files/{path}"


def _fix_links(tokens: Sequence[Token], lesson: Lesson) -> Iterator[Token]:
    closing: list[str] = []
    for token in tokens:
        if token.type == "link_open":
            closing.append(_fix_link(token, lesson))
        elif token.type == "link_close" and (file := closing.pop()):
            token.tag = "span"
            yield token
            yield Token("html_inline", "", 0, content=_file_reference(file))
            continue
        yield token


def _fix_link(token: Token, lesson: Lesson) -> str:
    """Arregla un enlace; si lleva a un archivo del curso, que se abre en el editor, devuelve su ruta."""
    parts = urlsplit(str(token.attrGet("href")))
    if parts.scheme or parts.netloc or not parts.path or parts.path.startswith("/"):
        return ""
    path = posixpath.normpath(posixpath.join("lessons", lesson.slug, unquote(parts.path)))
    if match := re.fullmatch(r"lessons/(\d\d_\w+)(/README\.md)?", path):
        token.attrSet("href", f"/leccion/{match[1]}" + (f"#{parts.fragment}" if parts.fragment else ""))
        return ""
    token.tag, token.attrs = "span", {"class": "file-name"}
    return path


def _file_reference(path: str) -> str:
    shown = escape(path)
    return (
        f' <span class="open-file">(abre este archivo en tu editor: <code>{shown}</code> '
        f'<button type="button" class="small" data-copy="{shown}">Copiar la ruta</button>)</span>'
    )
