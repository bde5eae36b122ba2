"""Espera: Error de sintaxis en e1_eco.py, línea 3"""

def app(:
    pass
