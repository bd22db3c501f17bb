"""Where alerts arrive: a scripted ntfy server or webhook on a real socket."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from tests.support.server import HANG_GUARD_S
from tests.support.waiting import await_that


class Received(NamedTuple):
    """One request as it arrived."""

    path: str
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class FakePhone:
    """It answers 200, or the next of `statuses`; None: it hangs up without an answer.

    answering: cleared to make it keep silent.
    """

    def __init__(self):
        self.received = []
        self.statuses = []
        self.answering = threading.Event()
        self.answering.set()
        phone = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                phone.received.append(Received(self.path, dict(self.headers), body))
                phone.answering.wait(HANG_GUARD_S)
                status = phone.statuses.pop(0) if phone.statuses else 200
                if status is None:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/headstart-a1b2"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def wait_for(self, count):
        """Everything that has arrived, as soon as it is `count`."""
        await_that(lambda: len(self.received) >= count, lambda: f"{count} alerts, only {self.received}")
        return self.received

    def reset(self):
        self.received.clear()
        self.statuses.clear()
        self.answering.set()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
