"""Text as a tokenizer takes it."""


def encodable(text: str) -> str:
    """The text with a "?" for each lone surrogate: JSON may carry them, no tokenizer accepts them."""
    return text.encode("utf-8", "replace").decode("utf-8")
