"""Lo que una sesión de pytest guarda para sus fixtures y sus hooks."""

from collections.abc import Callable

import pytest

from taller.runner import Runner
from taller.verdicts import CheckVerdict

OnVerdict = Callable[[CheckVerdict], None]

RUNNER = pytest.StashKey[Runner]()
ON_VERDICT = pytest.StashKey[OnVerdict]()

# Los controles que ya han pasado.
PASSED = pytest.StashKey[set[str]]()
# Los controles no superados: nombre de la función → número; «launch», si la app no arranca.
FAILED = pytest.StashKey[dict[str, str]]()
