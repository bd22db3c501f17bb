"""A search as the session file has it."""

from search.call import SearchCall


def call(**more):
    return SearchCall("xai", "grok", [{"role": "user", "content": "rain?"}], {"temperature": 0}, 7, **more)


def test_a_search_stands_in_the_session_file_as_a_step():
    step = call(url="http://x/responses", duration_ms=5, status=200, citations=["https://a.example"])

    assert list(step.session_step().items()) == [
        ("step", "enrichment"),
        ("provider", "xai"),
        ("url", "http://x/responses"),
        ("model", "grok"),
        ("messages_sent", [{"role": "user", "content": "rain?"}]),
        ("params", {"temperature": 0}),
        ("started_ms", 7),
        ("duration_ms", 5),
        ("ttft_ms", None),
        ("status", 200),
        ("finish_reason", None),
        ("usage", None),
        ("response_content", None),
        ("citations", ["https://a.example"]),
        ("error", None),
    ]


def test_pages_come_last_and_only_where_they_are_read():
    assert list(call(pages=[]).session_step())[-2:] == ["error", "pages"]
    assert "pages" not in call().session_step()
