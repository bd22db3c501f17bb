"""Connections to providers that another thread can cancel.

`requests` does the HTTP. What is ours: each connection has a `SocketHandle`, so that a call's `CancelToken`
can shut its socket down whatever it blocks on (`cancellation.py` says why that is needed).

This module knows nothing of chat, routes or retries. Foreign exceptions become those of `errors.py` here and
nowhere else.
"""

import math
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies, select_proxy
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from errors import Cancelled, ConnectFailed, HeadTimeout, ProxyError, StreamBroken
from upstream.cancellation import CancelToken, SocketHandle

READ_BYTES = 65536  # one read takes what has arrived, up to this
SILENCE_TOLERANCE = 0.05  # of a read's time limit
POOL_SIZE = 128  # idle connections kept per provider; as many as there can be streams
# What requests, urllib3 and the socket raise.
_FOREIGN = (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError)


class _CurrentCall(threading.local):
    """The call that this thread is making. urllib3 passes nothing of ours down to its connections."""

    cancel_token: CancelToken
    read_s: float  # the silence that the call allows


_current = _CurrentCall()


class _Connection(HTTPConnection):
    """A connection that a `CancelToken` can shut down."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.token_lock = threading.Lock()
        self.cancel_token: CancelToken | None = None
        # The socket an answer is read from, also when this connection has let go of it.
        self.answering: socket.socket | None = None
        self.idle_since = math.inf  # monotonic, while it waits in its pool
        self._handle = SocketHandle()
        self._handing_over = False

    def _new_conn(self) -> socket.socket:
        """Connect as urllib3 does, but have the socket in hand while it is still connecting."""
        try:
            addresses = socket.getaddrinfo(self._dns_host, self.port, 0, socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            raise NameResolutionError(self.host, self, error) from error  # type: ignore[arg-type]  # as urllib3 does
        last: Exception | None = None
        for family, kind, protocol, _, address in addresses:
            try:
                return self._dial(socket.socket(family, kind, protocol), address)
            except TimeoutError as error:
                message = f"connection to {self.host} timed out (connect timeout={self.timeout})"
                last = ConnectTimeoutError(self, message)
                last.__cause__ = error
            except OSError as error:
                last = NewConnectionError(self, str(error))
                last.__cause__ = error
        raise last or NewConnectionError(self, "the name has no address")

    def _dial(self, sock: socket.socket, address: Any) -> socket.socket:
        try:
            for option in self.socket_options or ():
                sock.setsockopt(*option)
            self._handle.hold(sock)
            token = _current.cancel_token
            token.take(self)
            sock.settimeout(self.timeout)
            sock.connect(address)
            # A socket shut down while connecting looks connected, and a TLS layer over it is never closed.
            if token.cancelled:
                raise Cancelled("hung up")
            return sock
        except BaseException:
            sock.close()
            raise

    def connect(self) -> None:
        super().connect()
        token = _current.cancel_token
        if token.cancelled:
            raise Cancelled("hung up")  # a TLS handshake may have ended before it noticed
        token.connected_at = time.monotonic()
        # Else a large body would have to be sent within the time for connecting.
        self.sock.settimeout(_current.read_s)

    def request(self, *args: Any, **kwargs: Any) -> None:
        token = _current.cancel_token
        if self.sock is not None:
            self.timeout = _current.read_s
        token.reused = self.sock is not None and self.cancel_token is not token
        token.take(self)
        if token.reused:
            token.connected_at = time.monotonic()
        super().request(*args, **kwargs)

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # urllib3's own overrides it so
        """The head of an answer.

        An answer whose end will be the connection's (HTTP/1.0, "Connection: close") takes the socket along.
        Then http.client closes this connection at once, but the handle is still needed.
        """
        self.answering = self.sock
        self._handing_over = True
        try:
            return super().getresponse()
        finally:
            self._handing_over = False

    def end_call(self) -> None:
        """Called when an answer has been read to its end: from here on its cancel token has no hold on us."""
        with self.token_lock:
            self.cancel_token = None
        self.idle_since = time.monotonic()
        if self.sock is None:
            self._release()

    def close(self) -> None:
        if not self._handing_over:
            self._release()
        super().close()

    def shutdown_socket(self) -> None:
        self._handle.shutdown()

    def _release(self) -> None:
        self.answering = None
        self._handle.release()


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    """A pool that tells a connection that its call has ended, and uses none that was idle for too long."""

    ConnectionCls = _Connection
    longest_idle_s = math.inf

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection: Any = super()._get_conn(timeout)
        if connection.sock is not None and time.monotonic() - connection.idle_since > self.longest_idle_s:
            connection.close()  # it connects anew by itself
        return connection

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.end_call()
        super()._put_conn(conn)


class _TlsPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS = {"http": _Pool, "https": _TlsPool}


class _Adapter(HTTPAdapter):
    def __init__(self, longest_idle_s: float, **kwargs: Any) -> None:
        self._longest_idle_s = longest_idle_s
        self._pools: dict[str, Any] = {}  # by host and port
        super().__init__(**kwargs)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def get_connection_with_tls_context(
        self, request: Any, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """requests finds pool, path and TLS anew for each call; ours never change for a server."""
        origin = request.url.split("/", 3)[2]
        pool: Any = self._pools.get(origin)
        if pool is None:
            pool = super().get_connection_with_tls_context(request, verify, proxies, cert)
            pool.longest_idle_s = self._longest_idle_s
            self._pools[origin] = pool
        return pool

    def build_response(self, req: Any, resp: Any) -> requests.Response:
        """requests also collects cookies and guesses an encoding; nobody here needs either."""
        response = requests.Response()
        response.status_code = resp.status
        response.headers = resp.headers
        response.raw = resp
        response.request = req
        return response

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


class Upstream:
    """One server we dial: its address, its headers and its pool of connections, found out once."""

    def __init__(self, headers: Mapping[str, str], longest_idle_s: float = math.inf) -> None:
        """headers: sent with every request (authorization among them); never logged.

        longest_idle_s: a connection that has been idle for longer is not used again. A machine that went to
        sleep does not close its connections, and a request sent on one would wait for as long as an answer
        may take.
        """
        self._headers = {
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "headstart",
            **headers,
        }
        self._adapter = _Adapter(longest_idle_s, pool_connections=4, pool_maxsize=POOL_SIZE)
        # requests' own per-call look-ups (environment, .netrc) cost more than the call on loopback; once is
        # enough.
        self._verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        self._proxies: dict[str, dict[str, str] | None] = {}

    def call(
        self,
        cancel_token: CancelToken,
        method: str,
        url: str,
        body: bytes | None = None,
        *,
        connect_s: float,
        read_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send one request and return its response as soon as the headers are there.

        cancel_token: by which another thread may cancel the call. headers: besides those that every request
        carries. connect_s: until the connection stands, in seconds. read_s: the time for sending the request,
        and then the longest silence (between bytes, not for the whole answer).
        Raises Cancelled after `cancel_token.cancel()`, ConnectFailed if the request was surely not received,
        HeadTimeout if no headers came within read_s, StreamBroken if the connection ended first.
        """
        request = requests.PreparedRequest()
        request.method, request.url, request.body = method, url, body
        request.headers = requests.structures.CaseInsensitiveDict(
            self._headers if not headers else {**headers, **self._headers}
        )
        if body is not None:
            request.headers["Content-Length"] = str(len(body))
        _current.cancel_token, _current.read_s = cancel_token, read_s
        try:
            try:
                return self._send(request, connect_s, read_s)
            except requests.exceptions.ConnectionError as error:
                # A kept-alive connection that the server closed just as we took it: it saw nothing, so send
                # the request again on a fresh one.
                if not cancel_token.reused or cancel_token.cancelled or not _closed_unanswered(error):
                    raise
            return self._send(request, connect_s, read_s)
        except _FOREIGN as error:
            raise _translated(error, cancel_token) from error
        finally:
            del _current.cancel_token

    def _send(self, request: requests.PreparedRequest, connect_s: float, read_s: float) -> requests.Response:
        return self._adapter.send(
            request,
            stream=True,
            timeout=(connect_s, read_s),
            verify=self._verify,
            proxies=self._proxy_for(request.url or ""),
        )

    def _proxy_for(self, url: str) -> dict[str, str] | None:
        origin = url.split("/", 3)[2]
        if origin not in self._proxies:
            proxy = select_proxy(url, get_environ_proxies(url))
            self._proxies[origin] = {url.split(":", 1)[0]: proxy} if proxy else None
        return self._proxies[origin]


