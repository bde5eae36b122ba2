"""Los plazos del curso están pensados para una máquina desocupada; esto los estira a la vez en una lenta."""

import os


def patience(seconds: float) -> float:
    """El plazo ajustado a esta máquina: `TALLER_PACIENCIA` (por defecto 1) lo multiplica."""
    return seconds * float(os.environ.get("TALLER_PACIENCIA", "1"))
