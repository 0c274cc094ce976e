"""A backend behind the gateway, by the standard library alone: it lets users in, answers messages and publishes."""

import base64
import hashlib
import hmac
import json
import os
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

GATEWAY = os.environ.get("GATEWAY", "http://127.0.0.1:3000/ws")
JWT_SECRET = os.environ["JWT_SECRET"].encode()
HOOK_KEY = base64.b64decode(os.environ["HOOK_SECRET"].removeprefix("whsec_"))
API_KEY = os.environ["API_KEY"]
TOLERANCE = 300  # seconds between the clocks of both
KEPT = 120  # seconds for which an answer is kept for the same request

banned = {"mallory"}
counts = {}
answers = {}  # by webhook-id: when, status, body
lock = threading.Lock()


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def token_of(user):
    """A JWT with HS256. A real backend gives it to whoever has logged in."""
    claims = {"sub": user, "exp": int(time.time()) + 3600}
    parts = [encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    whole = b".".join(parts)
    return (whole + b"." + encoded(hmac.new(JWT_SECRET, whole, hashlib.sha256).digest())).decode()


def is_signed(headers, body):
    """Whether the gateway has sent this, and now: Standard Webhooks, https://www.standardwebhooks.com."""
    identity, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not timestamp.isdigit() or abs(time.time() - int(timestamp)) > TOLERANCE:
        return False
    signed = hmac.new(HOOK_KEY, f"{identity}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    expected = "v1," + base64.b64encode(signed).decode()
    given = headers.get("webhook-signature", "").split(" ")
    # Each one is compared in constant time.
    return any([hmac.compare_digest(expected, each) for each in given])


def publish(room, event, data, key):
    """Sends an event to everybody in a room. The key makes it one event, however often it is sent."""
    body = json.dumps({"room": room, "event": event, "data": data, "idempotencyKey": key}).encode()
    request = urllib.request.Request(
        f"{GATEWAY}/api/publish",
        data=body,
        headers={"authorization": f"Bearer {API_KEY}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=4) as answer:
        return json.load(answer)


def on_authorize(data, _identity):
    return 200, {"allow": data["userId"] not in banned}


def on_message(data, identity):
    room = data["room"]
    if "spam" in data["data"]["text"]:
        return 422, {"code": "spam", "message": "say something else"}
    publish(room, "said", {"text": data["data"]["text"], "by": data["userId"]}, identity)
    with lock:
        counts[room] = counts.get(room, 0) + 1
        return 200, {"count": counts[room]}


def on_notice(_data, _identity):
    return 204, None


HOOKS = {
    "authorize": on_authorize,
    "message": on_message,
    "join": on_notice,
    "leave": on_notice,
    "online": on_notice,
    "offline": on_notice,
}


def answer_of(identity, event):
    """Answers each request once: the gateway sends it again under the same id when an answer was lost."""
    now = time.time()
    with lock:
        for old in [each for each, (at, _, _) in answers.items() if at < now - KEPT]:
            del answers[old]
        if identity in answers:
            return answers[identity][1:]
    status, body = HOOKS[event["type"]](event["data"], identity)
    with lock:
        answers[identity] = (now, status, body)
    return status, body


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=None):
        text = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        url = urlparse(self.path)
        user = parse_qs(url.query).get("user", [""])[0]
        if url.path != "/token" or not user:
            return self.answer(404)
        text = token_of(user).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path != "/hooks":
            return self.answer(404)
        if not is_signed(self.headers, body):
            return self.answer(401, {"code": "unsigned", "message": "not signed with our secret"})
        event = json.loads(body)
        print(event["type"], event["data"].get("room", ""), event["data"]["userId"], flush=True)
        try:
            self.answer(*answer_of(self.headers["webhook-id"], event))
        except OSError as error:
            print("the gateway cannot be reached:", error, file=sys.stderr, flush=True)
            self.answer(503)

    def log_message(self, *_args):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("BACKEND_PORT", "8000"))), Handler)
    print(f"the backend is at http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
