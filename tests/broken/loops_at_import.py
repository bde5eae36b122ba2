"""Espera: e1_eco.py", line 3"""

while True: pass
