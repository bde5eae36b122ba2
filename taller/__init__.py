"""La herramienta del taller: comprueba ejercicios por el cable y sirve el curso en el navegador."""
