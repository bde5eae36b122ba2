"""Lo que puede ir mal al calificar, fuera de las entregas."""

from taller.errors import TallerError


class GradingError(TallerError):
    """No se puede calificar así; el mensaje termina con la orden que lo arregla."""
