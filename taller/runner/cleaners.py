"""Procesos que acaban solos cuando se quedan sin dueño, y antes borran lo que este dejó fuera de su carpeta.

El vigilante de los servicios borra los datos de PostgreSQL; el de multiprocessing, sus semáforos. A los demás procesos
de una ejecución se los mata; a estos se les deja acabar.
"""

CLEANERS = ("services/supervisor.py", "multiprocessing.resource_tracker")


def cleans(command: str) -> bool:
    """Si la orden con que se arrancó un proceso es la de uno de ellos."""
    return any(name in command.replace("\\", "/") for name in CLEANERS)
