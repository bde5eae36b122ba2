"""Lo que le puede pasar a quien usa el taller."""


class TallerError(Exception):
    """Un problema esperable: su mensaje es una frase que termina con la siguiente orden que escribir."""
