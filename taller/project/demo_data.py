"""La Plaza de ejemplo: quién vive en ella, qué salas tiene y de qué se ha hablado."""

from dataclasses import dataclass

PASSWORD = "plaza-de-ejemplo"
PEOPLE = ("ana", "bruno", "carla", "diego")


@dataclass(frozen=True)
class Room:
    """La primera persona de `people` es quien la crea."""

    name: str
    people: tuple[str, ...]
    private: bool = False


GENERAL = Room("general", PEOPLE)
HELP = Room("ayuda", ("bruno", "ana", "diego"))
TEAM = Room("equipo", ("carla", "ana"), private=True)
ROOMS = (GENERAL, HELP, TEAM)

CONVERSATIONS: dict[Room, tuple[tuple[str, str], ...]] = {
    GENERAL: (
        ("ana", "¡Hola! Esta es la sala de todo el mundo."),
        ("bruno", "Hola, @ana. Ya estoy dentro."),
        ("carla", "¿Alguien mira el tablero? He abierto tres pestañas y se ven las tres."),
        ("ana", "Yo. Cuenta las conexiones de todos los procesos, no solo las del mío."),
        ("diego", "Me he quedado sin red un minuto y al volver no me falta nada."),
        ("carla", "@diego, el cliente guarda por dónde iba y pide lo que le falta."),
        ("bruno", "Prueba a matar un proceso con kill -9. Yo lo he hecho dos veces."),
        ("ana", "Y aquí sigo, con las mismas palabras en el mismo orden."),
    ),
    HELP: (
        ("diego", "¿Cómo menciono a alguien?"),
        ("bruno", "Con una arroba delante de su nombre, @diego. Si no está, le llega un correo."),
        ("ana", "El correo se ve en el buzón: su dirección sale al arrancar."),
        ("diego", "¡Visto! Gracias a los dos."),
    ),
    TEAM: (
        ("carla", "@ana, esta sala es privada: quien no está en ella no sabe ni que existe."),
        ("ana", "Perfecto para planear la merienda."),
    ),
}
