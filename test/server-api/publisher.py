"""Publishes from several threads: `publisher.py <rooms> <events of each>`. It says how far it is, room and number."""
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', '..', 'example', 'api'))
from publish import publish  # noqa: E402

rooms, events = int(sys.argv[1]), int(sys.argv[2])
failed = []


def tell(room):
    try:
        for n in range(events):
            event = {'room': f'tale/{room}', 'event': 'told', 'data': {'n': n}}
            results = publish(event, f'tale-{room}-{n}', 120)
            if 'error' in results[0]:
                raise RuntimeError(results[0]['error'])
            print(room, n, flush=True)
    except Exception as error:
        failed.append(f'{room}: {error!r}')


threads = [threading.Thread(target=tell, args=(room,)) for room in range(rooms)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if failed:
    sys.exit('\n'.join(failed))
