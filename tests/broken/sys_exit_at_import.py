"""Espera: termina el programa al cargarse"""
import sys

sys.exit(0)
