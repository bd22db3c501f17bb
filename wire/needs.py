"""What a request asks of a model besides understanding its words.

Only counted and looked at, never read: a picture's base64 is megabytes long.
"""

from typing import NamedTuple

from wire import JsonObject

# No text has longer tokens on average: English prose comes to 4 or 5 characters, code and JSON to 3, Chinese
# to 1 or 2. A prompt that is too long by this measure is too long by any tokenizer's.
LONGEST_TOKEN_CHARS = 6


class Needs(NamedTuple):
    """What one request needs.

    chars: of its text, tools and their calls not counted. pictures, audio: whether it holds any.
    offers_tools: the model may call a tool. uses_tools: it has to call one, or has called some before.
    """

    chars: int = 0
    pictures: bool = False
    audio: bool = False
    offers_tools: bool = False
    uses_tools: bool = False

    @property
    def least_tokens(self) -> int:
        """The fewest tokens that the text can be."""
        return self.chars // LONGEST_TOKEN_CHARS


def needs_of(body: JsonObject) -> Needs:
    """The needs of a body of chat completions that has been checked, or of one with a prompt."""
    chars, uses_tools = 0, False
    kinds: set[str] = set()
    for message in body.get("messages") or ():
        content = message.get("content")
        if isinstance(content, str):
            chars += len(content)
        elif content:
            texts = [text for part in content if isinstance(text := part.get("text"), str)]
            chars += sum(map(len, texts)) + max(0, len(texts) - 1)
            kinds.update(part.get("type") for part in content)
        if message["role"] == "tool" or message.get("tool_calls"):
            uses_tools = True
    prompt = body.get("prompt", body.get("input"))
    if isinstance(prompt, str):
        chars += len(prompt)
    choice = body.get("tool_choice")
    offers_tools = bool(body.get("tools")) and choice != "none"
    uses_tools = uses_tools or (offers_tools and choice not in (None, "auto"))
    return Needs(chars, "image_url" in kinds, "input_audio" in kinds, offers_tools, uses_tools)
