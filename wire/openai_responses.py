"""OpenAI's Responses API, as far as a web search needs it: the question asked, the text and the cited pages read.

Reference: platform.openai.com/docs/api-reference/responses and docs.x.ai (live search tools, `citations`).
"""


def search_request(model, instructions, turns, tools, max_output_tokens):
    """The body of a search: instructions, then the conversation's user and assistant turns as (role, text)."""
    asked = [{"role": "system", "content": instructions}] if instructions else []
    return {
        "model": model,
        "input": asked + [{"role": role, "content": text} for role, text in turns],
        "tools": [{"type": tool} for tool in tools],
        "max_output_tokens": max_output_tokens,
        "temperature": 0,
    }


def search_result(answer):
    """(text, urls) of an answer: its output_text parts joined, the pages it cites in order, each once."""
    texts, urls = [], []
    for item in _dicts(answer, "output"):
        for part in _dicts(item, "content"):
            if part.get("type") != "output_text":
                continue
            texts.append(part.get("text"))
            urls += [note.get("url") for note in _dicts(part, "annotations")]
    cited = answer.get("citations")
    urls += (
        [page.get("url") if isinstance(page, dict) else page for page in cited]
        if isinstance(cited, list)
        else []
    )
    return "\n".join(text for text in texts if isinstance(text, str)).strip(), list(
        dict.fromkeys(url for url in urls if isinstance(url, str))
    )


def _dicts(holder, key):
    """The objects in a list that may be missing or something else."""
    value = holder.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
