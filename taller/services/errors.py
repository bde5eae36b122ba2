"""El único error que ve quien usa los servicios."""

from taller.errors import TallerError


class ServiceError(TallerError):
    """Una frase en español que termina con la orden que hay que escribir a continuación."""
