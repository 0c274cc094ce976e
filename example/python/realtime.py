"""A client of fastify-realtime for asyncio: a start for one of your own, in whatever language.

It needs room.py beside it, and python3-websockets; with transport='sse' the standard library is enough.
The wire protocol is in docs/reference/wire-protocol.md.
"""
import asyncio
import http.client
import json
import random
import urllib.parse

from room import Refused, Room, refused_by


class Client:
    def __init__(self, url, token=lambda: None, transport='websocket'):
        self.url, self.token, self.transport = url.rstrip('/'), token, transport
        self.rooms, self.waiting, self.joins = {}, {}, {}
        self.write, self.id, self.heartbeat, self.cursor, self.attempt = None, None, 30, None, 0
        self.turn = asyncio.Lock()

    def join(self, name, on_event, on_lost=lambda: None):
        """Before `run`. `on_event(type, data)` is called for each event, `on_lost()` where some are lost."""
        self.rooms[name] = Room(self, name, on_event, on_lost)
        return self.rooms[name]

    async def run(self):
        """Stays connected until the server refuses the client for good: then it raises Refused."""
        while True:
            reason = Refused('closed')
            try:
                await (self.stream() if self.transport == 'sse' else self.socket())
            except Refused as error:
                reason = error
            except (OSError, asyncio.TimeoutError, http.client.HTTPException, EOFError):
                pass
            if reason.retry == 'never':
                raise reason
            self.write = None
            for room in self.rooms.values():
                room.is_in = False
            self.attempt += 1
            await asyncio.sleep(reason.wait + 0.5 + random.random() * min(20, 0.5 * 2 ** self.attempt))

    async def socket(self):
        import websockets
        token = self.token()
        offered = ['realtime.v1'] + ([f'bearer.{token}'] if token else [])
        try:
            async with websockets.connect('ws' + self.url[4:], subprotocols=offered, ping_interval=None) as socket:
                self.write = lambda frame: socket.send(json.dumps(frame))
                try:
                    while True:
                        await self.frame(json.loads(await asyncio.wait_for(socket.recv(), self.heartbeat + 5)))
                except websockets.ConnectionClosed:
                    code = socket.close_code or 1006
                    raise Refused(socket.close_reason or str(code), 'never' if 4500 <= code < 4600 else 'backoff')
        except websockets.InvalidStatusCode as error:
            raise refused_by(error.status_code, error.headers.get('retry-after'))

    def request(self, method, path, body=None, headers={}):
        parts = urllib.parse.urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == 'https' else http.client.HTTPConnection
        connection = kind(parts.netloc, timeout=self.heartbeat + 5)
        token = self.token()
        more = {**({'authorization': f'Bearer {token}'} if token else {}), **headers}
        connection.request(method, parts.path + path, body, more)
        return connection.getresponse()

    async def stream(self):
        query = '&'.join(f'room={urllib.parse.quote(name, safe="")}' for name in self.rooms)
        headers = {'accept': 'text/event-stream', **({'last-event-id': self.cursor} if self.cursor else {})}
        answer = await asyncio.to_thread(self.request, 'GET', f'?{query}', None, headers)
        if answer.status != 200:
            raise refused_by(answer.status, answer.getheader('retry-after'))
        self.write, data = self.post, ''
        while line := (await asyncio.to_thread(answer.readline)).decode():
            field, _, value = line.rstrip('\r\n').partition(':')
            if field == 'data':
                data += value.removeprefix(' ')
            elif field == 'id':
                self.cursor = value.removeprefix(' ')
            elif line.strip() == '' and data:
                frame, data = json.loads(data), ''
                await self.frame(frame)

    async def post(self, frame):
        headers = {'content-type': 'application/json', 'x-connection-id': self.id}
        try:
            # One after another: two requests at once may arrive in either order.
            async with self.turn:
                answer = await asyncio.to_thread(self.request, 'POST', '', json.dumps(frame), headers)
                data = json.loads(await asyncio.to_thread(answer.read))
            answered = data if answer.status == 200 else {'type': 'error', 'data': data}
        except (OSError, http.client.HTTPException, ValueError):
            # Nobody knows whether it arrived; sent again under its id, it takes effect once.
            answered = {'type': 'error', 'data': {'code': 'unavailable'}}
        await self.frame({**answered, 'id': frame.get('id')})

    async def frame(self, frame):
        kind, data, room = frame.get('type'), frame.get('data') or {}, self.rooms.get(frame.get('room'))
        if kind == 'welcome':
            self.id, self.heartbeat, self.attempt = data['connectionId'], data['heartbeat'] / 1000, 0
            for name, each in self.rooms.items():
                if name in data['rooms']:
                    await self.enter(each, data['rooms'][name])
                else:
                    self.joins[name] = each
                    await self.write({'type': 'join', 'room': name, 'id': f'join {name}', 'data': {'since': each.position}
                                      if each.position else {}})
        elif kind == 'ping':
            await self.write({'type': 'pong'})
        elif kind == 'ack' and str(frame.get('id')).startswith('join '):
            await self.enter(self.joins.pop(frame['id'][5:]), data)
        elif kind in ('ack', 'error') and frame.get('id') in self.waiting:
            await self.answered(frame, data)
        elif kind == 'error' and data.get('retry') == 'never':
            raise Refused(data['code'], 'never')
        elif room is not None and room.is_in:
            room.frame(frame)

    async def enter(self, room, data):
        room.entered(data)
        # What was not answered before the link broke: the server knows by the id what it has done already.
        for message, _ in list(self.waiting.values()):
            if message['room'] == room.name:
                await self.write(message)

    async def answered(self, frame, data):
        message, future = self.waiting[frame['id']]
        if frame['type'] == 'ack':
            del self.waiting[frame['id']]
            future.set_result(frame.get('data'))
        elif data.get('retry') == 'now' or 'retryAfter' in data or data.get('code') in ('rate_limited', 'unavailable'):
            asyncio.get_running_loop().call_later(data.get('retryAfter', 1000) / 1000, self.again, message)
        else:
            del self.waiting[frame['id']]
            future.set_exception(Refused(data['code'], data.get('retry', 'never')))

    def again(self, message):
        if self.write and self.rooms[message['room']].is_in:
            asyncio.ensure_future(self.write(message))

    async def send(self, message):
        future = asyncio.get_running_loop().create_future()
        self.waiting[message['id']] = (message, future)
        self.again(message)
        return await future
