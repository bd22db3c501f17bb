"""Pages of strangers: what is dialled and what is not, how much is read, how long, and that it ends."""

import gzip
import ipaddress
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from errors import Cancelled
from search import fetcher as pages
from search.fetcher import Reader, is_public
from settings.model import Pages
from tests.support.fake_upstream import HANG_GUARD_S
from tests.support.fake_web import FakeWeb
from tests.support.server import ROOT
from wire import webpage

CERTIFICATE = ROOT / "tests/support/loopback.pem"
OPEN = Pages(allow_private=True)
REFUSED = "its address is not a public one"


@pytest.fixture
def thread():
    executor = ThreadPoolExecutor(1)
    yield executor
    executor.shutdown()


def read(*urls, limits=OPEN, within_s=HANG_GUARD_S, on_cancel=lambda cut: None):
    return Reader(webpage.is_readable).read(urls, limits, time.monotonic() + within_s, on_cancel)


def error_of(url, limits=OPEN):
    (outcome,) = read(url, limits=limits)
    assert outcome.page is None
    return outcome.error


# What is dialled.

PRIVATE = [
    "127.0.0.1", "127.255.0.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "100.64.0.1", "100.127.255.255", "192.0.0.8", "192.0.0.170", "192.0.2.1",
    "198.18.0.1", "203.0.113.5", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "::",
    "::1", "::127.0.0.1", "fe80::1", "fe80::1%1", "fec0::1", "fc00::1", "fd12:3456::1", "ff02::1",
    "ff0e::1", "2001:db8::1", "2001::1", "2002:7f00:1::", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "::ffff:169.254.169.254", "64:ff9b::10.0.0.1", "64:ff9b:1::1", "5f00::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_of_the_open_internet_is_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "93.184.215.14",
        "172.32.0.1",
        "100.128.0.1",
        "2606:4700::1111",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
    ],
)
def test_an_address_of_the_open_internet_is_public(address):
    assert is_public(address)


def host_of(address):
    return f"[{address}]" if ipaddress.ip_address(address).version == 6 else address


@pytest.mark.parametrize(
    "host",
    [
        *map(host_of, ("127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1")),
        "localhost",
        "127.1",
        "0x7f.1",
        "2130706433",
        "0",
    ],
)
def test_a_host_that_comes_to_a_private_address_is_not_dialled(web, host):
    web.serves("/", "<p>the router's own page")

    assert error_of(f"http://{host}:{web.port}/", Pages()) == REFUSED
    assert web.requests == []


@pytest.mark.parametrize(
    "host", ["127.0.0.2", "10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:127.0.0.2]", "127.2"]
)
def test_a_redirect_to_a_private_address_is_not_followed(web, monkeypatch, host):
    monkeypatch.setattr(
        pages, "is_public", lambda address: address == "127.0.0.1"
    )  # else there would be no first hop
    start = web.redirects("/start", f"http://{host}:{web.port}/inside")

    assert error_of(start, Pages()) == REFUSED
    assert web.paths == ["/start"]


def test_the_address_that_was_judged_is_the_one_that_is_dialled(web, monkeypatch):
    """A name whose address changes each time (DNS rebinding) is looked up once; no library looks again."""
    look_up, asked = socket.getaddrinfo, []

    def changing(host, port, *args, **kwargs):
        asked.append(host)
        return look_up("127.0.0.1" if len(asked) == 1 else "127.0.0.2", port, *args, **kwargs)

    judged = []
    monkeypatch.setattr(socket, "getaddrinfo", changing)
    monkeypatch.setattr(pages, "is_public", lambda address: judged.append(address) or address == "127.0.0.1")
    web.serves("/", "<p>hello")

    (outcome,) = read(f"http://rebound.example:{web.port}/", limits=Pages())

    assert outcome.page.body == b"<p>hello"
    assert (asked, judged) == (["rebound.example"], ["127.0.0.1"])
    assert web.requests[0].headers["Host"] == f"rebound.example:{web.port}"


