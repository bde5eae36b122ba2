"""El esquema de la base de datos, versión a versión (Alembic). `python -m plaza.migrations` la pone al día."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from plaza.database import sqlalchemy_url


def upgrade(database_url: str) -> None:
    """Lleva la base a la última versión; si ya está, no hace nada. Varios procesos a la vez no se estorban."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["url"] = sqlalchemy_url(database_url)
    command.upgrade(config, "head")
