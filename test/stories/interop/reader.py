"""Reads frames with python3-websockets until the last one; prints their number and a digest of every byte."""
import asyncio
import hashlib
import sys

import websockets


async def main(url, token, compression, pause):
    digest = hashlib.sha256()
    count = 0
    async with websockets.connect(
        url,
        extra_headers={"Authorization": "Bearer " + token},
        compression="deflate" if compression == "1" else None,
        max_size=None,
        max_queue=64,
    ) as ws:
        print("open", ws.extensions, flush=True)
        async for message in ws:
            if not message.startswith('{"type":"e"'):
                if message.startswith('{"type":"end"'):
                    break
                continue
            digest.update(message.encode())
            count += 1
            if pause != "0" and count % 2000 == 0:
                await asyncio.sleep(float(pause))
    print(count, digest.hexdigest(), flush=True)


asyncio.run(main(*sys.argv[1:]))
