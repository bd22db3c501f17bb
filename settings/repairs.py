"""What was mended in the owner's settings without asking, in a sentence each, so that it can be said."""

from settings.model import Config
from settings.secrets import masked


def repairs(config: Config) -> list[str]:
    """What was mended, as in `home: HOME_URL http://box:11434 has no /v1; using http://box:11434/v1`."""
    said = []
    for name, provider in config.providers.items():
        repair = provider.url_repair
        if repair and not provider.disabled:
            problems = " and ".join(repair.problems)
            written, url = masked(repair.written), masked(repair.url)
            said.append(f"{name}: {_named(config, name)} {written} {problems}; using {url}")
    return said


def _named(config: Config, provider: str) -> str:
    """The variable that gave the address, if one alone did, else the key."""
    origin = config.origins.get(f"providers.{provider}.base_url")
    variables = [variable.rpartition(" ")[2] for variable in origin.variables] if origin else []
    return variables[0] if len(variables) == 1 and variables[0].endswith("URL") else "base_url"
