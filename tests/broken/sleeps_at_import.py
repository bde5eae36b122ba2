"""Espera: e1_eco.py", line 4"""
import time

time.sleep(3600)
