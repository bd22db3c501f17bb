"""OpenAI's Responses API as a web search uses it: the request, the answer's text and the pages it cites.

Reference: platform.openai.com/docs/api-reference/responses and docs.x.ai (live search tools, `citations`).
"""

from collections.abc import Iterable
from typing import Any

from wire import JsonObject
from wire.fields import objects_of


def search_request(
    model: str, instructions: str, turns: list[tuple[str, str]], tools: Iterable[str], max_output_tokens: int
) -> JsonObject:
    """The body of a search: instructions, then the user's and the assistant's turns as (role, text)."""
    messages = [{"role": "system", "content": instructions}] if instructions else []
    return {
        "model": model,
        "input": messages + [{"role": role, "content": text} for role, text in turns],
        "tools": [{"type": tool} for tool in tools],
        "max_output_tokens": max_output_tokens,
        "temperature": 0,
    }


def search_result(answer: JsonObject) -> tuple[str, list[str]]:
    """(text, urls) of an answer: its output_text parts joined, the pages it cites in order, each once."""
    texts: list[Any] = []
    urls: list[Any] = []
    for item in objects_of(answer.get("output")):
        for part in objects_of(item.get("content")):
            if part.get("type") == "output_text":
                texts.append(part.get("text"))
                urls += [note.get("url") for note in objects_of(part.get("annotations"))]
    cited = answer.get("citations")
    if isinstance(cited, list):
        urls += [page.get("url") if isinstance(page, dict) else page for page in cited]
    text = "\n".join(text for text in texts if isinstance(text, str)).strip()
    return text, list(dict.fromkeys(url for url in urls if isinstance(url, str)))
