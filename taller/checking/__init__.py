"""Controles de caja negra: qué es un control, con qué habla y cómo se convierte en veredicto.

Esto es todo lo que importa un archivo de `checks/`.
"""

from taller.checking.app import App, Launch
from taller.checking.check import check, expect
from taller.checking.lockstep import frozen_after, let_it_go_on
from taller.checking.process import Worker
from taller.checking.source import Source
from taller.patience import patience
from taller.wire import ANY, Approx, Matching, Mismatch, OneOf, transcript

__all__ = [
    "ANY",
    "App",
    "Approx",
    "Launch",
    "Matching",
    "Mismatch",
    "OneOf",
    "Source",
    "Worker",
    "check",
    "expect",
    "frozen_after",
    "let_it_go_on",
    "patience",
    "transcript",
]
