"""A scripted corner of the web on a real socket: pages by their path, some of which stall or drip."""

import select
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.fake_upstream import HANG_GUARD_S, HUNG_UP


class ReceivedRequest:
    def __init__(self, path, headers):
        self.path = path
        self.headers = headers
        self.hung_up = threading.Event()


class FakeWeb:
    """`web.serves("/a", "<p>text")`, `web.stalls("/b")`, `web.drips("/c")` script a path.

    Any other path is a 404, and /healthz is healthy. `requests` holds what it got.
    """

    def __init__(self, tls=None):
        """tls: an ssl.SSLContext for the server side, or None."""
        self.requests = []
        self.release = threading.Event()  # ends what stalls or drips
        self._pages = {}
        self._news = threading.Condition()
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                web._handle(self)

            def log_message(self, *args):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self):
                connection, address = super().get_request()
                return (
                    (tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address)
                    if tls
                    else (connection, address)
                )

            def handle_error(self, request, client_address):
                pass  # a reader that hangs up is what we are here for

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()

    def close(self):
        self.release.set()
        self._server.shutdown()
        self._server.server_close()

    def reset(self):
        self.release.set()
        self.release = threading.Event()
        self._pages = {}
        self.requests.clear()

    # What it shall do.

    def serves(self, path, body, content_type="text/html; charset=utf-8", status=200, **headers):
        body = body.encode() if isinstance(body, str) else body
        told = {
            "Content-Type": content_type,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        self._pages[path] = ("whole", status, {name: value for name, value in told.items() if value}, body)
        return self.url + path

    def redirects(self, path, location):
        return self.serves(path, b"", status=302, Location=location)

    def stalls(self, path):
        """Answer nothing until it is released."""
        self._pages[path] = ("stall",)
        return self.url + path

    def drips(self, path):
        """Send a byte now and then, so that no single wait is long and the page never ends."""
        self._pages[path] = ("drip",)
        return self.url + path

    # What it has seen.

    def wait_asked(self, path):
        """Wait until a path was asked for, whatever its query, and return the first such request."""

        def first():
            return next(
                (received for received in self.requests if received.path.partition("?")[0] == path), None
            )

        with self._news:
            assert self._news.wait_for(first, HANG_GUARD_S), f"nobody asked for {path}, but for {self.paths}"
        return first()

    @property
    def paths(self):
        return [received.path for received in self.requests]

    def _handle(self, http):
        if http.path.endswith("/healthz"):  # the probe of a search engine, not a request
            return _send(http, 200, {}, b"OK")
        release, received = self.release, ReceivedRequest(http.path, dict(http.headers))
        with self._news:
            self.requests.append(received)
            self._news.notify_all()
        step, *script = self._pages.get(http.path.partition("?")[0], ("whole", 404, {}, b""))
        if step == "whole":
            return _send(http, *script)
        http.close_connection = True
        poll = select.poll()
        poll.register(http.connection.fileno(), HUNG_UP)
        if step == "drip":
            http.wfile.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000000\r\n\r\n<p>"
            )
        while not release.is_set():
            if poll.poll(20):
                return received.hung_up.set()
            if step == "drip":
                try:
                    http.wfile.write(b"x")
                except OSError:
                    return received.hung_up.set()
        http.connection.shutdown(socket.SHUT_RDWR)


def _send(http, status, headers, body):
    http.send_response(status)
    for name, value in {**headers, "Content-Length": str(len(body))}.items():
        http.send_header(name, value)
    http.end_headers()
    http.wfile.write(body)
