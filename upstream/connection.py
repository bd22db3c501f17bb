"""Connections to providers whose socket can be cut from another thread.

`requests` does the HTTP; what is ours is the lever. A call that blocks (connecting, in the TLS handshake, waiting for headers through a
silent prefill, between two tokens) cannot be ended by closing its response from elsewhere: only shutting its socket down frees both sides at once.
So each connection keeps a second handle on its socket and a `Line` pulls it.

This module knows nothing of chat, routes or retries. Foreign exceptions become those of `errors.py` here and nowhere else.
"""

import os
import socket
import threading
import time

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies, select_proxy
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from errors import Cancelled, ConnectFailed, HeadTimeout, StreamBroken

READ_BYTES = 65536  # one read takes what has arrived, up to this
POOL_SIZE = 128  # idle connections kept per provider; as many as there can be streams
_calling = (
    threading.local()
)  # .cancel_token: the Line for which this thread is just now calling, .read_s: the silence that call allows


class CancelToken:
    """One call's hold on the connection it uses, from the first dial to the last byte.

    `cancel()` may come from any thread, at any time and more than once; `cancelled` then tells our own hang-up from the upstream's failure.
    """

    def __init__(self):
        self._event = threading.Event()
        self.reused = False  # the connection had served another call before
        self.connected_at = None  # monotonic, when the connection was ready to take the request
        self._connection = None

    @property
    def cancelled(self):
        return self._event.is_set()

    def wait(self, timeout_s):
        """Wait until the cancel_token is cut, at most timeout_s; returns whether it was."""
        return self._event.wait(timeout_s)

    def take(self, connection):
        """Called by the connection when this call begins to use it. Raises Cancelled if the call is already off."""
        with connection.handle_lock:
            connection.cancel_token = self
            self._connection = connection
        if self.cancelled:
            self.cancel()
            raise Cancelled("hung up")

    def cancel(self):
        """Hang up: shut the socket down, both ways. The upstream sees it at once, and so does the thread that blocks on it."""
        self._event.set()
        connection = self._connection
        if connection is None:
            return
        with connection.handle_lock:
            if (
                connection.cancel_token is self
            ):  # else the connection went back to the pool and serves somebody else
                connection.shutdown_socket()


class _Cancellable:
    """What a connection needs so that a Line can cut it; mixed into urllib3's two connection classes."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.handle_lock = threading.Lock()
        self.cancel_token = None
        self.answering = None  # the socket an answer is read from, also when this connection has let go of it
        self._handle = None
        self._handing_over = False

    def _new_conn(self):
        """Connect as urllib3 does, but have the socket in hand while it is still connecting."""
        try:
            addresses = socket.getaddrinfo(self._dns_host, self.port, 0, socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            raise NameResolutionError(self.host, self, error) from error
        last = None
        for family, kind, protocol, _, address in addresses:
            try:
                return self._dial(socket.socket(family, kind, protocol), address)
            except TimeoutError as error:
                last = ConnectTimeoutError(
                    self, f"connection to {self.host} timed out (connect timeout={self.timeout})"
                )
                last.__cause__ = error
            except OSError as error:
                last = NewConnectionError(self, str(error))
                last.__cause__ = error
        raise last or NewConnectionError(self, "the name has no address")

    def _dial(self, sock, address):
        try:
            for option in self.socket_options or ():
                sock.setsockopt(*option)
            # A handle of its own: the TLS layer takes the first one away, and a closing answer closes it under us.
            with self.handle_lock:
                self._let_go()
                self._handle = sock.dup()
            _calling.cancel_token.take(self)
            sock.settimeout(self.timeout)
            sock.connect(address)
            if self.cancel_token.cancelled:
                raise Cancelled(
                    "hung up"
                )  # a socket shut down while connecting looks connected, and a TLS layer over it is never closed
            return sock
        except BaseException:
            sock.close()
            raise

    def connect(self):
        super().connect()
        if self.cancel_token.cancelled:
            raise Cancelled("hung up")  # a TLS handshake may have ended before it noticed
        self.cancel_token.connected_at = time.monotonic()
        self.sock.settimeout(
            _calling.read_s
        )  # else a large body would have to be sent within the time for connecting

    def request(self, *args, **kwargs):
        cancel_token = _calling.cancel_token
        if self.sock is not None:
            self.timeout = _calling.read_s
        cancel_token.reused = self.sock is not None and self.cancel_token is not cancel_token
        cancel_token.take(self)
        if cancel_token.reused:
            cancel_token.connected_at = time.monotonic()
        return super().request(*args, **kwargs)

    def getresponse(self):
        """The head of an answer. One whose end will be the connection's (HTTP/1.0, "Connection: close") takes the socket along: then
        http.client closes this connection at once, but the lever is still needed."""
        self.answering = self.sock
        self._handing_over = True
        try:
            return super().getresponse()
        finally:
            self._handing_over = False

    def rest(self):
        """Called when an answer has been read to its end: from here on its cancel_token has no hold on us."""
        with self.handle_lock:
            self.cancel_token = None
            if self.sock is None:
                self._let_go()

    def close(self):
        if not self._handing_over:
            with self.handle_lock:
                self._let_go()
        super().close()

    def shutdown_socket(self):
        if self._handle is not None:
            try:
                self._handle.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the other side was quicker

    def _let_go(self):
        self.answering = None
        if self._handle is not None:
            self._handle.close()
            self._handle = None


class _PlainConnection(_Cancellable, HTTPConnection):
    pass


class _TlsConnection(_Cancellable, HTTPSConnection):
    pass


class _Resting:
    """A pool that tells a connection when it comes to rest; mixed into urllib3's two pool classes."""

    def _put_conn(self, conn):
        if conn is not None:
            conn.rest()
        super()._put_conn(conn)


