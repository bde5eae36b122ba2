import ctypes

from fastapi import FastAPI

ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
app = FastAPI()
