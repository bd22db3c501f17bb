"""Pages of the open web, a few at once, read within a time and a size.

Their addresses come from search results, so from strangers, and may point anywhere: at the router, at a cloud's metadata service, at this machine. So a
name is resolved first, each address is judged, and the socket is connected to the very address that was judged; nothing looks the name up a second time.
Redirects are followed by hand, each hop judged anew. No proxy of the environment is used, since there the proxy would resolve the name; no cookie, key or
Referer is ever sent.

`upstream.py` keeps a pool for each server it dials; here every server is a new one and sees one request. It knows nothing of searches or of HTML.
"""

import http.client
import os
import queue
import socket
import ssl
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

import requests

from errors import Cancelled
from settings.addresses import is_public

THREADS = (
    16  # of all searches; one may hang in a name look-up, which cannot be cut, and then the others go on
)
CONNECT_S = 2.0  # for one address; the next of the name may answer
MAX_REDIRECTS = 4
READ_BYTES = 65536
REDIRECTS = (301, 302, 303, 307, 308)
HEADERS = {
    "User-Agent": "Mozilla/5.0 (compatible; Headstart)",  # some sites refuse what does not begin like a browser
    "Accept": "text/html,application/xhtml+xml,text/plain;q=0.9,application/json;q=0.8",
    "Accept-Encoding": "gzip",
    "Connection": "close",
}


class Page(NamedTuple):
    """A page as it came, unpacked. body: bytes, at most `max_kb` of them."""

    url: str
    content_type: str
    body: bytes


class Outcome(NamedTuple):
    """What came of one URL: a page, or None and why. ms: how long it took, None when it was not there in time."""

    page: Page | None
    error: str | None
    ms: int | None


class Unreadable(Exception):
    """A page that could not be read; says why. It is nobody's failure: the search's own snippet is used instead."""


class Reader:
    """Reads the pages of all searches."""

    def __init__(self, is_text):
        """is_text: tells of a Content-Type whether a page of it is worth reading."""
        self._is_text = is_text
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="pages")
        self._tls = _tls_context()

    def read(self, urls, limits, deadline, on_cancel):
        """The Outcomes of the URLs, in their order.

        limits: a config.Pages. deadline: monotonic; what is not there by then is left behind. on_cancel: is given a function that ends everything
        at once. Raises Cancelled after that.
        """
        arrived = queue.SimpleQueue()
        fetches = [_Fetch(url, limits, self._tls, self._is_text, deadline) for url in urls]

        def cut():
            for fetch in fetches:
                fetch.cut()

        def hang_up():
            cut()
            arrived.put(None)

        on_cancel(hang_up)
        for i, fetch in enumerate(fetches):
            self._threads.submit(lambda i=i, fetch=fetch: arrived.put((i, fetch.outcome())))
        outcomes = [Outcome(None, "it was not there in time", None)] * len(urls)
        try:
            for _ in urls:
                news = arrived.get(timeout=max(0.0, deadline - time.monotonic()))
                if news is None:
                    raise Cancelled("hung up")
                outcomes[news[0]] = news[1]
        except queue.Empty:
            pass
        finally:
            cut()
        return outcomes


class _Fetch:
    """One page on its way: outcome() on one thread, cut() from any other."""

    def __init__(self, url, limits, tls, is_text, deadline):
        self._url = url
        self._limits = limits
        self._tls = tls
        self._is_text = is_text
        self._deadline = deadline
        self._lock = threading.Lock()
        self._was_cut = False
        self._lever = None  # a second handle on the socket: the TLS layer takes the first one away

    def cut(self):
        """Hang up, at any moment and more than once."""
        with self._lock:
            self._was_cut = True
            if self._lever is not None:
                try:
                    self._lever.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # the other side was quicker, or it is not connected yet

    def outcome(self):
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
            error = f"it could not be read: {type(broken).__name__}"  # what a stranger's server says stays out of the record
        return Outcome(page, error, round((time.monotonic() - started) * 1000))

    def _page(self):
        url, location = "", self._url
        for _ in range(MAX_REDIRECTS + 1):
            url, parts, port = _checked(url, location)
            found = self._ask(url, parts, port)
            if isinstance(found, Page):
                return found
            location = found
        raise Unreadable("it redirects too often")

    def _ask(self, url, parts, port):
        """The page at a checked URL, or where it redirects to."""
        sock = self._connected(parts.hostname, port)
        try:
            if parts.scheme == "https":
                sock = self._tls.wrap_socket(sock, server_hostname=parts.hostname)
            connection = http.client.HTTPConnection(parts.hostname)
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
            with self._lock:
                self._lever.close()
                self._lever = None

    def _connected(self, host, port):
        """A socket connected to an address of the host that may be dialled."""
        refused = reason = None
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            if not (self._limits.allow_private or is_public(address[0])):
                refused = Unreadable("its address is not a public one")
                continue
            try:
                return self._dial(socket.socket(family, kind, protocol), address)
            except OSError as error:
                reason = error
        raise reason or refused or Unreadable("its name has no address")

    def _dial(self, sock, address):
        try:
            with self._lock:
                if self._was_cut:
                    raise Unreadable("it was hung up")
                self._lever = sock.dup()
            left = self._deadline - time.monotonic()
            sock.settimeout(max(0.001, min(CONNECT_S, left)))
            sock.connect(address)
            with self._lock:
                if self._was_cut:  # a socket shut down while connecting looks connected
                    raise Unreadable("it was hung up")
            # For each wait; that the whole takes no longer is the reader's care, who cuts at the deadline.
            sock.settimeout(max(0.001, left))
            return sock
        except BaseException:
            sock.close()
            with self._lock:
                if self._lever is not None:
                    self._lever.close()
                    self._lever = None
            raise

    def _read(self, response, url):
        if response.status in REDIRECTS and response.headers.get("Location"):
            return response.headers["Location"]
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
            body = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(body, max_bytes)
        return Page(url, content_type, bytes(body))


def _checked(base, url):
    """(URL, its parts, port) as the wire wants it: absolute, names in ASCII, blanks and umlauts quoted. Raises Unreadable when it is nothing to dial."""
    request = requests.PreparedRequest()
    try:
        request.prepare_url(urljoin(base, url), None)
        parts = urlsplit(request.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except (requests.RequestException, ValueError) as error:
        raise Unreadable("its address is not usable") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise Unreadable("its address is not usable")
    return request.url, parts, port


def _tls_context():
    """Trusts whom the calls to providers trust."""
    trusted = (
        os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or requests.certs.where()
    )
    return ssl.create_default_context(**{"capath" if os.path.isdir(trusted) else "cafile": trusted})