class _PlainPool(_Resting, HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(_Resting, HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS = {"http": _PlainPool, "https": _TlsPool}


class _Adapter(HTTPAdapter):
    def __init__(self, **kwargs):
        self._settled = {}
        super().__init__(**kwargs)

    def init_poolmanager(self, *args, **kwargs):
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def get_connection_with_tls_context(self, request, verify, proxies=None, cert=None):
        """requests settles pool, path and TLS anew for each call; ours never change for a server."""
        origin = request.url.split("/", 3)[2]
        pool = self._settled.get(origin)
        if pool is None:
            pool = self._settled[origin] = super().get_connection_with_tls_context(
                request, verify, proxies, cert
            )
        return pool

    def build_response(self, req, resp):
        """requests also collects cookies and guesses an encoding; nobody here asks for either."""
        response = requests.Response()
        response.status_code, response.headers, response.raw, response.request = (
            resp.status,
            resp.headers,
            resp,
            req,
        )
        return response

    def proxy_manager_for(self, proxy, **kwargs):
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


class Upstream:
    """One server we dial: its address, its headers and its pool of connections, settled once."""

    def __init__(self, headers):
        """headers: sent with every request (authorization among them); never logged."""
        self._headers = {
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "headstart",
            **headers,
        }
        self._adapter = _Adapter(pool_connections=4, pool_maxsize=POOL_SIZE)
        # requests' own per-call look-ups (environment, .netrc) cost more than the call on loopback; once is enough.
        self._verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        self._proxies = {}

    def call(self, cancel_token, method, url, body=None, *, connect_s, read_s, headers=None):
        """Send one request and return its `requests.Response` as soon as the headers are there.

        cancel_token: the Line by which another thread may hang up. body: bytes or None. headers: besides those that every request carries.
        connect_s: until the connection stands, in seconds. read_s: the time for sending the request, and then the longest silence
        (between bytes, not for the whole answer).
        Raises Cancelled after `cancel_token.cancel()`, ConnectFailed if the request was surely not received, HeadTimeout if no headers
        came within read_s, StreamBroken if the connection ended first.
        """
        request = requests.PreparedRequest()
        request.method, request.url, request.body = method, url, body
        request.headers = requests.structures.CaseInsensitiveDict(
            self._headers if not headers else {**headers, **self._headers}
        )
        if body is not None:
            request.headers["Content-Length"] = str(len(body))
        for last_try in (False, True):
            _calling.cancel_token, _calling.read_s = cancel_token, read_s
            try:
                return self._adapter.send(
                    request,
                    stream=True,
                    timeout=(connect_s, read_s),
                    verify=self._verify,
                    proxies=self._proxy_for(url),
                )
            except requests.exceptions.ConnectionError as error:
                # A kept-alive connection that the server closed just as we took it: it saw nothing, so ask again on a fresh one.
                if (
                    not last_try
                    and cancel_token.reused
                    and not cancel_token.cancelled
                    and _closed_unanswered(error)
                ):
                    continue
                raise _ours(error, cancel_token) from error
            except (
                requests.exceptions.RequestException,
                urllib3.exceptions.HTTPError,
                OSError,
                ValueError,
            ) as error:
                raise _ours(error, cancel_token) from error
            finally:
                _calling.cancel_token = None

    def _proxy_for(self, url):
        origin = url.split("/", 3)[2]
        if origin not in self._proxies:
            environment = get_environ_proxies(url)
            proxy = select_proxy(url, environment)
            self._proxies[origin] = {url.split(":", 1)[0]: proxy} if proxy else None
        return self._proxies[origin]


def read_some(response, cancel_token):
    """The next bytes of an answer as they arrive, b"" at its end.

    Raises Cancelled after `cancel_token.cancel()`, HeadTimeout when nothing came within the socket's timeout, StreamBroken when the
    connection ended too early.
    """
    try:
        data = response.raw.read1(READ_BYTES, decode_content=False)
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise _ours(error, cancel_token) from error
    if not data and cancel_token.cancelled:
        raise Cancelled("hung up")  # an answer without a length just ends when its socket is shut down
    return data


def read_whole(
    response: requests.Response,
    cancel_token: CancelToken,
    *,
    max_bytes: int | None = None,
    deadline: float | None = None,
    truncate: bool = False,
) -> bytes:
    """The rest of an answer, to its end.

    max_bytes: raises StreamBroken once there are more; with `truncate`, reading ends there instead, and what the last read
    brought beyond it stays. deadline: monotonic; raises HeadTimeout when the answer has not ended by then. Besides these, it
    raises what `read_some` does.
    """
    parts, size = [], 0
    while True:
        if deadline is not None:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise HeadTimeout("no answer in time")
            set_silence(response, left_s)
        more = read_some(response, cancel_token)
        if not more:
            break
        parts.append(more)
        size += len(more)
        if max_bytes is not None and size > max_bytes and not truncate:
            raise StreamBroken("its answer is too long")
        if max_bytes is not None and size >= max_bytes and truncate:
            break
    return b"".join(parts)


def set_silence(response, silence_s):
    """Set how long the next read may block, in seconds."""
    connection = response.raw.connection
    if connection is not None and connection.answering is not None:
        connection.answering.settimeout(silence_s)


def _ours(error, cancel_token):
    """One of errors.py for an exception of requests, urllib3 or the socket: by type, never by text."""
    if cancel_token.cancelled:
        return Cancelled("hung up")
    causes = list(_causes(error))
    if any(isinstance(cause, Cancelled) for cause in causes):
        return Cancelled("hung up")
    if any(isinstance(cause, NameResolutionError) for cause in causes):
        return ConnectFailed("its name could not be resolved")
    if any(
        isinstance(cause, ConnectTimeoutError) and not isinstance(cause, NewConnectionError)
        for cause in causes
    ):
        return ConnectFailed("no connection in time")  # urllib3 has refusals among its time-outs
    if any(
        isinstance(cause, (urllib3.exceptions.SSLError, requests.exceptions.SSLError)) for cause in causes
    ):
        return ConnectFailed("the TLS handshake failed")
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return ConnectFailed("connection refused")
    if any(isinstance(cause, (NewConnectionError, requests.exceptions.ProxyError)) for cause in causes):
        return ConnectFailed("no connection")
    if any(
        isinstance(
            cause, (urllib3.exceptions.ReadTimeoutError, requests.exceptions.ReadTimeout, TimeoutError)
        )
        for cause in causes
    ):
        return HeadTimeout("it stayed silent too long")
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader, ValueError)):
        return ConnectFailed("its address or headers are not usable")
    return StreamBroken("it closed the connection before the answer was complete")


def _closed_unanswered(error):
    return any(
        isinstance(cause, (ConnectionResetError, BrokenPipeError)) for cause in _causes(error)
    )  # RemoteDisconnected is a reset


def _causes(error):
    """The exception, what it wraps and what caused it: requests and urllib3 nest the real reason in arguments and attributes."""
    seen, todo = set(), [error]
    while todo:
        current = todo.pop()
        if not isinstance(current, BaseException) or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        todo += [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]
