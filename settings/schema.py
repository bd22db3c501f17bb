"""`make schema`: config.schema.json, by which editors complete and check config.yaml while it is written. Generated from the settings' classes.

It says what types, bounds and names can say. What refers to something else in the file (a route's providers, say) is checked when it is loaded.
"""

import dataclasses
import json
import types
import typing
from pathlib import Path

from settings import model as settings

FILE = Path(__file__).resolve().parent.parent / "config.schema.json"

_VARIABLE = {"$ref": "#/$defs/Variable"}
_SCALARS = {int: "integer", float: "number", bool: "boolean"}


def schema():
    """The JSON Schema (draft 2020-12) of config.yaml as a dict. The settings are in the order of their classes."""
    sections = {}
    whole = _section(settings.Config, sections)
    variable = {
        "description": "${NAME} or ${NAME:-default}, from the environment or from .env",
        "type": "string",
        "pattern": settings.VARIABLE,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Headstart's config.yaml",
        **whole,
        "$defs": {"Variable": variable, **sections},
    }


def _section(cls, sections):
    """The schema of a class of settings. sections: where those of the classes it uses are put."""
    hints = typing.get_type_hints(cls)
    fields = [field for field in dataclasses.fields(cls) if field.init]
    required = [
        field.name
        for field in fields
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    return {
        "type": "object",
        "properties": {field.name: _property(field, hints[field.name], sections) for field in fields},
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def _property(field, hint, sections):
    told = {"description": field.metadata["doc"], **_type(hint, field.metadata, sections)}
    if field.default is not dataclasses.MISSING:
        told["default"] = field.default
    elif field.default_factory is not dataclasses.MISSING and not field.metadata["names"]:
        value = field.default_factory()
        told["default"] = {} if dataclasses.is_dataclass(value) else value
    return told


def _type(hint, limits, sections):
    """The schema of a type. limits: the metadata of the setting it belongs to."""
    if isinstance(hint, types.UnionType):  # "X | None"
        inner = next(arg for arg in typing.get_args(hint) if arg is not type(None))
        return _or_null(_type(inner, limits, sections))
    if dataclasses.is_dataclass(hint):
        if hint.__name__ not in sections:
            sections[hint.__name__] = _section(hint, sections)
        return {"$ref": f"#/$defs/{hint.__name__}"}
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is dict:
        names = (
            {"propertyNames": {"enum": list(limits["names"])}, "required": list(limits["names"])}
            if limits["names"]
            else {}
        )
        return {"type": "object", **names, "additionalProperties": _type(args[1], _NO_LIMITS, sections)}
    if origin is list:
        return {"type": "array", "items": _type(args[0], _NO_LIMITS, sections)}
    if hint is typing.Any:
        return {}
    return _scalar(hint, limits)


_NO_LIMITS = dict.fromkeys(("choices", "names", "minimum", "maximum"))


def _scalar(hint, limits):
    """A text, which may be written as a number, or a number or a choice, which may be a variable as well."""
    if limits["choices"]:
        return {"anyOf": [{"enum": list(limits["choices"])}, _VARIABLE]}
    if hint is str:
        return {"type": ["string", "number"]}
    bounds = {name: limits[name] for name in ("minimum", "maximum") if limits[name] is not None}
    return {"anyOf": [{"type": _SCALARS[hint], **bounds}, _VARIABLE]}


def _or_null(told):
    if "anyOf" in told:
        return {"anyOf": [*told["anyOf"], {"type": "null"}]}
    if "type" in told:
        return {
            **told,
            "type": [*([told["type"]] if isinstance(told["type"], str) else told["type"]), "null"],
        }
    return {"anyOf": [told, {"type": "null"}]}


def text():
    """What config.schema.json holds."""
    return json.dumps(schema(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
