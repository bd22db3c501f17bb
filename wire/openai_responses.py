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
    for item in answer.get("output") or ():
        for part in item.get("content") or () if isinstance(item, dict) else ():
            if not isinstance(part, dict) or part.get("type") != "output_text":
                continue
            texts.append(part.get("text") or "")
            urls += [note.get("url") for note in part.get("annotations") or () if isinstance(note, dict)]
    for cited in answer.get("citations") or ():
        urls.append(cited.get("url") if isinstance(cited, dict) else cited)
    return "\n".join(text for text in texts if text).strip(), list(dict.fromkeys(url for url in urls if isinstance(url, str)))
