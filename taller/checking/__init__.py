"""Controles de caja negra: qué es un control, con qué habla y cómo se convierte en veredicto.

Esto es todo lo que importa un archivo de `checks/`.
"""

from taller.checking.app import App, Launch, SharedApp
from taller.checking.check import check, expect
from taller.checking.eventually import eventually
from taller.checking.link import Hold, Link, link_to
from taller.checking.lockstep import frozen_after, let_it_go_on
from taller.checking.process import Worker
from taller.checking.rehearsal import Rehearsal
from taller.checking.source import Source
from taller.patience import patience
from taller.wire import ANY, Approx, Matching, Mismatch, OneOf, transcript

__all__ = [
    "ANY",
    "App",
    "Approx",
    "Hold",
    "Launch",
    "Link",
    "Matching",
    "Mismatch",
    "OneOf",
    "Rehearsal",
    "SharedApp",
    "Source",
    "Worker",
    "check",
    "eventually",
    "expect",
    "frozen_after",
    "let_it_go_on",
    "link_to",
    "patience",
    "transcript",
]