def test_of_a_names_addresses_only_the_public_ones_are_dialled(web, monkeypatch):
    look_up = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *args, **kwargs: (
            look_up("127.0.0.2", *args, **kwargs) + look_up("127.0.0.1", *args, **kwargs)
        ),
    )
    monkeypatch.setattr(pages, "is_public", lambda address: address == "127.0.0.1")
    web.serves("/", "<p>hello")

    (outcome,) = read(f"http://both.example:{web.port}/", limits=Pages())

    assert outcome.page.body == b"<p>hello"


def test_a_proxy_of_the_environment_is_not_used(web, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    url = web.serves("/", "<p>hello")

    assert read(url)[0].page.body == b"<p>hello"


NO_WEB_ADDRESSES = [
    "file:///etc/passwd",
    "ftp://127.0.0.1/",
    "gopher://127.0.0.1/",
    "javascript:alert(1)",
    "http://[::1/",
    "http://127.0.0.1:x/",
    "http://*/",
]
NO_WEB_ADDRESSES += ["http://user:pw@127.0.0.1/", "http://127.0.0.1:99999/"]


@pytest.mark.parametrize("url", [*NO_WEB_ADDRESSES, "http://", "http:///x", "//x", ""])
def test_what_is_no_web_address_is_not_dialled(url):
    assert error_of(url) == "its address is not usable"


@pytest.mark.parametrize("location", NO_WEB_ADDRESSES)
def test_a_redirect_leads_to_web_addresses_only(web, location):
    assert error_of(web.redirects("/start", location)) == "its address is not usable"


def test_redirects_are_followed_to_where_they_lead(web):
    web.serves("/end", "<p>there")
    web.redirects("/middle", "../end?q=ö#part")

    (outcome,) = read(web.redirects("/start", f"{web.url}/middle"))

    assert outcome.page.body == b"<p>there"
    assert outcome.page.url.startswith(f"{web.url}/end?q=%C3%B6")
    assert web.paths == ["/start", "/middle", "/end?q=%C3%B6"]


def test_redirects_in_a_circle_come_to_an_end(web):
    assert error_of(web.redirects("/round", "/round")) == "it redirects too often"
    assert len(web.requests) == 5


def test_nothing_personal_is_sent_along(web):
    read(web.serves("/", "<p>hello", Set_Cookie="a=b"))

    assert web.requests[0].headers.keys() == {"Host", "User-Agent", "Accept", "Accept-Encoding", "Connection"}


# How much is read.


def test_of_a_large_page_the_beginning_is_read(web):
    url = web.serves("/", b"<p>" + b"x" * 3_000_000)

    (outcome,) = read(url, limits=Pages(allow_private=True, max_kb=64))

    assert len(outcome.page.body) == 64 * 1024


def test_a_packed_page_is_unpacked_up_to_the_same_size(web):
    url = web.serves("/", gzip.compress(b"<p>" + b"x" * 50_000_000), Content_Encoding="gzip")

    (outcome,) = read(url, limits=Pages(allow_private=True, max_kb=64))

    assert outcome.page.body[:5] == b"<p>xx"
    assert len(outcome.page.body) == 64 * 1024


def test_a_packed_page_that_is_cut_off_is_unpacked_as_far_as_it_goes(web):
    noise = bytes(i * i % 251 for i in range(200_000))
    url = web.serves("/", gzip.compress(noise, 0), Content_Encoding="gzip")

    (outcome,) = read(url, limits=Pages(allow_private=True, max_kb=64))

    assert noise.startswith(outcome.page.body)
    assert len(outcome.page.body) > 60_000


@pytest.mark.parametrize("script, error", [
    ({"body": "gone", "status": 404}, "it answered 404"),
    ({"body": "", "status": 302}, "it answered 302"),
    ({"body": "%PDF", "content_type": "application/pdf"}, "it is no text"),
    ({"body": "x", "content_type": "image/svg;charset=utf-8"}, "it is no text"),
    ({"body": "x", "Content_Encoding": "br"}, "it is packed in an unknown way"),
    ({"body": "no gzip", "Content_Encoding": "gzip"}, "it could not be read: error"),
])  # fmt: skip
def test_what_cannot_be_used_says_why(web, script, error):
    assert error_of(web.serves("/", **script)) == error


@pytest.mark.parametrize(
    "kind",
    [
        "text/html",
        "TEXT/HTML; charset=x",
        "text/plain",
        "application/xhtml+xml",
        "application/json",
        "application/rss+xml",
        "",
    ],
)
def test_text_of_any_kind_is_read(web, kind):
    assert read(web.serves("/", "<p>hello", content_type=kind))[0].page.content_type == kind


def test_a_server_that_talks_nonsense_is_told_as_that(web):
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as answering:

        def answer():
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"secret nonsense\r\n\r\n")

        answering.submit(answer)
        told = error_of(f"http://127.0.0.1:{listening.getsockname()[1]}/")

    assert told == "it could not be read: BadStatusLine"


