import http.client
import json
import os
import time
import urllib.error
import urllib.request

URL, KEY = os.environ['REALTIME_URL'], os.environ['REALTIME_KEY']     # https://example.com/ws


def publish(events, idempotency_key, patience=60):
    """Publishes events, and asks again until each of them is there once, in order."""
    headers = {'authorization': f'Bearer {KEY}', 'content-type': 'application/json', 'idempotency-key': idempotency_key}
    request = urllib.request.Request(f'{URL}/api/publish', json.dumps(events).encode(), headers)
    end = time.monotonic() + patience
    wait = 0.1
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                results = json.load(answer)['results']
            errors = [result['error'] for result in results if 'error' in result]
            if all(error['retry'] == 'never' for error in errors):
                return results
        except urllib.error.HTTPError as refused:                     # refused as a whole
            error = json.load(refused)
            if error['retry'] not in ('now', 'backoff'):
                raise RuntimeError(f"{error['code']}: {error['message']}") from refused
            wait = max(wait, error.get('retryAfter', 0) / 1000)
        except (OSError, http.client.HTTPException):                  # nobody there, or the link broke on the way
            pass
        if time.monotonic() > end:
            raise TimeoutError('the events could not be published')
        time.sleep(wait)
        wait = min(2 * wait, 5)


if __name__ == '__main__':
    created = {'room': 'orders/7', 'event': 'created', 'data': {'n': 2}}
    noted = {'room': 'orders/7', 'event': 'note', 'data': {'text': 'aus Köln'}}
    print(publish([created, noted], 'import-2'))
