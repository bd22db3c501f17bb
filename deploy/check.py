"""`python -m deploy.check`: whether this version can read the owner's configuration.

An update asks the new version in this way, so the name stays.
"""

from deploy.place import here
from terminal.command import run_and_exit


def main() -> int:
    here().config()
    return 0


if __name__ == "__main__":
    run_and_exit(main)
