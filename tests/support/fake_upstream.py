"""A scripted provider on a real socket: it streams, stalls, refuses and breaks off.

It remembers each request and when its caller hung up. It speaks HTTP/1.1 over plain TCP or TLS, one thread
per connection. Everything it waits for can be awaited from a test by an event.
"""

import json
import select
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HUNG_UP = select.POLLRDHUP if hasattr(select, "POLLRDHUP") else select.POLLHUP
HANG_GUARD_S = 20


class ReceivedRequest:
    """One request as the provider saw it."""

    def __init__(self, path, headers, body):
        self.path = path
        self.headers = headers
        self.body = body
        self.at = time.monotonic()
        self.hung_up_at = None  # monotonic; when the provider saw the caller go
        self.hung_up = threading.Event()
        self.tokens_sent = 0
        self.tokens_after_hang_up = 0
        self.answered_at = None  # monotonic; when the end of its answer was about to be sent
        self.connection = None  # the caller's port, which tells one kept connection from another
        self.ended = threading.Event()

    def saw_hang_up(self):
        if not self.hung_up.is_set():
            self.hung_up_at = time.monotonic()
            self.hung_up.set()

    @property
    def messages(self):
        return self.body["messages"]


class Script:
    """What the provider does with a request: a list of steps, each a tuple."""

    def __init__(self, *steps, status=200, headers=None, body=None, until_close=False):
        """until_close: no length and no chunks, the stream ends with its connection, as in HTTP/1.0."""
        self.steps = steps
        self.until_close = until_close
        self.status = status
        self.headers = headers or {}
        self.body = body


