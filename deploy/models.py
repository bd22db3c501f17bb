"""Prepares the embedded models that the configuration asks for: `python -m deploy.models`.

The encoder, of classifier and embeddings, is always wanted; the demo model only where it would answer.
"""

import sys

from deploy.carry_over import carry_over
from engine import prepare
from errors import ConfigError
from settings import loader


def main() -> int:
    try:
        if carried := carry_over():  # before the start does, whose models it may change
            print(carried, flush=True)
        engines = loader.load().engines
    except (ConfigError, OSError):  # nothing can start with it; the server's own start says every mistake
        return 0
    return prepare.run(demo_model=prepare.BUILTIN in engines.values())


if __name__ == "__main__":
    sys.exit(main())
