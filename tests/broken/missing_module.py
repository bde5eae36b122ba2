"""Espera: No se encuentra el módulo «no_existe» (en e1_eco.py, línea 2)"""
import no_existe

app = no_existe.App()
