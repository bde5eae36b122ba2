"""Espera: no es una app de FastAPI, sino str"""

app = "hola"