def test_nobody_there_is_told(web):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening

        assert (
            error_of(f"http://127.0.0.1:{taken.getsockname()[1]}/")
            == "it could not be read: ConnectionRefusedError"
        )


# TLS.


@pytest.fixture
def guarded():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    web = FakeWeb(context)
    yield web
    web.close()


def test_a_page_over_tls_is_read_when_its_certificate_is_good(guarded, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATE))

    assert read(guarded.serves("/", "<p>hello"))[0].page.body == b"<p>hello"


def test_a_page_whose_certificate_nobody_knows_is_not_read(guarded, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)

    assert error_of(guarded.serves("/", "<p>hello")) == "the TLS handshake failed"
    assert guarded.requests == []


def test_a_certificate_of_another_name_is_refused(guarded, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATE))
    guarded.serves("/", "<p>hello")

    assert error_of(f"https://127.1:{guarded.port}/") == "the TLS handshake failed"
    assert guarded.requests == []


# How long, and the end.


@pytest.mark.parametrize("slow", ["stalls", "drips"])
def test_what_is_not_there_in_time_is_left_behind_and_hung_up(web, slow):
    quick, late = web.serves("/quick", "<p>hello"), getattr(web, slow)("/late")

    outcomes = read(late, quick, late, within_s=0.5)

    # Who notices first that the time is over decides the words: who waits, or who reads.
    late_words = {"it was not there in time", "it was too slow"}
    assert {outcomes[0].error, outcomes[2].error} <= late_words
    assert outcomes[1].error is None
    assert outcomes[1].page.body == b"<p>hello"
    assert web.wait_asked("/late").hung_up.wait(HANG_GUARD_S)


@pytest.mark.parametrize("slow", ["stalls", "drips"])
def test_hanging_up_ends_the_reading_and_every_connection(web, thread, slow):
    levers = []
    urls = [getattr(web, slow)(f"/{i}") for i in range(3)]
    reading = thread.submit(read, *urls, on_cancel=levers.append)
    asked = [web.wait_asked(f"/{i}") for i in range(3)]

    levers[0]()

    with pytest.raises(Cancelled):
        reading.result(HANG_GUARD_S)
    assert all(one.hung_up.wait(HANG_GUARD_S) for one in asked)


def test_hanging_up_does_not_wait_for_a_name_look_up(web, thread, monkeypatch):
    looked_up, levers, asked = threading.Event(), [], threading.Event()

    def hanging(*args, **kwargs):
        asked.set()
        looked_up.wait(HANG_GUARD_S)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    reading = thread.submit(read, "http://slow.example/", on_cancel=levers.append)
    assert asked.wait(HANG_GUARD_S)

    levers[0]()

    with pytest.raises(Cancelled):
        reading.result(HANG_GUARD_S / 2)
    looked_up.set()


def test_who_is_gone_before_it_begins_reads_nothing(web):
    url = web.serves("/", "<p>hello")

    with pytest.raises(Cancelled):
        read(url, on_cancel=lambda cut: cut())

    assert web.requests == []
