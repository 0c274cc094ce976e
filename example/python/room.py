"""A room of the client in realtime.py, which keeps its position in the stream of events, and what a refusal says."""
import uuid


class Refused(Exception):
    """`retry` says how to come back: 'now', with 'backoff', after a 'refresh' of the token, or 'never'."""

    def __init__(self, code, retry='backoff', wait=0):
        super().__init__(code)
        self.code, self.retry, self.wait = code, retry, wait


def refused_by(status, retry_after):
    retry = 'refresh' if status == 401 else 'never' if status in (400, 403, 404) else 'backoff'
    return Refused(f'http {status}', retry, float(retry_after or 0))


class Room:
    def __init__(self, client, name, on_event, on_lost):
        self.client, self.name, self.on_event, self.on_lost = client, name, on_event, on_lost
        self.position, self.is_in, self.was_in = None, False, False

    def entered(self, data):
        lost = data.get('resumed') is False or (self.was_in and data.get('resumed') is not True)
        self.is_in = self.was_in = True
        if 'epoch' in data:
            self.position = {'epoch': data['epoch'], 'offset': data['offset']}
        if lost:
            self.on_lost()

    def frame(self, frame):
        data, offset = frame.get('data'), frame.get('offset')
        if frame['type'] == 'gap':
            self.position = {'epoch': data['epoch'], 'offset': data['to']}
            self.on_lost()
        elif offset is None or self.position is None or offset > self.position['offset']:
            if offset is not None and self.position is not None:
                self.position['offset'] = offset
            self.on_event(frame['type'], data)

    async def send(self, kind, data):
        """Sends a message; it takes effect once, and its reply is returned."""
        return await self.client.send({'type': kind, 'room': self.name, 'id': uuid.uuid4().hex, 'data': data})
