"""Espera: Error de sintaxis"""
nombre = "ÿþ"
