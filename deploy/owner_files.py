"""What set-up writes: a short headstart.yaml and the keys in .env. Nothing that is there is overwritten."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import yaml

from deploy.commands import DeployError
from settings.environment import CLIENT_KEY

HEAD = """\
# Written by `make setup`. It holds only what differs from the defaults (config.yaml);
# docs/SETTINGS.md has every key. Keys stand in .env.
"""


def settings_text(
    *, home: Mapping[str, str], searxng: str | None, listens_everywhere: bool, keys: Mapping[str, str]
) -> str:
    """headstart.yaml as text.

    home: base_url, model and comment of the home server, those that there are. searxng: its URL. keys: the
    variables that stand in .env, with what each is for.
    """
    lines = [HEAD.rstrip("\n")]
    providers = []
    if home.get("base_url"):
        comment = f"   # {home['comment']}" if home.get("comment") else ""
        providers += ["  home:", f"    base_url: {_scalar(home['base_url'])}{comment}"]
        providers += (
            [f"    model: {_scalar(home['model'])}"]
            if home.get("model")
            else ["    # model: ...   # left out: the one in memory is found by asking"]
        )
    if searxng:
        providers += ["  searxng:", f"    base_url: {_scalar(searxng)}   # ENRICH searches here"]
    lines += ["providers:", *providers] if providers else []
    lines += [f"# {variable} in .env: {purpose}" for variable, purpose in keys.items()]
    if listens_everywhere:
        lines += [f"server: {{host: 0.0.0.0}}   # clients send the key {CLIENT_KEY} of .env"]
    return "\n".join(lines) + "\n"


def write_settings(file: Path, text: str) -> None:
    """Write the owner's file, whole or not at all. Raises DeployError where there is one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        os.link(draft, file)  # fails where there is one
    except FileExistsError as error:
        raise DeployError(f"{file} has come meanwhile and is left as it is") from error
    except OSError as error:
        raise DeployError(f"{file} cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            draft.unlink()


def append_keys(file: Path, keys: Mapping[str, str]) -> None:
    """Put variables at the end of a .env file, which only its owner can read from then on.

    Raises DeployError where it cannot be written. The caller knows that none of them has a value there.
    """
    if not keys:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        before = file.read_bytes() if file.exists() else b""
        gap = "" if not before or before.endswith(b"\n") else "\n"
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with open(descriptor, "w", encoding="utf-8") as out:
            os.fchmod(descriptor, 0o600)
            out.write(gap + "".join(f"{name}={value}\n" for name, value in keys.items()))
    except OSError as error:
        raise DeployError(f"{file} cannot be written: {error.strerror}") from error


def _scalar(text: str) -> str:
    """A text as YAML in one line."""
    return yaml.safe_dump(text, width=10**6, allow_unicode=True).removesuffix("...\n").strip()
