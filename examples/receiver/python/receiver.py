"""Takes Gatehouse's deliveries: at /webhooks by the Standard Webhooks headers, at /doorflow by those that DoorFlow's own
webhooks have. It prints each message once. It needs Python 3.9 and nothing else."""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from verify import parse_secrets, verify, verify_doorflow

SECRETS = parse_secrets(os.environ.get("WEBHOOK_SECRETS", ""))
PATHS = {"/webhooks": verify, "/doorflow": verify_doorflow}
MAX_BODY = 1 << 20
MAX_SEEN = 10_000

seen, lock = {}, threading.Lock()  # the last ids


def first(id):
    """Whether an id comes for the first time."""
    with lock:
        if id in seen:
            return False
        if len(seen) == MAX_SEEN:
            del seen[next(iter(seen))]
        seen[id] = True
        return True


class Receiver(BaseHTTPRequestHandler):
    timeout = 10

    def do_POST(self):
        length = self.headers.get("Content-Length") or ""
        if self.path not in PATHS or not length.isdigit():
            return self.answer(404 if self.path not in PATHS else 411)
        if int(length) > MAX_BODY:
            return self.answer(413)
        body = self.rfile.read(int(length))  # the bytes as they came: they are what is signed
        try:
            id = PATHS[self.path](self.headers, body, SECRETS)
            kind = json.loads(body)["type"]
        except (ValueError, KeyError, TypeError) as error:
            print("refused:", error, file=sys.stderr)  # for you; the sender learns nothing from the answer
            return self.answer(401)
        # A real receiver puts the message into its database or queue here, with the id as a unique key, and works on it
        # after it has answered.
        if first(id):
            print("received", id, kind, flush=True)
        self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.end_headers()
        self.close_connection = True

    def log_message(self, *args):
        pass


host, port = os.environ.get("ADDR", "127.0.0.1:8095").rsplit(":", 1)
server = ThreadingHTTPServer((host, int(port)), Receiver)
print(f"listening on http://{host}:{server.server_port}", flush=True)
server.serve_forever()
