"""How a setting is declared: a field of a frozen section, with what it means and what it may be.

The sections themselves are `settings.model`'s. The reader, the schema, the reference and the report all go
by these fields.
"""

import copy
import dataclasses
from collections.abc import Callable, Collection
from typing import Any, TypeVar

Section = TypeVar("Section")


def setting(
    default: Any = dataclasses.MISSING,
    doc: str = "",
    *,
    factory: Callable[[], Any] | Any = dataclasses.MISSING,
    choices: Collection[str] | None = None,
    names: Collection[str] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    secret: bool = False,
    has_credentials: bool = False,
) -> Any:
    """A field of a section: its default, what it means, and what it may be.

    choices: looked at whenever a file is read, so that a kind of provider registered later counts as well.
    names: the keys a mapping has, each of them, and no others.
    secret: no message, log line or report shows the value. has_credentials: of a secret address, only they
    are kept from the report.
    """
    metadata = {
        "doc": doc,
        "choices": choices,
        "names": names,
        "minimum": minimum,
        "maximum": maximum,
        "secret": secret,
        "has_credentials": has_credentials,
    }
    return dataclasses.field(default=default, default_factory=factory, metadata=metadata, repr=not secret)


def fields_of(section: Any) -> list[dataclasses.Field[Any]]:
    """The fields of a section, or of its class, that a file can give."""
    return [field for field in dataclasses.fields(section) if field.init]


def is_required(field: dataclasses.Field[Any]) -> bool:
    """Whether a setting has no default."""
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def altered(section: Section, **changes: Any) -> Section:
    """A copy of a section, or of the whole, with other values; also those which no file can give."""
    section = copy.copy(section)
    for name, value in changes.items():
        object.__setattr__(section, name, value)
    return section
