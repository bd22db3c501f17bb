"""SearXNG's JSON API: a conversation as a query, the results, and the context that they and their pages make.

What a result holds is up to the engine it came from, so nothing is taken for granted.
Reference: docs.searxng.org/dev/search_api.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from wire import JsonObject
from wire.fields import objects_of
from wire.webpage import is_web_url, one_line

MAX_QUERY_CHARS = 300  # a search engine wants words; some refuse 500 characters and more
SHORT_CHARS = 30  # a turn such as "and tomorrow?" says nothing without the one before it
# At a word's beginning: engines, languages and time limits in SearXNG's own syntax; a user of a chat does not
# mean those.
SYNTAX = "!:<"
TITLE_CHARS, SNIPPET_CHARS = 200, 500
MAX_CONTEXT_CHARS = 12_000  # about 3,000 tokens, which a small model at home reads in seconds


class Result(NamedTuple):
    """What SearXNG itself knows of a page. published: a date such as 2026-11-19, or ""."""

    url: str
    title: str
    snippet: str
    published: str


def query_of(turns: list[tuple[str, str]]) -> str:
    """What to search for: the user's last turn, behind the one before it when it is short; "" for no words.

    turns: (role, text). A model could word a follow-up better, but it would cost a call and its time before
    each search; and when it is wrong, nobody would understand why. Engines look for words, and these are the
    user's own.
    """
    questions = [words for role, text in turns if role == "user" and (words := _words(text))]
    if not questions:
        return ""
    last = questions[-1]
    if len(last) < SHORT_CHARS and len(questions) > 1:
        return f"{_both_ends(questions[-2], MAX_QUERY_CHARS // 2)} {last}"
    return _both_ends(last, MAX_QUERY_CHARS)


def results_of(answer: JsonObject, count: int) -> list[Result]:
    """The first `count` results that have a web address, each address once."""
    results: dict[str, Result] = {}
    for found in objects_of(answer.get("results")):
        if len(results) == count:
            break
        url = found.get("url")
        if is_web_url(url) and url not in results:
            title, snippet = _line(found, "title", TITLE_CHARS), _line(found, "content", SNIPPET_CHARS)
            results[url] = Result(url, title, snippet, published=_line(found, "publishedDate", 40)[:10])
    return list(results.values())


def answers_of(answer: JsonObject) -> list[str]:
    """What SearXNG answers by itself (a conversion, a definition), a line each.

    Newer servers send objects, older ones texts.
    """
    own = [{"answer": one} if isinstance(one, str) else one for one in _list(answer, "answers")]
    return [line for one in objects_of(own) if (line := _line(one, "answer", SNIPPET_CHARS))]


def context_of(answers: Iterable[str], read: Iterable[tuple[Result, str]]) -> tuple[str, list[str]]:
    """(text, urls): a numbered paragraph for each page, the URLs in the same order.

    read: (Result, the page's text or "") each. A page has its snippet too, since that is what the engine
    found the query's words in; one with neither is left out.
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


def _words(text: str) -> str:
    return " ".join(word for word in (word.lstrip(SYNTAX) for word in text.split()) if word)


def _both_ends(text: str, max_chars: int) -> str:
    """A long turn is a question with something pasted before or behind it."""
    if len(text) <= max_chars:
        return text
    first, last = text[: max_chars // 2], text[-(max_chars // 2) :]
    return f"{first.rpartition(' ')[0] or first} {last.partition(' ')[2] or last}"


def _line(holder: JsonObject, key: str, max_chars: int) -> str:
    value = holder.get(key)
    return one_line(value, max_chars) if isinstance(value, str) else ""


def _list(holder: JsonObject, key: str) -> list[Any]:
    value = holder.get(key)
    return value if isinstance(value, list) else []
