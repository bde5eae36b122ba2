"""Nombres de archivo para las entregas: su clave puede contener cualquier cosa."""

import hashlib
import re
import unicodedata

from taller.grading.results import Grade

LONGEST = 48


def file_name(grade: Grade) -> str:
    """Legible, válido en cualquier sistema y distinto para cada entrega."""
    plain = unicodedata.normalize("NFKD", grade.key).encode("ascii", "ignore").decode().lower()
    legible = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:LONGEST] or "entrega"
    fingerprint = hashlib.sha256(grade.key.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{legible}-{fingerprint}"


def student_page(grade: Grade) -> str:
    """La página de la entrega, desde la carpeta de los informes."""
    return f"estudiantes/{file_name(grade)}.html"
