"""El único error que ve quien usa los servicios."""


class ServiceError(Exception):
    """Una frase en español que termina con la orden que hay que escribir a continuación."""