def read_some(response: requests.Response, cancel_token: CancelToken) -> bytes:
    """The next bytes of an answer as they arrive, b"" at its end.

    Raises Cancelled after `cancel_token.cancel()`, HeadTimeout when nothing came within the socket's timeout,
    StreamBroken when the connection ended too early.
    """
    try:
        data: bytes = response.raw.read1(READ_BYTES, decode_content=False)
    except _FOREIGN as error:
        raise _translated(error, cancel_token) from error
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

    max_bytes: raises StreamBroken once there are more. truncate: reading ends there instead, and what the
    last read brought beyond it stays. deadline: monotonic; raises HeadTimeout when the answer has not ended
    by then. Besides these, it raises what `read_some` does.
    """
    parts: list[bytes] = []
    size = 0
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
        if max_bytes is not None and truncate and size >= max_bytes:
            break
        if max_bytes is not None and size > max_bytes:
            raise StreamBroken("its answer is too long")
    return b"".join(parts)


def set_silence(response: requests.Response, silence_s: float) -> None:
    """Set how long the next read may block, in seconds, to within SILENCE_TOLERANCE."""
    connection = response.raw.connection
    if not isinstance(connection, _Connection) or connection.answering is None:
        return
    # Setting it is a system call that hands the interpreter to other threads; mostly it is right already.
    now_s = connection.answering.gettimeout()
    if now_s is None or abs(now_s - silence_s) > SILENCE_TOLERANCE * silence_s:
        connection.answering.settimeout(silence_s)


def _translated(error: BaseException, cancel_token: CancelToken) -> ProxyError:
    """One of errors.py for an exception of requests, urllib3 or the socket: by type, never by text."""
    causes = list(_causes(error))

    def caused_by(*types: type[BaseException]) -> bool:
        return any(isinstance(cause, types) for cause in causes)

    if cancel_token.cancelled or caused_by(Cancelled):
        return Cancelled("hung up")
    if caused_by(NameResolutionError):
        return ConnectFailed("its name could not be resolved")
    # urllib3 has refusals among its time-outs.
    if any(
        isinstance(cause, ConnectTimeoutError) and not isinstance(cause, NewConnectionError)
        for cause in causes
    ):
        return ConnectFailed("no connection in time")
    if caused_by(urllib3.exceptions.SSLError, requests.exceptions.SSLError):
        return ConnectFailed("the TLS handshake failed")
    if caused_by(ConnectionRefusedError):
        return ConnectFailed("connection refused")
    if caused_by(NewConnectionError, requests.exceptions.ProxyError):
        return ConnectFailed("no connection")
    if caused_by(urllib3.exceptions.ReadTimeoutError, requests.exceptions.ReadTimeout, TimeoutError):
        return HeadTimeout("it stayed silent too long")
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader, ValueError)):
        return ConnectFailed("its address or headers are not usable")
    return StreamBroken("it closed the connection before the answer was complete")


def _closed_unanswered(error: BaseException) -> bool:
    # RemoteDisconnected is a ConnectionResetError.
    return any(isinstance(cause, (ConnectionResetError, BrokenPipeError)) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception, what it wraps and what caused it.

    requests and urllib3 nest the real reason in arguments and attributes.
    """
    seen: set[int] = set()
    pending: list[object] = [error]
    while pending:
        current = pending.pop()
        if not isinstance(current, BaseException) or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        pending += [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]
