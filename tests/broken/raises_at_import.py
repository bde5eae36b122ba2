"""Espera: ZeroDivisionError: division by zero (en e1_eco.py, línea 2)"""
app = 1 / 0
