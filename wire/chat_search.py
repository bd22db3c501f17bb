"""Chat models that search by themselves: Perplexity, OpenRouter's `:online`, OpenAI's search models.

They are called like any chat model; the pages they cite are read from the answer.
References: docs.perplexity.ai (`citations`, `search_results`), openrouter.ai/docs and platform.openai.com
(`annotations` with `url_citation`).
"""

import re

from wire import JsonObject
from wire.fields import objects_of
from wire.webpage import is_web_url

_THOUGHTS = re.compile(r"^\s*<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.S)


def search_request(instructions: str, turns: list[tuple[str, str]], max_tokens: int) -> JsonObject:
    """The chat request of a search: instructions, then the turns as (role, text).

    Two turns of one role in a row become one, since Perplexity refuses them.
    """
    messages = [{"role": "system", "content": instructions}] if instructions else []
    for role, text in turns:
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += "\n\n" + text
        else:
            messages.append({"role": role, "content": text})
    return {"messages": messages, "max_tokens": max_tokens, "temperature": 0}


def search_result(answer: JsonObject) -> tuple[str, list[str]]:
    """(text, urls) of a whole completion: its text without the thoughts before it, and the pages it cites.

    Each page stands once. Marks such as [2] in the text count `citations`, so these come first, in order.
    """
    message = next((choice.get("message") for choice in objects_of(answer.get("choices"))), None) or {}
    content = message.get("content")
    cited = answer["citations"] if isinstance(answer.get("citations"), list) else []
    notes = [
        note.get("url_citation") or note
        for note in objects_of(message.get("annotations"))
        if note.get("type") == "url_citation"
    ]
    pages = [
        page.get("url") if isinstance(page, dict) else page
        for page in (*cited, *objects_of(answer.get("search_results")), *notes)
    ]
    text = _THOUGHTS.sub("", content).strip() if isinstance(content, str) else ""
    return text, list(dict.fromkeys(url for url in pages if is_web_url(url)))
