"""Whether the server may listen where it is told to: beyond its machine only with a key, or if that is meant.

Whoever reaches an open server spends its owner's money. This looks at the settings in effect, with HOST, and
after a reload with the address that stays until the next start. A container listens on all of its own
addresses; there the one counts at which its port is published.
"""

from errors import ConfigError
from settings.addresses import is_loopback
from settings.environment import file_of
from settings.model import Config, Origin

KEY = "server.host"


def check_listening(config: Config) -> None:
    """Raises ConfigError, with the lines that would mend it, for a server that is open by oversight."""
    server = config.server
    if server.api_keys or server.allow_open or is_loopback(server.published_host or server.host):
        return
    origin = config.origins.get(KEY, Origin(None))
    named = f"{'HOST=' if origin.variables else ''}{server.host or repr('')}"
    raise ConfigError(
        file_of(origin.variables[0]) if origin.variables else config.path.name,
        None if origin.variables else origin.line,
        KEY,
        f"{named} is open to everybody in the network, and no key is set: "
        f'add "server: {{api_keys: [KEY]}}" to {config.path.name}, or HEADSTART_KEY=KEY to .env, with a key '
        'of yours (openssl rand -hex 16 makes one), or "server: {allow_open: true}" if that is meant',
    )
