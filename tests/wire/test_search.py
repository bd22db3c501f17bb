"""What search engines, searching chat models and pages send, read without trusting any of it."""

import json

import pytest

from wire import chat_search, searxng, webpage
from wire.openai_chat import Assembly

HTML = "text/html; charset=utf-8"

# Queries.


@pytest.mark.parametrize("turns, query", [
    (["is it raining in Berlin?"], "is it raining in Berlin?"),
    (
        ["who won the chess world championship?", "and who was second?"],
        "who won the chess world championship? and who was second?",
    ),
    (
        ["write me a poem", "what is the weather like in Berlin today?"],
        "what is the weather like in Berlin today?",
    ),
    (["first", "is it raining?", ""], "first is it raining?"),
    (["  is\n it \t raining in Berlin today, or will it?"], "is it raining in Berlin today, or will it?"),
    (
        ["!!g :de <5 !images what is the !important rule of CSS?"],
        "g de 5 images what is the important rule of CSS?",
    ),
    ([""], ""),
    ([], ""),
])  # fmt: skip
def test_the_query_is_in_the_users_own_words(turns, query):
    said = [turn for words in turns for turn in (("user", words), ("assistant", "something else altogether"))]

    assert searxng.query_of(said) == query


def test_a_long_turn_is_searched_for_by_both_its_ends():
    pasted = "What is new in Python 3.15? " + "log line " * 1000 + "and is it out yet?"

    query = searxng.query_of([("user", pasted)])

    assert query.startswith("What is new in Python 3.15? log line")
    assert query.endswith("log line and is it out yet?")
    assert len(query) <= searxng.MAX_QUERY_CHARS


def test_a_word_without_end_is_cut_as_well():
    assert len(searxng.query_of([("user", "x" * 5000)])) <= searxng.MAX_QUERY_CHARS + 1


def test_a_long_turn_before_a_short_one_leaves_it_room():
    query = searxng.query_of([("user", "word " * 1000), ("user", "and tomorrow?")])

    assert query.endswith(" and tomorrow?")
    assert len(query) <= searxng.MAX_QUERY_CHARS


# SearXNG's results.


def test_results_are_taken_from_the_top_each_address_once():
    found = [
        {"url": f"https://{name}.example/", "title": name, "content": f"about {name}"}
        for name in ("a", "b", "a", "c", "d")
    ]

    assert [result.title for result in searxng.results_of({"results": found}, 3)] == ["a", "b", "c"]


def test_a_result_is_told_on_one_line_and_in_few_words():
    found = {
        "url": "https://a.example/",
        "title": " Rain\n\nin  Berlin",
        "content": "wet " * 1000,
        "publishedDate": "2026-11-19T08:00:00",
    }

    (result,) = searxng.results_of({"results": [found]}, 5)

    assert (result.title, result.published) == ("Rain in Berlin", "2026-11-19")
    assert result.snippet.startswith("wet wet")
    assert len(result.snippet) <= searxng.SNIPPET_CHARS


@pytest.mark.parametrize("answer", [
    {}, {"results": None}, {"results": "text"},
    {"results": [None, 5, "x", {}, {"url": 5}, {"url": "ftp://a/"}, {"url": "javascript:1"}]},
    {"results": [{"url": "https://a.example/\nSource: https://b.example"}, {"url": "https://" + "a" * 3000}]},
    {"answers": 5}, {"answers": [None, 5, {}, {"answer": None}, ""]},
])  # fmt: skip
def test_an_odd_reply_of_a_search_engine_holds_nothing(answer):
    assert (searxng.results_of(answer, 5), searxng.answers_of(answer)) == ([], [])


def test_odd_titles_and_snippets_are_none():
    assert searxng.results_of(
        {"results": [{"url": "https://a.example/", "title": 5, "content": None, "publishedDate": {}}]}, 5
    ) == [searxng.Result("https://a.example/", "", "", "")]


def test_direct_answers_are_read_in_both_forms():
    assert searxng.answers_of({"answers": ["42 USD", {"answer": "36 EUR", "url": "https://a.example"}]}) == [
        "42 USD",
        "36 EUR",
    ]


