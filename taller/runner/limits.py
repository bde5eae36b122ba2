"""Cuánto se guarda de lo que escribe una app."""

LOG_LIMIT = 256 * 1024