class FakeUpstream:
    """`upstream.streams("forty", "-two")` and its like script all requests from then on.

    `upstream.then(...)` scripts a single request, which comes before those.
    """

    def __init__(self, model="fake-model", tls=None, port=0):
        """tls: an ssl.SSLContext for the server side, or None. port: 0 for any."""
        self.model = model
        self.requests = []
        self.ignored = []  # connections that were accepted and never read from, each as a ReceivedRequest
        self._news = threading.Condition()
        self._connections = set()
        self._ignoring = False
        self._accepting = threading.Event()
        self._accepting.set()
        self._default = Script(("token", "ok"), ("finish", "stop"))
        self._next = []
        self._probe_status = 200
        self.release = threading.Event()  # lets go what stalls
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                fake._handle(self)

            def do_GET(self):
                fake._handle(self)

            def log_message(self, *args):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def get_request(self):
                fake._accepting.wait()
                connection, address = super().get_request()
                fake._connections.add(connection)
                return (
                    (tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address)
                    if tls
                    else (connection, address)
                )

            def finish_request(self, request, client_address):
                if fake._ignoring:
                    fake._ignore(request)
                else:
                    super().finish_request(request, client_address)

            def shutdown_request(self, request):
                fake._connections.discard(request)
                super().shutdown_request(request)

            def handle_error(self, request, client_address):
                pass  # a caller that hangs up is what we are here for

        self._server = Server(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/v1"
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()

    def close(self):
        self.release.set()
        self._accepting.set()
        self._server.shutdown()
        self._server.server_close()

    def reset(self):
        self.release.set()
        self.release = threading.Event()
        self._next = []
        self._probe_status = 200
        self._default = Script(("token", "ok"), ("finish", "stop"))
        self._ignoring = False
        self._accepting.set()
        self.requests.clear()
        self.ignored.clear()

    # What it shall do.

    def runs(self, *steps, **kwargs):
        """From now on, do these steps for every request."""
        self._default = Script(*steps, **kwargs)

    def then(self, *steps, **kwargs):
        """For the next request not yet spoken for, do these steps."""
        self._next.append(Script(*steps, **kwargs))

    def streams(self, *tokens, finish="stop", usage=None):
        self.runs(
            *(("token", token) for token in tokens),
            ("finish", finish),
            *([("usage", usage)] if usage else []),
        )

    def stalls_before_headers(self):
        self.runs(("stall-before-headers",))

    def stalls_before_head(self):
        self.runs(("headers",), ("stall",))

    def streams_forever(self, pause_s=0.005, **kwargs):
        self.runs(("forever", pause_s), **kwargs)

    def refuses(self, status, message="scripted refusal", headers=None, **error):
        self.runs(
            status=status,
            headers=headers,
            body={"error": {"message": message, "type": "scripted", "param": None, "code": None, **error}},
        )

    def probes(self, status):
        """Answer the health check's GET /models with this status; "stall" leaves it waiting."""
        self._probe_status = status

    def _probe_script(self):
        if self._probe_status == "stall":
            return Script(("stall-before-headers",))
        return Script(status=self._probe_status, body={"object": "list", "data": []})

    def answers(self, body, status=200):
        self.runs(status=status, body=body)

    def ignores_connections(self):
        """From now on, accept connections and read nothing from them: no request, no TLS handshake."""
        self.drops_kept_connections()
        self._ignoring = True

    def stops_accepting(self):
        """From now on, leave connections to the kernel, which completes them.

        `accepts_again()` takes up those that have come meanwhile.
        """
        self.drops_kept_connections()
        self._accepting.clear()

    def accepts_again(self):
        self._accepting.set()

    def drops_kept_connections(self):
        """Close every connection, as a server does after its keep-alive time."""
        for connection in list(self._connections):
            try:
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            except OSError:
                pass  # its caller was quicker

    # What it has seen.

    def wait_asked(self, count=1):
        """Wait until it was asked `count` times and return the last of them."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.requests) >= count, HANG_GUARD_S), (
                f"asked {len(self.requests)} times, not {count}"
            )
        return self.requests[count - 1]

    def wait_dialled(self):
        """Wait until a connection stands in the listening socket's queue."""
        assert select.select([self._server.socket], [], [], HANG_GUARD_S)[0], "nobody connected"

    def wait_ignored(self):
        """Wait until a connection was accepted and ignored, and return it."""
        with self._news:
            assert self._news.wait_for(lambda: self.ignored, HANG_GUARD_S), "nobody connected"
        return self.ignored[-1]

    @property
    def last(self):
        return self.requests[-1]

    def _handle(self, http):
        raw = http.rfile.read(int(http.headers.get("Content-Length") or 0))
        received = ReceivedRequest(http.path, dict(http.headers), json.loads(raw) if raw else None)
        received.connection = http.client_address[1]
        is_probe = http.command == "GET"
        if not is_probe:
            with self._news:
                self.requests.append(received)
                self._news.notify_all()
        script = self._probe_script() if is_probe else self._next.pop(0) if self._next else self._default
        release = self.release
        watcher = threading.Thread(target=_watch, args=(http.connection, received), daemon=True)
        watcher.start()
        try:
            if script.body is not None:
                self._answer_whole(http, script)
            else:
                self._answer_stream(http, script, received, release)
        except ConnectionAbortedError:
            http.close_connection = True
        except OSError:
            http.close_connection = True
            received.saw_hang_up()
        finally:
            received.ended.set()
            watcher.join(HANG_GUARD_S)

    def _ignore(self, connection):
        received = ReceivedRequest(None, {}, None)
        release = self.release
        watcher = threading.Thread(target=_watch, args=(connection, received), daemon=True)
        watcher.start()
        with self._news:
            self.ignored.append(received)
            self._news.notify_all()
        try:
            _wait(release, received)
        except ConnectionAbortedError:
            pass  # hung up, as it should be
        received.ended.set()
        watcher.join(HANG_GUARD_S)

    def _answer_whole(self, http, script):
        body = script.body if isinstance(script.body, bytes) else json.dumps(script.body).encode()
        http.send_response(script.status)
        for name, value in {
            "Content-Type": "application/json",
            **script.headers,
            "Content-Length": str(len(body)),
        }.items():
            http.send_header(name, value)
        http.end_headers()
        http.wfile.write(body)

    def _answer_stream(self, http, script, received, release):
        begun = False

        def begin():
            nonlocal begun
            if not begun:
                begun = True
                http.send_response(script.status)
                http.send_header("Content-Type", "text/event-stream")
                http.send_header(
                    *(("Connection", "close") if script.until_close else ("Transfer-Encoding", "chunked"))
                )
                for name, value in script.headers.items():
                    http.send_header(name, value)
                http.end_headers()
                http.wfile.flush()

        def send(data):
            begin()
            http.wfile.write(data if script.until_close else b"%x\r\n%b\r\n" % (len(data), data))

        def end():
            if not script.until_close:
                http.wfile.write(b"0\r\n\r\n")

        def chunk(delta, finish=None, **more):
            send(event(self.model, delta, finish, **more))

        for step, *args in script.steps:
            if step == "stall-before-headers":
                _wait(release, received)
            elif step == "deaf":
                release.wait(HANG_GUARD_S)  # as a server that does not look whether anybody still listens
            elif step == "headers":
                begin()
            elif step == "role":
                chunk({"role": "assistant", "content": ""})
            elif step == "stall":
                begin()
                _wait(release, received)
            elif step == "pause":
                begin()
                time.sleep(args[0])
            elif step == "think-before-headers":
                time.sleep(args[0])
            elif step == "token":
                chunk({"content": args[0]})
                received.tokens_sent += 1
            elif step == "delta":
                chunk(args[0])
            elif step == "finish":
                chunk({}, args[0])
            elif step == "usage":
                send(
                    data_event(
                        {
                            "id": "c1",
                            "object": "chat.completion.chunk",
                            "created": 1,
                            "model": self.model,
                            "choices": [],
                            "usage": args[0],
                        }
                    )
                )
            elif step == "raw":
                send(args[0])
            elif step == "cut":
                http.wfile.flush()
                http.connection.shutdown(socket.SHUT_RDWR)
                raise ConnectionAbortedError
            elif step == "close":  # a clean end of the response without [DONE]
                begin()
                end()
                return
            elif step == "forever":
                while not release.is_set():
                    too_late = received.hung_up.is_set()
                    chunk({"content": "x"})
                    received.tokens_sent += 1
                    received.tokens_after_hang_up += too_late
                    time.sleep(args[0])
            else:
                raise AssertionError(f"unknown step {step}")
        received.answered_at = time.monotonic()
        send(b"data: [DONE]\n\n")
        end()


def data_event(value):
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def event(model, delta, finish=None, **more):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return data_event(
        {
            "id": "c1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": model,
            "choices": [choice],
            **more,
        }
    )


def _wait(release, received):
    while not release.wait(0.01):
        if received.hung_up.is_set():
            raise ConnectionAbortedError


def _watch(connection, received):
    """Note when the caller's side of the connection has ended, until the answer has."""
    poll = select.poll()
    poll.register(connection.fileno(), HUNG_UP)
    while not received.ended.is_set():
        if poll.poll(5):
            if not received.ended.is_set():
                received.saw_hang_up()
            return