def test_the_context_numbers_its_pages_and_leaves_the_empty_ones_out():
    def result(name, snippet):
        published = "2026-11-19" if name == "a" else ""
        return searxng.Result(f"https://{name}.example/", name.title(), snippet, published)

    text, urls = searxng.context_of(
        ["It is 7 degrees."],
        [
            (result("a", "in short"), "at length"),
            (result("b", ""), ""),
            (result("c", "the snippet alone"), ""),
            (result("d", "said"), "well said"),
        ],
    )

    assert urls == ["https://a.example/", "https://c.example/", "https://d.example/"]
    assert text == (
        "It is 7 degrees.\n\n"
        "[1] A (2026-11-19)\nin short\nat length\n\n"
        "[2] C\nthe snippet alone\n\n"
        "[3] D\nwell said"
    )


def test_the_context_has_a_size():
    read = [(searxng.Result(f"https://{i}.example/", "t", "", ""), "x" * 2000) for i in range(20)]

    text, urls = searxng.context_of([], read)

    assert len(urls) == 6
    assert text.count("x") == searxng.MAX_CONTEXT_CHARS


# Chat models that search.


def streamed(*chunks):
    assembly = Assembly()
    for chunk in chunks:
        assembly.add(chunk)
    return chat_search.search_result(assembly.answer())


def delta(finish=None, **said):
    return {"choices": [{"index": 0, "delta": said, "finish_reason": finish}]}


def test_perplexitys_citations_are_read_in_their_order():
    cited = {
        "citations": ["https://a.example/", "https://b.example/"],
        "search_results": [{"url": "https://b.example/", "title": "B"}, {"url": "https://c.example/"}],
    }

    text, urls = streamed(
        {**delta(content="It rains[1]"), **cited},
        {**delta(content=" a lot[2]."), **cited},
        {**delta("stop", content=""), **cited},
    )

    assert (text, urls) == (
        "It rains[1] a lot[2].",
        ["https://a.example/", "https://b.example/", "https://c.example/"],
    )


def test_openrouters_annotations_are_read_from_the_stream():
    def note(url):
        citation = {"url": url, "title": "t", "start_index": 0, "end_index": 3}
        return {"type": "url_citation", "url_citation": citation}

    text, urls = streamed(
        delta(content="It rains."),
        delta(annotations=[note("https://a.example/")]),
        delta("stop", annotations=[note("https://b.example/"), note("https://a.example/")]),
    )

    assert (text, urls) == ("It rains.", ["https://a.example/", "https://b.example/"])


@pytest.mark.parametrize("said, text", [
    ("<think>hm, [3]</think>\n\nIt rains.", "It rains."),
    ("\n<thinking>\nhm\n</thinking>It rains.", "It rains."),
    ("<think>cut off", ""),
    ("It rains. <think> is a tag.", "It rains. <think> is a tag."),
])  # fmt: skip
def test_a_thought_before_the_answer_is_no_fact(said, text):
    assert streamed(delta("stop", content=said)) == (text, [])


@pytest.mark.parametrize("answer", [
    {}, {"choices": []}, {"choices": [{}]},
    {"choices": [{"message": {"content": None}}], "citations": 5, "search_results": "x"},
    {"choices": [{"message": {"content": 5, "annotations": 5}}], "citations": [None, 5, {"url": None}, "ftp://a/"]},
    {"choices": [{"message": {"annotations": [
        None, 5, {"type": "file_citation", "url": "https://a.example/"},
        {"type": "url_citation", "url_citation": 5},
    ]}}]},
])  # fmt: skip
def test_an_odd_completion_holds_nothing(answer):
    assert chat_search.search_result(answer) == ("", [])


def test_turns_of_one_role_in_a_row_are_asked_as_one():
    body = chat_search.search_request(
        "find", [("user", "a"), ("user", "b"), ("assistant", "c"), ("user", "d")], 10
    )

    assert body == {
        "messages": [
            {"role": "system", "content": "find"},
            {"role": "user", "content": "a\n\nb"},
            {"role": "assistant", "content": "c"},
            {"role": "user", "content": "d"},
        ],
        "max_tokens": 10,
        "temperature": 0,
    }


# Pages.

PAGE = """<!doctype html><html><head><title>no</title><style>p {color: red}</style></head><body>
<nav><a href="/">no</a></nav><header>no</header>
<div><a href="/a">no</a> | <a href="/b">no</a></div>
<h1>Rain</h1><p>It <b>rai</b>ns in K&ouml;ln<script>no()</script> today.<br>A second line &amp; more.</p>
<table><tr><th>day</th><td>wet</td></tr><tr><td>night</td><td>dry</td></tr></table>\
<p hidden>no</p><div aria-hidden="true">no</div>after it
<ul><li>one<li><a href="/">A headline that is a link and long enough to be read</a></ul>\
<!-- no --><footer>no</footer></body></html>"""
READ = (
    "Rain\nIt rains in Köln today.\nA second line & more.\nday wet\nnight dry\nafter it\none\n"
    "A headline that is a link and long enough to be read"
)


