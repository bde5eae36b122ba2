import os

for _ in range(3):
    os.fork()
kept = []
while True:
    kept.append(bytearray(32 * 1024 * 1024))
