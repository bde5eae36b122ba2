"""Un hallazgo: algo que impide dar por sólida una lección."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """`where` es el ejercicio, la lección o el archivo; `text`, qué le pasa y cómo se arregla."""

    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"
