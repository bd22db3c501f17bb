"""Chat models that search by themselves (Perplexity, OpenRouter's `:online`, OpenAI's search models): asked as any chat model, and the pages they cite read.

References: docs.perplexity.ai (`citations`, `search_results`), openrouter.ai/docs and platform.openai.com (`annotations` with `url_citation`).
"""

import re

from wire.webpage import is_web_url

_THOUGHTS = re.compile(r"^\s*<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.S)


def search_request(instructions, turns, max_tokens):
    """The chat request of a search: instructions, then the turns as (role, text); two of one role in a row become one, since Perplexity refuses them."""
    messages = [{"role": "system", "content": instructions}] if instructions else []
    for role, text in turns:
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += "\n\n" + text
        else:
            messages.append({"role": role, "content": text})
    return {"messages": messages, "max_tokens": max_tokens, "temperature": 0}


def search_result(answer):
    """(text, urls) of a whole completion: what was said, without a thought before it, and the pages cited, each once.

    Marks such as [2] in the text count through `citations`, so these come first and in their order.
    """
    message = next((choice.get("message") for choice in _dicts(answer.get("choices"))), None) or {}
    said = message.get("content")
    cited = answer["citations"] if isinstance(answer.get("citations"), list) else []
    notes = [
        note.get("url_citation") or note
        for note in _dicts(message.get("annotations"))
        if note.get("type") == "url_citation"
    ]
    pages = [
        page.get("url") if isinstance(page, dict) else page
        for page in (*cited, *_dicts(answer.get("search_results")), *notes)
    ]
    text = _THOUGHTS.sub("", said).strip() if isinstance(said, str) else ""
    return text, list(dict.fromkeys(url for url in pages if is_web_url(url)))


def _dicts(value):
    """The objects in what may be no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
