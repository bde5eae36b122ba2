"""El calificador: de una carpeta de entregas de código que nadie ha leído a notas e informes."""
