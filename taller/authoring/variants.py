"""Variantes: errores con nombre, escritos como un pequeño cambio sobre la solución.

Cada ejercicio tiene las suyas junto a sus controles, en `variants_eN_nombre.toml`:

    [shared_counter]
    caught_by = "test_own_count"
    says = "Lo que se crea fuera de la función existe una sola vez para todas las conexiones."
    [[shared_counter.changes]]
    find = '''    session = Session()
    '''
    put = ""

En un proyecto, cada cambio dice además en qué archivo: `file = "plaza/hub.py"`.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from taller.catalog import Exercise


class VariantError(Exception):
    """Una variante está mal escrita o no se puede aplicar a la solución."""


@dataclass(frozen=True)
class Change:
    """Un cambio: `find` debe aparecer exactamente una vez en el archivo; se sustituye por `put`."""

    find: str
    put: str
    file: str = ""


@dataclass(frozen=True)
class Variant:
    """Un error con nombre, el control que debe descubrirlo y la frase que lo explica a quien lo comete."""

    name: str
    caught_by: str
    says: str
    changes: tuple[Change, ...]

    def apply(self, exercise: Exercise, sources: dict[Path, str]) -> dict[Path, str]:
        """Los mismos archivos con el error puesto.

        Raises:
            VariantError: un cambio no encuentra su sitio o lo encuentra más de una vez.
        """
        changed = dict(sources)
        for change in self.changes:
            path = Path(exercise.lesson.slug, change.file) if change.file else exercise.relative
            times = changed.get(path, "").count(change.find)
            if times != 1:
                first = change.find.strip().splitlines()[0]
                raise VariantError(f"«{self.name}»: «{first}» aparece {times} veces en la solución, y debe ser una")
            changed[path] = changed[path].replace(change.find, change.put)
        return changed


def variants(exercise: Exercise) -> Iterator[Variant]:
    """Las variantes de un ejercicio, en el orden del archivo."""
    if not exercise.variants_file.exists():
        return
    try:
        data = tomllib.loads(exercise.variants_file.read_text(encoding="utf-8"))
        for name, fields in data.items():
            changes = tuple(Change(**change) for change in fields.pop("changes"))
            yield Variant(name=name, changes=changes, **fields)
    except (tomllib.TOMLDecodeError, TypeError, KeyError, AttributeError) as error:
        raise VariantError(f"{exercise.variants_file.name} está mal escrito: {error}") from error
