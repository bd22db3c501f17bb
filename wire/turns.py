"""The turns of a conversation in the speakers' own words.

A person's question is left without the documents, file lists and reminders that frontends put around it.
"""

from typing import Any

from wire import JsonObject

RAG_START = "### Task: Respond to the user query using the provided context"
RAG_END = "</context>"
# Around what Claude Code adds of its own to a user's turn, in parts or messages by themselves.
REMINDER_TAGS = ("<system-reminder>", "</system-reminder>")
# Around the list of files that Open WebUI puts before the question.
FILES_TAGS = ("<attached_files>\n<file ", "</attached_files>")
# Around the question in Open WebUI's older templates.
RAG_QUERY_TAGS = ("<user_query>", "</user_query>")
SYSTEM_ROLES = ("system", "developer")
RAG_HEAD_CHARS = 400  # of a turn that are searched for the template's first words


def user_turns(messages: list[JsonObject]) -> list[tuple[str, str]]:
    """The conversation's user and assistant turns as (role, text): parts joined, images dropped.

    In a turn with documents attached (Open WebUI's RAG template, its list of files) only the question behind
    them is left, and a coding agent's own reminders are not the user's words. A user's turn is kept even if
    it has no text, so that the last turn stays the last; an assistant's without text (tool calls) is left
    out.
    Takes time linear in the length of the text.
    """
    turns = []
    for message in messages:
        role = message["role"]
        if role == "user":
            if not _is_all_reminders(message.get("content")):
                turns.append((role, _without_files(_without_context(text_of(message.get("content"))))))
        elif role == "assistant" and (text := text_of(message.get("content"))):
            turns.append((role, text))
    return turns


def text_of(content: Any) -> str:
    """The text of a message's content: the string, or its text parts without reminders, a line each."""
    if isinstance(content, str):
        return content
    texts = (
        part["text"]
        for part in content or ()
        if part.get("type") == "text" and isinstance(part.get("text"), str)
    )
    return "\n".join(text for text in texts if not _is_reminder(text))


def one_spaced(text: str) -> str:
    """A text whose runs of white space are one blank each."""
    return " ".join(text.split())


def _without_context(text: str) -> str:
    """The question of a RAG turn, or the text as it is.

    A template that puts nothing behind the context is left whole.
    """
    if not one_spaced(text[:RAG_HEAD_CHARS]).startswith(RAG_START):
        return text
    _, found, question = text.rpartition(RAG_END)
    question = question.strip() if found else ""
    opening, closing = RAG_QUERY_TAGS
    if question.startswith(opening) and question.endswith(closing):
        question = question[len(opening) : -len(closing)].strip()
    return question or text


def _without_files(text: str) -> str:
    """The question behind the list of files attached to it, "" where there is none, or the text as it is."""
    opening, closing = FILES_TAGS
    if not text.startswith(opening):
        return text
    _, found, question = text.partition(closing)
    return question.strip() if found else text


def _is_all_reminders(content: Any) -> bool:
    """Whether nobody said this: an agent put it beside the results of its tools."""
    if isinstance(content, str):
        return _is_reminder(content)
    return bool(content) and all(
        part.get("type") == "text" and isinstance(part.get("text"), str) and _is_reminder(part["text"])
        for part in content
    )


def _is_reminder(text: str) -> bool:
    opening, closing = REMINDER_TAGS
    return text.startswith(opening) and text.rstrip().endswith(closing)
