"""El progreso visto desde el portal: se relee antes de cada cambio, por si el terminal también lo escribe."""

from collections.abc import Callable
from pathlib import Path

from taller.progress import Progress, ProgressError, load_progress


class Ledger:
    """`trouble` es lo que hay que decir en la página; `on_trouble` avisa cuando cambia."""

    def __init__(self, root: Path, on_trouble: Callable[[str], None]) -> None:
        self.root, self.on_trouble = root, on_trouble
        self.trouble = ""
        self._warning = ""
        self._unsaved = False
        self._progress = Progress(root / ".taller" / "progreso.json")

    def read(self) -> Progress:
        self._reload()
        return self._progress

    def update(self, change: Callable[[Progress], object]) -> None:
        """Aplica `change` y lo guarda; si no se puede, vale mientras el portal siga abierto."""
        readable = self._reload()
        change(self._progress)
        if readable:
            self._save()

    def _reload(self) -> bool:
        """Relee el archivo; False si está pero no se deja leer, y entonces tampoco hay que escribirlo."""
        if self._unsaved:
            return True  # releer perdería lo que solo está en la memoria
        try:
            self._progress = load_progress(self.root)
        except ProgressError as error:
            self._say(str(error))
            return False
        self._warning = self._progress.warning or self._warning
        self._say(self._warning)
        return True

    def _save(self) -> None:
        try:
            self._progress.save()
            self._unsaved = False
            self._say(self._warning)
        except ProgressError as error:
            self._unsaved = True
            self._say(str(error))

    def _say(self, trouble: str) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            self.on_trouble(trouble)
