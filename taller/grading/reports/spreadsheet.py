"""Hojas de cálculo en CSV: las nuestras y las que exporta una plataforma, que vuelven como vinieron.

Una celda que empieza por «=» es una fórmula para quien abra el archivo, y un nombre o un mensaje los escribe
cualquiera: delante de lo que podría serlo va un apóstrofo.
"""

import codecs
import csv
import io
from dataclasses import dataclass
from pathlib import Path

from taller.errors import TallerError
from taller.visible import visible

# También las de ancho doble, que algunas hojas de cálculo entienden igual.
FORMULA_STARTS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
DELIMITERS = ",;\t|"
# La columna «Texto en línea» de Moodle puede ser larga; el módulo csv se queda por omisión en 128 KiB.
LONGEST_CELL = 16 * 1024 * 1024


class SheetError(TallerError):
    """Una planilla no se puede leer o rellenar; el mensaje termina con la orden que repetir."""

    def __init__(self, problem: str, option: str) -> None:
        super().__init__(f"{problem} Después: python3 curso.py calificar ENTREGAS --informe CARPETA {option}")


def text_cell(text: str) -> str:
    """Un texto ajeno que ninguna hoja de cálculo tomará por una fórmula."""
    shown = visible(text).replace("\t", "\\t")
    return f"'{shown}" if text[:1] in ("\t", "\r") or shown.lstrip().startswith(FORMULA_STARTS) else shown


@dataclass(frozen=True)
class Sheet:
    """Un CSV y cómo estaba escrito."""

    rows: list[list[str]]
    encoding: str = "utf-8-sig"
    delimiter: str = ","
    line_end: str = "\r\n"
    quote_all: bool = False

    @classmethod
    def read(cls, path: Path, option: str) -> "Sheet":
        """
        Raises:
            SheetError: no está, no es un CSV o está vacío.
        """
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise SheetError(f"No se puede leer «{path}»: {error.strerror}.", option) from error
        if raw.startswith(b"PK"):
            raise SheetError(f"«{path.name}» es un libro de Excel: guárdalo como CSV.", option)
        encoding = _encoding(raw)
        text = raw.decode(encoding, "replace")
        first = text.partition("\n")[0].rstrip("\r")
        delimiter = max(DELIMITERS, key=lambda candidate: len(next(csv.reader([first], delimiter=candidate), [])))
        csv.field_size_limit(LONGEST_CELL)
        try:
            rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
        except csv.Error as error:
            raise SheetError(f"«{path.name}» no es un CSV: {error}.", option) from error
        if len(rows) < 2:
            raise SheetError(f"«{path.name}» no tiene filas que rellenar: expórtala otra vez.", option)
        quote_all = first.startswith('"') and first.count(f'"{delimiter}"') == len(rows[0]) - 1
        return cls(rows, encoding, delimiter, "\r\n" if "\r\n" in text else "\n", quote_all)

    def write(self, path: Path) -> Path:
        buffer = io.StringIO(newline="")
        writer = csv.writer(
            buffer,
            delimiter=self.delimiter,
            lineterminator=self.line_end,
            quoting=csv.QUOTE_ALL if self.quote_all else csv.QUOTE_MINIMAL,
        )
        writer.writerows(self.rows)
        path.write_bytes(buffer.getvalue().encode(self.encoding, "replace"))
        return path


def _encoding(raw: bytes) -> str:
    if raw.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        # El Windows occidental; los cinco bytes que no usa los admite su pariente.
        return "latin-1" if set(raw) & {0x81, 0x8D, 0x8F, 0x90, 0x9D} else "cp1252"
    return "utf-8"
