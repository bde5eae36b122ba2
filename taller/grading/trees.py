"""Los archivos de una entrega, sea una carpeta o un zip, leídos sin fiarse de ella.

No se siguen enlaces simbólicos, no se extrae nada, y todo tiene un tope: cuántos archivos, cuánto pesa cada uno.
"""

import os
import stat
import struct
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Protocol, cast

MOST_ENTRIES = 20_000
MOST_BYTES = 1024 * 1024
MOST_INDEX = 4 * 1024 * 1024
# Lo que no es de quien entrega, y puede pesar mucho.
IGNORED = frozenset({".git", ".venv", "venv", "node_modules", "__pycache__", "__MACOSX", ".taller", ".pytest_cache"})


class TreeError(Exception):
    """La entrega, entera, no se puede leer; el mensaje dice por qué."""


class FileError(Exception):
    """Un archivo no se puede leer; el mensaje completa «e1_eco.py …»."""


class Tree(Protocol):
    """Los archivos de una entrega: sus rutas, y su contenido cuando se pide."""

    def paths(self) -> list[PurePosixPath]: ...

    def read(self, path: PurePosixPath) -> bytes: ...

    def modified_at(self, path: PurePosixPath) -> datetime: ...


class FolderTree:
    def __init__(self, root: Path) -> None:
        self.root = root

    def paths(self) -> list[PurePosixPath]:
        """
        Raises:
            TreeError: hay demasiados.
        """
        found = []
        for path in self._walk():
            found.append(PurePosixPath(path.relative_to(self.root)))
            if len(found) > MOST_ENTRIES:
                raise TreeError(f"Tiene más de {MOST_ENTRIES} archivos: no parece una entrega.")
        return found

    def _walk(self) -> Iterator[Path]:
        """Los archivos y los enlaces, que se nombran para poder decir que no se siguen."""
        pending = [self.root]
        while pending:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if not entry.is_dir(follow_symlinks=False):
                        yield Path(entry.path)
                    elif entry.name not in IGNORED:
                        pending.append(Path(entry.path))

    def read(self, path: PurePosixPath) -> bytes:
        """
        Raises:
            FileError: no es un archivo corriente, o pesa demasiado.
        """
        try:
            descriptor = os.open(self.root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            linked = (self.root / path).is_symlink()
            raise FileError("es un enlace simbólico, y no se sigue" if linked else f"no se lee ({error})") from None
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise FileError("no es un archivo corriente")
            return read_some(stream)

    def modified_at(self, path: PurePosixPath) -> datetime:
        return datetime.fromtimestamp((self.root / path).lstat().st_mtime, UTC)


class ZipTree:
    """Un zip abierto. Sus entradas se leen de una en una, cuando hacen falta."""

    def __init__(self, stream: IO[bytes]) -> None:
        """
        Raises:
            TreeError: no es un zip, o su índice es enorme.
        """
        refuse_big_index(stream)
        try:
            self.zip = zipfile.ZipFile(stream)
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
            raise TreeError(f"No es un zip que se pueda abrir ({error}).") from None
        self.entries = {PurePosixPath(info.filename): info for info in self.zip.infolist() if not info.is_dir()}

    def paths(self) -> list[PurePosixPath]:
        """Las rutas que no salen del zip."""
        return [path for path in self.entries if not path.is_absolute() and not IGNORED.union({".."}) & {*path.parts}]

    def read(self, path: PurePosixPath) -> bytes:
        """
        Raises:
            FileError: no es un archivo corriente, pesa demasiado o está dañado.
        """
        info = self.entries[path]
        if stat.S_ISLNK(info.external_attr >> 16):
            raise FileError("es un enlace simbólico, y no se sigue")
        try:
            with self.zip.open(info) as stream:
                return read_some(stream)
        except FileError:
            raise
        except Exception as error:  # cada compresor tiene los suyos: zlib.error, LZMAError…
            raise FileError(f"no se puede sacar del zip ({error})") from None

    def modified_at(self, path: PurePosixPath) -> datetime:
        try:
            return datetime(*self.entries[path].date_time).astimezone()
        except ValueError:
            return datetime.fromtimestamp(0, UTC)


def read_some(stream: IO[bytes]) -> bytes:
    """
    Raises:
        FileError: pesa más de `MOST_BYTES`.
    """
    data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise FileError(f"pesa más de {MOST_BYTES // 1024} KiB")
    return data


def refuse_big_index(stream: IO[bytes]) -> None:
    """El índice de un zip se lee entero al abrirlo: aquí se mira antes cuánto ocupa."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - 66_000))
    tail = stream.read()
    stream.seek(0)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise TreeError("No es un zip que se pueda abrir.")
    if tail[max(0, at - 20) : at].startswith(b"PK\x06\x07"):
        # Con zip64 las cuentas están en otra parte, y una entrega no lo necesita.
        raise TreeError("Es un zip64: vuelve a comprimirlo con otro programa.")
    entries, index = cast(tuple[int, int], struct.unpack_from("<HI", tail, at + 10))
    if index > MOST_INDEX or entries > MOST_ENTRIES:
        raise TreeError(f"Tiene más de {MOST_ENTRIES} archivos: no parece una entrega.")
