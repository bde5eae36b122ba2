"""Espera: terminó con el código 0 antes de atender"""
import os

os._exit(0)
