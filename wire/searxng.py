"""SearXNG's JSON API: a query made of a conversation, the results read, and a context made of them and of the pages' texts.

Reference: docs.searxng.org/dev/search_api. What a result holds is up to the engine it came from, so nothing is taken for granted.
"""

from typing import NamedTuple

from wire.webpage import is_web_url, one_line

MAX_QUERY_CHARS = 300  # a search engine wants words; some refuse 500 characters and more
SHORT_CHARS = 30  # a turn such as "and tomorrow?" says nothing without the one before it
SYNTAX = "!:<"  # at a word's beginning: engines, languages and time limits in SearXNG's own syntax, which a user of a chat does not mean
TITLE_CHARS, SNIPPET_CHARS = 200, 500
MAX_CONTEXT_CHARS = 12_000  # about 3,000 tokens, which a small model at home reads in seconds


class Result(NamedTuple):
    """What SearXNG itself tells of a page. published: a date such as 2026-11-19, or ""."""

    url: str
    title: str
    snippet: str
    published: str


def query_of(turns):
    """What to search for: the last user turn, behind the one before it when it is short; "" when the user said nothing.

    turns: (role, text). A model could word a follow-up better, but it would cost a call and its time before each search; and when it is wrong,
    nobody would understand why. Engines look for words, and these are the user's own.
    """
    asked = [words for role, text in turns if role == "user" and (words := _words(text))]
    if not asked:
        return ""
    last = asked[-1]
    if len(last) < SHORT_CHARS and len(asked) > 1:
        return f"{_both_ends(asked[-2], MAX_QUERY_CHARS // 2)} {last}"
    return _both_ends(last, MAX_QUERY_CHARS)


def results_of(answer, count):
    """The first `count` results that have a web address, each address once."""
    results = {}
    for found in _list(answer, "results"):
        if len(results) == count:
            break
        if isinstance(found, dict) and is_web_url(found.get("url")) and found["url"] not in results:
            published = _line(found, "publishedDate", 40)[:10]
            results[found["url"]] = Result(
                found["url"],
                _line(found, "title", TITLE_CHARS),
                _line(found, "content", SNIPPET_CHARS),
                published,
            )
    return list(results.values())


def answers_of(answer):
    """What SearXNG answers by itself (a conversion, a definition), a line each; newer servers send objects, older ones texts."""
    told = ({"answer": said} if isinstance(said, str) else said for said in _list(answer, "answers"))
    return [
        line for said in told if isinstance(said, dict) and (line := _line(said, "answer", SNIPPET_CHARS))
    ]


def context_of(answers, read):
    """(text, urls): a numbered paragraph for each page, the URLs in the same order. read: (Result, the page's text or "") each.

    A page has its snippet too, since that is what the engine found the query's words in; one with neither is left out.
    """
    blocks, urls, left = list(answers), [], MAX_CONTEXT_CHARS
    for result, text in read:
        snippet = "" if result.snippet in text else result.snippet
        body = "\n".join(part for part in (snippet, text) if part)[: max(0, left)]
        if not body:
            continue
        urls.append(result.url)
        left -= len(body)
        published = f" ({result.published})" if result.published else ""
        blocks.append(f"[{len(urls)}] {result.title or result.url}{published}\n{body}")
    return "\n\n".join(blocks), urls


def _words(text):
    return " ".join(word for word in (word.lstrip(SYNTAX) for word in text.split()) if word)


def _both_ends(text, max_chars):
    """A long turn is a question with something pasted before or behind it."""
    if len(text) <= max_chars:
        return text
    half = max_chars // 2
    return f"{text[:half].rpartition(' ')[0] or text[:half]} {text[-half:].partition(' ')[2] or text[-half:]}"


def _line(holder, key, max_chars):
    value = holder.get(key)
    return one_line(value, max_chars) if isinstance(value, str) else ""


def _list(holder, key):
    value = holder.get(key)
    return value if isinstance(value, list) else []
