"""Pages of the open web, a few at once, read within a time and a size.

Their addresses come from search results, so from strangers, and may point anywhere: at the router, at a
cloud's metadata service, at this machine. So a name is resolved first, each address is judged, and the socket
is connected to the very address that was judged; nothing looks the name up a second time. Redirects are
followed by hand, each hop judged anew. No proxy of the environment is used, since there the proxy would
resolve the name; no cookie, key or Referer is ever sent.

The calls to providers keep a pool for each server (`upstream/connection.py`); here every server is a new one
and sees one request. This module knows nothing of searches or of HTML.
"""

import http.client
import os
import queue
import socket
import ssl
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit

import requests
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from errors import Cancelled
from settings.addresses import is_public
from settings.model import Pages
from telemetry.call_timing import ms_since
from upstream.cancellation import OnCancel, SocketHandle

THREADS = 16  # of all searches; one may hang in a name look-up, which cannot be cancelled: the others go on
CONNECT_S = 2.0  # for one address; the next of the name may answer
MAX_REDIRECTS = 4
READ_BYTES = 65536
REDIRECTS = (301, 302, 303, 307, 308)
HEADERS = {
    # Some sites refuse what does not begin like a browser.
    "User-Agent": "Mozilla/5.0 (compatible; Headstart)",
    "Accept": "text/html,application/xhtml+xml,text/plain;q=0.9,application/json;q=0.8",
    "Accept-Encoding": "gzip",
    "Connection": "close",
}


class Page(NamedTuple):
    """A page as it came, unpacked. body: at most `max_kb` of it."""

    url: str
    content_type: str
    body: bytes


class Outcome(NamedTuple):
    """What came of one URL: a page, or None and why. ms: how long it took, None when it came too late."""

    page: Page | None
    error: str | None
    ms: int | None


class Unreadable(Exception):
    """A page that could not be read, and why. No failure: the search's own snippet is used instead."""


class Reader:
    """Reads the pages of all searches."""

    def __init__(self, is_text: Callable[[str], bool]) -> None:
        """is_text: whether a page of a Content-Type is worth reading."""
        self._is_text = is_text
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="pages")
        self._tls = _tls_context()

    def read(self, urls: list[str], limits: Pages, deadline: float, on_cancel: OnCancel) -> list[Outcome]:
        """The Outcomes of the URLs, in their order.

        deadline: monotonic; what is not there by then is left behind. on_cancel: is given a function that
        ends everything at once. Raises Cancelled after that.
        """
        # Of (position, Outcome); None when the client has gone.
        arrived: queue.SimpleQueue[tuple[int, Outcome] | None] = queue.SimpleQueue()
        fetches = [_Fetch(url, limits, self._tls, self._is_text, deadline) for url in urls]

        def cancel() -> None:
            for fetch in fetches:
                fetch.cancel()
            arrived.put(None)

        def fetch_one(position: int, fetch: _Fetch) -> None:
            arrived.put((position, fetch.outcome()))

        on_cancel(cancel)
        for position, fetch in enumerate(fetches):
            self._threads.submit(fetch_one, position, fetch)
        outcomes = [Outcome(None, "it was not there in time", None)] * len(urls)
        try:
            for _ in urls:
                arrival = arrived.get(timeout=max(0.0, deadline - time.monotonic()))
                if arrival is None:
                    raise Cancelled("hung up")
                position, outcome = arrival
                outcomes[position] = outcome
        except queue.Empty:
            pass
        finally:
            for fetch in fetches:
                fetch.cancel()
        return outcomes


