"""Prints the events of a room, one JSON line each: REALTIME_TOKEN=... python3 tail.py http://127.0.0.1:3000/ws chat/1

With --sse behind these the standard library is enough.
"""
import asyncio
import json
import os
import sys

from realtime import Client

url, room, *more = sys.argv[1:]
client = Client(url, token=lambda: os.environ.get('REALTIME_TOKEN'), transport='sse' if '--sse' in more else 'websocket')
client.join(
    room,
    lambda kind, data: print(json.dumps({'type': kind, 'data': data}), flush=True),
    lambda: print('events were lost', file=sys.stderr)
)
asyncio.run(client.run())
