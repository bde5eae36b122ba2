"""La fuente de los ejercicios, para probarlos a mano: unos productos tras una API que tarda medio segundo.

curl http://127.0.0.1:8005/source/products/7
"""

import asyncio

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel

SECONDS = 0.5

router = APIRouter(prefix="/source", tags=["la fuente de los ejercicios"])


class Product(BaseModel):
    id: str
    name: str
    price: int
    version: int = 1


class Change(BaseModel):
    price: int


names = ("té verde", "pan de pueblo", "café de Colombia", "piñones", "arroz bomba", "aceite", "miel", "turrón")
products = {str(number): Product(id=str(number), name=name, price=150 * number) for number, name in enumerate(names, 1)}


@router.get("/products/{product_id}")
async def read_product(product_id: str) -> Product:
    answer = products.get(product_id)
    await asyncio.sleep(SECONDS)
    if answer is None:
        raise HTTPException(404, f"no hay ningún producto {product_id}: los hay del 1 al {len(products)}")
    return answer


@router.put("/products/{product_id}")
async def change_product(product_id: str, change: Change) -> Product:
    if known := products.get(product_id):
        products[product_id] = known.model_copy(update={"price": change.price, "version": known.version + 1})
    return await read_product(product_id)
