"""Prueba que una lección es sólida: que sus controles distinguen lo correcto de cada error conocido."""
