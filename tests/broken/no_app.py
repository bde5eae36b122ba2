"""Espera: no define «app»"""
from fastapi import FastAPI

aplicacion = FastAPI()