class _Fetch:
    """One page on its way: outcome() on one thread, cancel() from any other."""

    def __init__(
        self,
        url: str,
        limits: Pages,
        tls: ssl.SSLContext,
        is_text: Callable[[str], bool],
        deadline: float,
    ) -> None:
        self._url = url
        self._limits = limits
        self._tls = tls
        self._is_text = is_text
        self._deadline = deadline
        self._cancelled = False
        self._handle = SocketHandle()

    def cancel(self) -> None:
        """End it, at any moment and more than once."""
        self._cancelled = (
            True  # first: whoever connects meanwhile looks after it has given the handle its socket
        )
        self._handle.shutdown()

    def outcome(self) -> Outcome:
        started, page, error = time.monotonic(), None, None
        try:
            page = self._page()
        except Unreadable as unreadable:
            error = str(unreadable)
        except TimeoutError:
            error = "it was too slow"
        except ssl.SSLError:
            error = "the TLS handshake failed"
        except (OSError, http.client.HTTPException, zlib.error, ValueError) as broken:
            # By its type alone: what a stranger's server writes stays out of the record.
            error = f"it could not be read: {type(broken).__name__}"
        return Outcome(page, error, ms_since(started))

    def _page(self) -> Page:
        url, location = "", self._url
        for _ in range(MAX_REDIRECTS + 1):
            url, parts, port = _checked(url, location)
            found = self._request(url, parts, port)
            if isinstance(found, Page):
                return found
            location = found
        raise Unreadable("it redirects too often")

    def _request(self, url: str, parts: SplitResult, port: int) -> Page | str:
        """The page at a checked URL, or where it redirects to."""
        host = parts.hostname or ""
        sock = self._connected(host, port)
        try:
            if parts.scheme == "https":
                sock = self._tls.wrap_socket(sock, server_hostname=host)
            connection = http.client.HTTPConnection(host)
            connection.sock = sock  # so that it dials nobody itself
            connection.request(
                "GET",
                (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
                headers={"Host": parts.netloc, **HEADERS},
            )
            response = connection.getresponse()
            with response:
                return self._read(response, url)
        finally:
            sock.close()
            self._handle.release()

    def _connected(self, host: str, port: int) -> socket.socket:
        """A socket connected to an address of the host that may be dialled."""
        refusal: Unreadable | None = None
        failure: OSError | None = None
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            if not (self._limits.allow_private or is_public(str(address[0]))):
                refusal = Unreadable("its address is not a public one")
                continue
            try:
                return self._dial(socket.socket(family, kind, protocol), address)
            except OSError as error:
                failure = error
        raise failure or refusal or Unreadable("its name has no address")

    def _dial(self, sock: socket.socket, address: tuple[object, ...]) -> socket.socket:
        try:
            self._handle.hold(sock)
            self._check_cancelled()
            left_s = self._deadline - time.monotonic()
            sock.settimeout(max(0.001, min(CONNECT_S, left_s)))
            sock.connect(address)
            self._check_cancelled()  # a socket shut down while connecting looks connected
            # For each wait; that the whole takes no longer is the reader's care, who cancels at the deadline.
            sock.settimeout(max(0.001, left_s))
            return sock
        except BaseException:
            sock.close()
            self._handle.release()
            raise

    def _check_cancelled(self) -> None:
        if self._cancelled:
            raise Unreadable("it was hung up")

    def _read(self, response: http.client.HTTPResponse, url: str) -> Page | str:
        location = response.headers.get("Location")
        if response.status in REDIRECTS and location:
            return location
        if response.status != 200:
            raise Unreadable(f"it answered {response.status}")
        content_type = response.headers.get("Content-Type", "")
        if not self._is_text(content_type):
            raise Unreadable("it is no text")
        packing = response.headers.get("Content-Encoding", "identity").strip().lower()
        if packing not in ("identity", "gzip", "x-gzip", ""):
            raise Unreadable("it is packed in an unknown way")
        max_bytes = self._limits.max_kb * 1024
        body = bytearray()
        while len(body) < max_bytes and (more := response.read1(min(READ_BYTES, max_bytes - len(body)))):
            body += more
        if "gzip" in packing:
            return Page(url, content_type, _unpacked(body, max_bytes))
        return Page(url, content_type, bytes(body))


def _unpacked(body: bytearray, max_bytes: int) -> bytes:
    return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(body, max_bytes)


def _checked(base: str, url: str) -> tuple[str, SplitResult, int]:
    """(URL, its parts, port) as the wire wants it: absolute, names in ASCII, blanks and umlauts quoted.

    Raises Unreadable when it is nothing to dial.
    """
    request = requests.PreparedRequest()
    try:
        request.prepare_url(urljoin(base, url), None)
        prepared = request.url or ""
        parts = urlsplit(prepared)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except (requests.RequestException, ValueError) as error:
        raise Unreadable("its address is not usable") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise Unreadable("its address is not usable")
    return prepared, parts, port


def _tls_context() -> ssl.SSLContext:
    """Trusts whom the calls to providers trust."""
    trusted: str = (
        os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or DEFAULT_CA_BUNDLE_PATH
    )
    if os.path.isdir(trusted):
        return ssl.create_default_context(capath=trusted)
    return ssl.create_default_context(cafile=trusted)
