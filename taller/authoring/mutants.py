"""Mutantes: cambios mecánicos en lo que escribe el estudiante, para saber cuántos descubren los controles.

Una variante es un error que alguien comete; un mutante, cualquiera: un operador por otro, una constante por la
siguiente, una línea o un `await` de menos. Si lo pasa todo, es un hueco de los controles o un cambio que da lo mismo.
"""

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial

from taller.skeleton import todos

SWAPS: dict[type[ast.AST], tuple[str, str]] = {
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "+"),
    ast.And: ("and", "or"),
    ast.Or: ("or", "and"),
}
REMOVABLE = (ast.Expr, ast.Assign, ast.AugAssign, ast.Raise, ast.Return, ast.Break, ast.Continue, ast.Delete)


@dataclass(frozen=True)
class Mutant:
    """El archivo entero con un cambio; `line` (desde 1), `was` y `became` dicen cuál."""

    line: int
    was: str
    became: str
    source: str

    def __str__(self) -> str:
        return f"línea {self.line}: «{self.was}» → «{self.became}»"


@dataclass(frozen=True)
class Edit:
    """Sustituye por `text` lo que hay entre dos posiciones como las de `ast`: línea desde 1, columna en bytes UTF-8."""

    start: tuple[int, int]
    end: tuple[int, int]
    text: str

    def apply(self, source: str) -> Mutant:
        data = [line.encode() for line in source.splitlines(keepends=True)]
        begin, finish = (sum(map(len, data[: line - 1])) + column for line, column in (self.start, self.end))
        whole = b"".join(data)
        was = " ".join(whole[begin:finish].decode().split())
        return Mutant(self.start[0], was, self.text, (whole[:begin] + self.text.encode() + whole[finish:]).decode())


def mutants(source: str, numbers: Collection[int] | None = None) -> Iterator[Mutant]:
    """Los de las regiones que escribe el estudiante, por su orden; o, de ellas, los de esos TODO."""
    regions = todos(source).items()
    spans = [(each.first + 1, each.last + 1) for number, each in regions if numbers is None or number in numbers]
    found = {
        edit.apply(source)
        for node in ast.walk(ast.parse(source))
        if any(first < getattr(node, "lineno", 0) < last for first, last in spans)
        if isinstance(node, ast.expr | ast.stmt)
        for edit in _edits(node, source)
    }
    yield from sorted((each for each in found if _compiles(each)), key=lambda each: (each.line, each.was, each.became))


def _edits(node: ast.expr | ast.stmt, source: str) -> Iterator[Edit]:
    replace = partial(_replace, node)
    match node:
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in SWAPS:
            yield from _swap(left, op, right, source)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in SWAPS:
            yield from _swap(left, op, right, source)
        case ast.BoolOp(op=op, values=[left, right, *_]):
            yield from _swap(left, op, right, source)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield replace(_text(operand, source))
        case ast.Await(value=value):
            yield replace(_text(value, source))
        case ast.Constant(value=bool() as value):
            yield replace(str(not value))
        case ast.Constant(value=int() | float() as value):
            yield replace(repr(value + 1))
        case ast.stmt() if isinstance(node, REMOVABLE) and not _is_docstring(node):
            yield replace("pass")


def _swap(left: ast.expr, op: ast.AST, right: ast.expr, source: str) -> Iterator[Edit]:
    """El operador está entre sus dos lados, con paréntesis o saltos de línea por medio."""
    old, new = SWAPS[type(op)]
    start, end = (left.end_lineno or 0, left.end_col_offset or 0), (right.lineno, right.col_offset)
    between = _between(start, end, source)
    if between.count(old) == 1:
        yield Edit(start, end, between.replace(old, new))


def _between(start: tuple[int, int], end: tuple[int, int], source: str) -> str:
    data = [line.encode() for line in source.splitlines(keepends=True)]
    begin, finish = (sum(map(len, data[: line - 1])) + column for line, column in (start, end))
    return b"".join(data)[begin:finish].decode()


def _replace(node: ast.expr | ast.stmt, text: str) -> Edit:
    return Edit((node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0), text)


def _text(node: ast.expr, source: str) -> str:
    return ast.get_source_segment(source, node) or ""


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _compiles(mutant: Mutant) -> bool:
    try:
        compile(mutant.source, "mutante", "exec")
    except SyntaxError:
        return False
    return True
