"""Base URLs as people write them."""

import pytest

from settings.base_urls import repaired_search_url, repaired_url

V1 = "http://192.168.1.10:8000/v1"
NO_V1, NO_HTTP, SLASH = "has no /v1", "has no http://", "ends in a slash"


@pytest.mark.parametrize(
    "row",
    [
        (V1, V1),
        (f" {V1} ", V1),
        (f"{V1}/", V1, SLASH),
        (f"{V1}//", V1, SLASH),
        ("http://192.168.1.10:8000", V1, NO_V1),
        ("http://192.168.1.10:8000/", V1, NO_V1),
        ("192.168.1.10:8000", V1, NO_HTTP, NO_V1),
        ("192.168.1.10:8000/v1", V1, NO_HTTP),
        (f"{V1}/chat/completions", V1, "ends in /chat/completions"),
        (f"{V1}/models/", V1, "ends in /models"),
        ("http://box.lan:11434", "http://box.lan:11434/v1", NO_V1),
        ("http://box.lan:11434/api", "http://box.lan:11434/v1", "has /api instead of /v1"),
        ("http://box.lan:11434/api/chat", "http://box.lan:11434/v1", "has /api/chat instead of /v1"),
        ("http://box.lan:1234/api/v0/", "http://box.lan:1234/v1", "has /api/v0 instead of /v1"),
        ("http://box.lan:5000/api/tags", "http://box.lan:5000/v1", "has /api/tags instead of /v1"),
        ("localhost:1234", "http://localhost:1234/v1", NO_HTTP, NO_V1),
        ("box:8080", "http://box:8080/v1", NO_HTTP, NO_V1),
        ("[::1]:8000", "http://[::1]:8000/v1", NO_HTTP, NO_V1),
        ("http://me:secret@box.lan:8000", "http://me:secret@box.lan:8000/v1", NO_V1),
        ("https://llm.example.com", "https://llm.example.com/v1", NO_V1),
    ],
)
def test_what_is_clear_is_repaired_and_said(row):
    written, url, *problems = row

    assert repaired_url(written)[:3] == (written.strip(), url, tuple(problems))


@pytest.mark.parametrize(
    "url",
    [
        "https://openrouter.ai/api/v1",
        "https://api.x.ai/v1",
        "http://box.lan:3000/api",
        "https://llm.example.com/api/v1",
        "http://box.lan:8000/openai",
    ],
)
def test_a_path_that_may_be_meant_is_left_alone(url):
    assert repaired_url(url) == (url, url, (), False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nowhere",
        "llm.example.com",
        "far?token=hush",
        "two words",
        "ftp://box",
        "http://box:99x",
        "http://box?x=1",
    ],
)
def test_what_is_no_address_is_left_for_the_settings_check(text):
    assert repaired_url(text) == (text, text, (), False)


@pytest.mark.parametrize(
    "url, guessed",
    [("http://box:9000", True), ("http://box:11434", False), ("http://box:1234", False), (V1, False)],
)
def test_only_a_root_at_no_known_port_is_a_guess(url, guessed):
    assert repaired_url(url).guessed is guessed


SEARX = "http://192.168.1.10:8080"


@pytest.mark.parametrize(
    "row",
    [
        (SEARX, SEARX),
        (f"{SEARX}/", SEARX, SLASH),
        ("192.168.1.10:8080", SEARX, NO_HTTP),
        (f"{SEARX}/search", SEARX, "ends in /search"),
        (f"{SEARX}/search?q=<query>", SEARX, "ends in /search?q=<query>"),
        ("192.168.1.10:8080/search?q=", SEARX, NO_HTTP, "ends in /search?q="),
        (f"{SEARX}/searxng/", f"{SEARX}/searxng", SLASH),
        ("searx.example.com", "searx.example.com"),
    ],
)
def test_the_address_of_a_search_engine_is_repaired_as_well(row):
    written, url, *problems = row

    assert repaired_search_url(written)[:3] == (written, url, tuple(problems))
