"""Una carpeta de la jaula vista desde fuera, sin fiarse de lo que el código de la entrega haya puesto en ella.

Un enlace simbólico llevaría a los archivos de quien califica; una tubería, a esperar para siempre.
"""

import os
import stat
from pathlib import PurePosixPath
from typing import ClassVar

MOST_BYTES = 1024 * 1024


class SharedPath(PurePosixPath):
    """Una ruta que vale dentro de la jaula, con lo que los controles necesitan hacer con ella desde fuera.

    Solo nombra la carpeta compartida (`root` es su ruta y `descriptor` la abre) y lo que cuelga de ella.
    """

    __slots__ = ()
    top: ClassVar[str] = ""
    descriptor: ClassVar[int] = -1

    def exists(self) -> bool:
        try:
            os.close(self._open())
        except OSError:
            return False
        return True

    def mkdir(self, exist_ok: bool = False) -> None:
        try:
            os.mkdir(self._inside(), dir_fd=self.descriptor)
        except FileExistsError:
            if not exist_ok:
                raise
            return
        # Para el usuario de la jaula, que puede ser otro.
        os.chmod(self._inside(), 0o777, dir_fd=self.descriptor)

    def read_text(self, encoding: str = "utf-8") -> str:
        """El principio de un archivo corriente; un OSError si es otra cosa."""
        descriptor = self._open()
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(f"{self.name} no es un archivo corriente")
            return os.pread(descriptor, MOST_BYTES, 0).decode(encoding, "replace")
        finally:
            os.close(descriptor)

    def _inside(self) -> str:
        inside = self.relative_to(self.top)
        if len(inside.parts) > 1 or ".." in inside.parts:
            raise ValueError("solo se mira lo que está a la vista en la carpeta compartida")
        return str(inside)

    def _open(self) -> int:
        return os.open(self._inside(), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self.descriptor)
