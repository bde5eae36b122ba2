"""La orden que pone al día la base de datos antes de un despliegue."""

from plaza.migrations import upgrade
from plaza.settings import Settings

upgrade(Settings.load().database_url)
