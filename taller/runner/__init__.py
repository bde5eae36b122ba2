"""Arranca apps de estudiantes y no deja nada detrás.

Un proceso caliente (`warm`) ya ha importado FastAPI y hace `fork` en cada ejecución; cada ejecución tiene
un supervisor que la vigila y la limpia (`supervisor`). Donde no hay `fork` (`fresh`) se usa un proceso nuevo.
"""

from taller.runner.run import Address, Exit, LaunchError, Run
from taller.runner.runner import Runner, start_runner

__all__ = ["Address", "Exit", "LaunchError", "Run", "Runner", "start_runner"]
