"""docs/SETTINGS.md tells every setting, and stands as `make schema` writes it."""

import typing

from settings import reference, schema
from settings.fields import fields_of
from settings.model import Config


def every_setting(section=Config, prefix=""):
    """Each key a file may hold, with `NAME` and `[]` where the owner names or counts."""
    hints = typing.get_type_hints(section)
    for field in fields_of(section):
        key = f"{prefix}{field.name}"
        inner = reference.section_of(hints[field.name])
        if inner is None or prefix:
            yield key
        if inner is not None:
            yield from every_setting(inner, reference.keys_below(key, hints[field.name]) + ".")


def test_the_page_and_the_schema_are_as_make_schema_writes_them():
    changed = [module.FILE.name for module in (reference, schema) if module.FILE.read_text() != module.text()]

    assert changed == [], "run `make schema` and commit what it writes; never merge these files by hand"


def test_every_setting_has_a_row_or_stands_in_a_section_that_another_row_names():
    text = reference.text()

    def told(key):
        head, _, _ = key.rpartition(".")
        return f"| `{key}` |" in text or f"| `{head}` | as `" in text

    assert [key for key in every_setting() if not told(key)] == []


def test_types_limits_and_defaults_are_told_in_words():
    text = reference.text()

    assert "| `server.port` | whole number, 0 to 65,535 | `8002` |" in text
    assert "| `classifier.backend` | `mlx` or `openai` | `mlx` |" in text
    assert "| `providers.NAME.prices.input` | number, at least 0 | required |" in text
    assert "| `breaker.first_rest_s` | number, 0.1 to 86,400 | `1` |" in text
