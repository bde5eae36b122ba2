"""Espera: que /ws acepte el WebSocket"""
import socket

from fastapi import FastAPI

other = socket.create_server(("127.0.0.1", 0))
app = FastAPI()