def test_of_a_page_the_text_is_read_a_line_for_each_block():
    assert webpage.text_of(PAGE.encode(), HTML, 2000) == READ


@pytest.mark.parametrize("main", ["<main>{}</main>", "<div role='main'>{}</div>", "<article>{}</article>"])
def test_the_part_that_a_page_marks_as_the_main_one_is_read_alone(main):
    story = "It rained all day. " * 20

    assert (
        webpage.text_of(f"<p>Cookies!</p>{main.format(story)}<p>More news".encode(), HTML, 2000)
        == story.strip()
    )


@pytest.mark.parametrize(
    "page", ["<p>The story<main>Loading</main>", "<p>The story<article>one</article><article>two</article>"]
)
def test_a_main_part_that_is_a_shell_or_one_of_many_is_not_all(page):
    assert webpage.text_of(page.encode(), HTML, 2000).startswith("The story")


def test_a_long_page_is_cut_between_two_words():
    text = webpage.text_of(b"<p>" + b"word " * 10_000, HTML, 100)

    assert text.endswith(" word…")
    assert len(text) <= 100


def test_plain_text_and_json_are_read_as_they_are():
    assert webpage.text_of(b"a < b  \n\n\n<p>c", "text/plain", 100) == "a < b\n<p>c"
    assert webpage.text_of(b'{"rain": true}', "application/json", 100) == '{"rain": true}'


@pytest.mark.parametrize("body, content_type", [
    ("Köln".encode(), "text/plain"), ("Köln".encode("latin-1"), "text/plain"),
    ("Köln".encode("latin-1"), "text/plain; charset=ISO-8859-1"), ("Köln".encode("utf-16"), "text/plain"),
    (b"\xef\xbb\xbf" + "Köln".encode(), "text/plain; charset=latin-1"),
    ("Köln".encode("utf-16-be"), 'text/plain; charset="UTF-16BE"'),
    ("Köln".encode(), "text/plain; charset=nonsense"),
    ("Köln".encode(), "text/plain; charset=gb99999"), ("Köln".encode() + "ö".encode()[:1], "text/plain"),
    ("Köln".encode(), "text/plain; charset=unicode_escape"), ("Köln".encode(), "text/plain; charset=idna"),
    (b"<meta charset=windows-1252>K\xf6ln", "text/html"),
    ('<meta http-equiv="Content-Type" content="text/html; charset=utf-8">Köln'.encode(), ""),
])  # fmt: skip
def test_a_pages_bytes_are_read_in_their_encoding(body, content_type):
    assert webpage.text_of(body, content_type, 100) == "Köln"


def test_an_old_label_means_what_it_is_used_for():
    assert webpage.text_of(b"<p>\x93quoted\x94 \x80", "text/html; charset=iso-8859-1", 100) == "“quoted” €"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"<!-- -->",
        b"<script>",
        b"<",
        b"\0",
        b"<p>",
        b"<?xml version='1.0' encoding='x'?>",
        b"<!DOCTYPE",
        b"\xff\xfe",
    ],
)
def test_a_page_without_text_has_none(body):
    assert webpage.text_of(body, HTML, 100).strip("<\ufffd") == ""


@pytest.mark.parametrize("start, unit", [
    ("", "<div>"), ("", "<b>"), ("", "<table>"), ("", "<article>"), ("<b>x" * 250, "<p>y</p>"),
    ("<ul>", "<li>"), ("", "<a href=x><p>"), ("", "</p>"), ("", "<nav>x</nav>"), ("", "<main>a</main>"),
    ("<a ", "x=1 "), ("", "<meta "), ("", "&amp"), ("", "<!--"), ("", "<svg><foreignObject>"),
])  # fmt: skip
def test_no_page_of_a_stranger_keeps_the_reader_busy(start, unit):
    body = (start + unit * (512 * 1024 // len(unit))).encode()

    assert (
        len(webpage.text_of(body, HTML, 2000)) <= 2000
    )  # without a limit to nesting the first of these takes half a minute


def test_whatever_it_is_sent_it_reads_text():
    page = PAGE.encode()

    for cut in range(len(page)):
        for mangled in (page[:cut], page[cut:], page[:cut] + b"\0\xff<" + page[cut:]):
            json.dumps(webpage.text_of(mangled, HTML, 2000)).encode()
