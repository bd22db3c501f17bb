"""Text out of token ids of cl100k_base, the vocabulary of OpenAI's embedding models.

Clients that take us for OpenAI (LangChain and what is built on it) count tokens themselves and send those
instead of the text. The ids come from weights/cl100k_base.tiktoken.xz: the list that OpenAI's tiktoken (MIT)
downloads, packed; unpacked its sha256 is 223921b7...65b2a7. Only decoding is needed, so neither tiktoken nor
its download is.
"""

import base64
import lzma
from functools import cache
from pathlib import Path

LIST = Path(__file__).resolve().parent.parent / "weights" / "cl100k_base.tiktoken.xz"
TOKENS = 100_256  # its special tokens, beyond these, stand in no text


@cache
def _tokens() -> list[bytes]:
    """The bytes of each token, by id. Takes 0.1 s the first time and keeps 8 MB."""
    return [base64.b64decode(line.split()[0]) for line in lzma.decompress(LIST.read_bytes()).splitlines()]


def text_of(ids: list[int]) -> str:
    """The text of the ids; a character cut at either end becomes U+FFFD.

    Raises IndexError for an id beyond the vocabulary.
    """
    tokens = _tokens()
    return b"".join([tokens[token] for token in ids]).decode("utf-8", "replace")
