"""What the documents point at is there (files, pictures, headings), and their settings are valid."""

import re
import textwrap

import pytest

from settings import loader
from tests.support.server import ROOT

DOCUMENTS = sorted(
    path
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("docker/**/*.md"))
    if path.is_file()
)
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
TARGETS = re.compile(r"\]\(([^()\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


def targets(document):
    """The relative links and pictures of a document."""
    found = (plain or tag for plain, tag in TARGETS.findall(CODE.sub("", document.read_text())))
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def anchors(document):
    """The anchors of a document's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    words = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in HEADING.findall(text)]
    return {re.sub(r"[^\w\- ]", "", word).strip().replace(" ", "-") for word in words}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_pictures_lead_somewhere(document):
    dead = []
    for target in targets(document):
        name, _, anchor = target.partition("#")
        there = (document.parent / name).resolve() if name else document
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in anchors(there)):
            dead.append(target)

    assert dead == []


SETTINGS = re.compile(r"^( *)```yaml\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
OF_HEADSTART = [document for document in DOCUMENTS if document.parent.name != "frontends"]
VARIABLES = dict.fromkeys(
    (
        *("XAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY", "HOME_API_KEY"),
        *("MY_KEY", "KIDS_KEY", "GUESTS_KEY"),
    ),
    "k",
)
URLS = {"HOME_URL": "http://127.0.0.1:1/v1", "SEARXNG_URL": "http://127.0.0.1:1"}


def examples():
    """(document, settings in it), each as a file of the owner's could have them."""
    for document in OF_HEADSTART:
        for number, (_, block) in enumerate(SETTINGS.findall(document.read_text())):
            name = f"{document.relative_to(ROOT)}-{number}"
            yield pytest.param(textwrap.dedent(block), id=name)


@pytest.mark.parametrize("text", list(examples()))
def test_settings_that_are_shown_are_valid(text, tmp_path):
    (tmp_path / "headstart.yaml").write_text(text)
    environ = {name: f"{value}-{name}" for name, value in VARIABLES.items()} | URLS

    assert loader.load(environ={**environ, "HEADSTART_DATA": str(tmp_path)}).path.parent == tmp_path


FILES = re.compile(r"`((?:[\w.-]+/)+[\w-]+\.(?:py|md|yaml|json|svg|gz|txt))`")
OF_THE_OWNER = ("my-prompts/", "learning/")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_files_and_commands_that_are_named_are_there(document):
    text = document.read_text()
    files = [name for name in FILES.findall(text) if not name.startswith(OF_THE_OWNER)]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = re.findall(r"(?:`|^\s*|&& )make ([a-z-]+)", text, re.MULTILINE)

    assert [name for name in files if not (ROOT / name).exists()] == []
    assert [name for name in commands if name not in targets] == []
