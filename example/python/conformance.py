"""The client under test for `fastify-realtime conformance`: python3 conformance.py http://127.0.0.1:8090/ws [--sse]"""
import asyncio
import sys

from realtime import Client, Refused


async def main(url, *more):
    client = Client(url, transport='sse' if '--sse' in more else 'websocket')
    room = client.join(
        'conformance/1',
        lambda kind, data: kind == 'step' and asyncio.ensure_future(room.send('heard', data)),
        lambda: asyncio.ensure_future(room.send('lost', {}))
    )
    try:
        await client.run()
    except Refused as reason:
        print(f'refused for good: {reason}')

asyncio.run(main(*sys.argv[1:]))
