"""Cuánto se guarda de lo que escribe una app, y cuánto se escucha de lo que avisa una encerrada."""

LOG_LIMIT = 256 * 1024
NOTES_LIMIT = 64 * 1024
