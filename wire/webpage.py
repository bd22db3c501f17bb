"""The readable text of a web page: bytes and their type in, the first so many characters of text out.

Written for pages of strangers: the parser (libxml2) gives up at 256 levels of nesting, where parsers that
follow HTML5 to the letter need half a minute for 500 kB of `<div>`, and lets other threads run meanwhile.
What is read for its facts needs no perfect extraction, so there is none: the main part where the page marks
one, without what is known to be no text, without menus.
"""

import codecs
import re
from typing import Any, TypeGuard

from lxml import etree  # type: ignore[import-untyped]  # lxml ships no types

HTML_TYPES = ("text/html", "application/xhtml+xml")
MIN_MAIN_CHARS = 200  # a marked main part with less is a shell that a script would fill
MENU_CHARS = 40  # a line that is mostly links and shorter than this is a menu's; a headline is longer
_UNSEEN = {"script", "style", "template"}
_SKIPPED = _UNSEEN | {
    "head", "noscript", "svg", "math", "iframe", "object", "canvas", "video", "audio",
    "nav", "header", "footer", "aside", "dialog", "button", "select", "textarea",
}  # fmt: skip
_INLINE = _UNSEEN | {
    "a", "abbr", "b", "bdi", "bdo", "cite", "code", "data", "del", "dfn", "em", "font", "i", "ins", "kbd",
    "label", "mark", "q", "s", "samp", "small", "span", "strong", "sub", "sup", "time", "tt", "u", "var",
    "wbr",
}  # fmt: skip
_CELLS = {"td", "th"}
_CHARSET_PARAMETER = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.I)
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([\w.:-]+)", re.I)
# Encodings that pages have. Python knows others (idna, unicode_escape, utf-7), which must not decode a
# stranger's bytes.
_CHARSETS = re.compile(
    r"(utf|iso|iso8859|windows|cp|koi8|big5|gb|euc|shift|ms|x-sjis|sjis|us|ascii|latin|mac|tis|ks)[\w.:-]*",
    re.I,
)
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def is_readable(content_type: str | None) -> bool:
    """Whether a Content-Type header names something that is text; a missing one is taken for HTML."""
    kind = _kind(content_type)
    return (
        kind in HTML_TYPES
        or kind.startswith("text/")
        or kind == "application/json"
        or kind.endswith(("+json", "/xml", "+xml"))
    )


def text_of(body: bytes, content_type: str | None, max_chars: int) -> str:
    """The readable text of a page, one line per block, at most max_chars long; "" if there is none.

    body: may be cut off at its end.
    """
    text = decoded(body, content_type)
    if _kind(content_type) not in HTML_TYPES:
        return shortened("\n".join(line for line in map(str.rstrip, text.splitlines()) if line), max_chars)
    root = _parsed(text)
    if root is None:
        return ""
    main = _main(root)
    readable = _lines(main, max_chars) if main is not None else ""
    if len(readable) < MIN_MAIN_CHARS:
        readable = _lines(root, max_chars)
    return shortened(readable, max_chars)


def decoded(body: bytes, content_type: str | None) -> str:
    """The text of a page's bytes.

    Its encoding is that of the byte order mark, of the header, of the page's own <meta>, else UTF-8 where the
    bytes are that, else Windows-1252.
    """
    for bom, charset in _BOMS:
        if body.startswith(bom):
            return body[len(bom) :].decode(charset, "replace")
    parameter = _CHARSET_PARAMETER.search(content_type or "")
    meta = None if parameter else _META_CHARSET.search(body[:4096])
    charset = parameter[1] if parameter else meta[1].decode("ascii", "replace") if meta else ""
    if _CHARSETS.fullmatch(charset):
        # A label that old pages carry while they mean its superset (WHATWG Encoding, section 4.2).
        if charset.lower() in ("iso-8859-1", "latin1", "latin-1", "us-ascii", "ascii"):
            charset = "windows-1252"
        try:
            return body.decode(charset, "replace")
        except (LookupError, ValueError):
            pass  # an encoding nobody has
    try:
        # Not final: the end may be cut within a character.
        return codecs.getincrementaldecoder("utf-8")().decode(body)
    except UnicodeDecodeError:
        return body.decode("windows-1252", "replace")


def shortened(text: str, max_chars: int) -> str:
    """The beginning of a text, ended at a blank where it has to be cut."""
    if len(text) <= max_chars:
        return text
    kept, _, _ = text[: max_chars - 1].rpartition(" ")
    return (kept or text[: max_chars - 1]).rstrip() + "…"


def one_line(text: str, max_chars: int) -> str:
    """A stranger's text as one line: every run of white space a blank."""
    return shortened(" ".join(text.split()), max_chars)


def is_web_url(url: Any) -> TypeGuard[str]:
    """Whether something is a URL that may be shown as a source: http(s), on one line, of a URL's length."""
    return isinstance(url, str) and len(url) <= 2000 and re.fullmatch(r"https?://[^\s<>\"]+", url) is not None


def _kind(content_type: str | None) -> str:
    return (content_type or HTML_TYPES[0]).partition(";")[0].strip().lower()


def _parsed(text: str) -> etree._Element | None:
    parser = etree.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True)
    try:
        return etree.fromstring(text.encode("utf-8", "replace"), parser)
    except (etree.XMLSyntaxError, ValueError):
        return None  # nothing in it at all


def _main(root: etree._Element) -> etree._Element | None:
    """The part that the page says is the main one, None where it does not say so, or says it of several."""
    for path in ("//main | //*[@role='main']", "//article"):
        found = root.xpath(path)
        if len(found) == 1:
            return found[0]
    return None


def _lines(root: etree._Element, max_chars: int) -> str:
    """The text below an element, a line for each block; reads on only until there is enough."""
    lines = _Lines()
    walk = etree.iterwalk(root, events=("start", "end"))
    for event, element in walk:
        tag = element.tag if isinstance(element.tag, str) else ""
        if tag in _CELLS:
            lines.add(" ")
        elif tag not in _INLINE:
            lines.end()
        if event == "start":
            lines.in_links += tag == "a"
            if _is_skipped(element, tag) and element is not root:
                walk.skip_subtree()
            else:
                lines.add(element.text)
        else:
            lines.in_links -= tag == "a"
            if element is not root:
                lines.add(element.tail)
        if lines.chars > max_chars:
            break
    lines.end()
    return "\n".join(lines.ended)


def _is_skipped(element: etree._Element, tag: str) -> bool:
    return tag in _SKIPPED or "hidden" in element.attrib or element.get("aria-hidden") == "true"


class _Lines:
    """Text put together to lines, without those of menus."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.chars = 0
        self.in_links = 0  # levels of <a> around the text
        self._pieces: list[str] = []
        self._link_chars = 0

    def add(self, text: str | None) -> None:
        """Add text to the line."""
        if text:
            self._pieces.append(text)
            self._link_chars += len(text.strip()) if self.in_links else 0

    def end(self) -> None:
        """End the line; a menu's is dropped."""
        if not self._pieces:
            return
        line = " ".join("".join(self._pieces).split())
        is_menu = len(line) < MENU_CHARS and self._link_chars * 2 > len(line)
        self._pieces, self._link_chars = [], 0
        if line and not is_menu:
            self.ended.append(line)
            self.chars += len(line) + 1
