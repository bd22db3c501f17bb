"""Loads the configuration once into the frozen settings, or names every mistake in it and nothing starts.

The owner's file `headstart.yaml` is laid over the shipped `config.yaml` (`settings.layers`); HEADSTART_CONFIG
names another owner's file. A mistake names file, line and key:
`headstart.yaml:14: providers.xai.timeout: unknown key, did you mean timeouts?`
Secrets come from the environment (`${NAME}`, `${NAME:-default}`) or from a `.env` file beside the owner's
file, the environment first.

`settings.reader` reads by the types and limits of `settings.model`, `settings.derivation` completes what the
file leaves open, and `settings.validation` checks the rest.
"""

import dataclasses
import os
import re
from collections.abc import Callable, Iterable, Mapping

from errors import ConfigError, ConfigErrors
from settings.derivation import completed
from settings.environment import CLIENT_KEY, Variables
from settings.fields import altered
from settings.listening import check_listening
from settings.model import Config, Origin, Provider
from settings.paths import DATA_VARIABLE, OWNER_FILE, SHIPPED, owner_paths
from settings.reader import SettingsReader
from settings.validation import mistakes_in

_last: Config | None = None  # what was loaded last; a worker has it from the master that it was forked from


def load(
    path: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    beside: Callable[[Config], Iterable[ConfigError]] = lambda config: (),
) -> Config:
    """Read and check the configuration and return a Config.

    path: the owner's file, whole or partial; None takes HEADSTART_CONFIG, else headstart.yaml in the data
    folder, which need not be there. environ: variables to expand from; None takes the process's own,
    completed by the `.env` beside the file. beside: finds the mistakes in files that belong to a
    configuration and that others read. Raises ConfigError with every mistake found.
    """
    global _last
    environ = os.environ if environ is None else environ
    paths = owner_paths(environ, named=path)
    if paths.data.is_file():
        raise ConfigError("environment", None, DATA_VARIABLE, f"{paths.data} is no folder")
    variables = Variables(environ, paths.dotenv_files)
    is_named = paths.owner_file != paths.data / OWNER_FILE
    reader = SettingsReader(paths.owner_file, variables, must_exist=is_named)
    config = reader.config()
    if config is None:
        shipped = SettingsReader(SHIPPED, variables, must_exist=True).config()
        found = beside(altered(shipped, path=paths.owner_file, data=paths.data)) if shipped else ()
        raise _as_one([*reader.mistakes, *variables.mistakes, *found])
    config = altered(config, path=paths.owner_file, data=paths.data, origins=reader.origins())
    config = _with_variables(config)
    config = completed(_with_key(_with_address(config, variables), variables), reader.presets)
    further = [*reader.located(mistakes_in(config)), *_of_listening(config, reader), *beside(config)]
    if mistakes := [*reader.mistakes, *variables.mistakes, *further]:
        raise _as_one(mistakes)
    _last = config = altered(config, hints=tuple(sorted(variables.misspelt())))
    return config


def load_or_last(
    beside: Callable[[Config], Iterable[ConfigError]] = lambda config: (),
) -> tuple[Config, ConfigError | None]:
    """(the configuration as `load` reads it, None), or (what was loaded last, the ConfigError).

    It is the second where a file has become faulty since: so a worker can be replaced while somebody edits
    it. beside: as for `load`. Raises ConfigError when nothing was ever loaded.
    """
    last = _last
    try:
        return load(beside=beside), None
    except ConfigError as error:
        if last is None:
            raise
        return last, error


def _as_one(mistakes: list[ConfigError]) -> ConfigError:
    """All mistakes as one error, in the order in which they stand in their files, each once."""
    ordered = sorted(mistakes, key=lambda mistake: (str(mistake.file), mistake.line or 0))
    unique = list({str(mistake): mistake for mistake in ordered}.values())
    return unique[0] if len(unique) == 1 else ConfigErrors(unique)


def _with_variables(config: Config) -> Config:
    """The configuration with providers that know which variables they were set up by."""

    def known(name: str, provider: Provider) -> Provider:
        origins = {
            key: config.origins.get(f"providers.{name}.{key}") for key in ("base_url", "model", "api_key")
        }
        alone = {key: one.variables[0] for key, one in origins.items() if one and len(one.variables) == 1}
        return altered(provider, variables={key: source.split()[-1] for key, source in alone.items()})

    return altered(config, providers={name: known(name, one) for name, one in config.providers.items()})


def _with_address(config: Config, variables: Variables) -> Config:
    """The configuration with the address that HOST and PORT name where they are set."""
    host, port = variables.get("HOST"), variables.get("PORT")
    server, origins = config.server, {**config.origins}
    if host:
        server = dataclasses.replace(server, host=host)
        origins["server.host"] = Origin(None, (variables.source("HOST"),))
    if port and not (re.fullmatch(r"[0-9]{1,5}", port) and int(port) < 65536):
        message = f"'{port}' is not a port number"
        variables.mistakes.append(ConfigError(*variables.place("PORT"), "PORT", message))
    elif port:
        server = dataclasses.replace(server, port=int(port))
        origins["server.port"] = Origin(None, (variables.source("PORT"),))
    return altered(config, server=server, origins=origins)


def _with_key(config: Config, variables: Variables) -> Config:
    """The configuration with the key that HEADSTART_KEY holds, beside those of the file."""
    key, keys = variables.get(CLIENT_KEY), config.server.api_keys
    if not key or key in [known.key for known in config.server.keys]:
        return config
    place = f"server.api_keys[{len(keys)}]" if isinstance(keys, list) else f"server.api_keys.{CLIENT_KEY}"
    with_key = [*keys, key] if isinstance(keys, list) else {**keys, CLIENT_KEY: key}
    origins = {**config.origins, place: Origin(None, (variables.source(CLIENT_KEY),))}
    return altered(config, server=altered(config.server, api_keys=with_key), origins=origins)


def _of_listening(config: Config, reader: SettingsReader) -> tuple[ConfigError, ...]:
    """None where the keys have a mistake already, and so nobody knows whether there are any."""
    try:
        check_listening(config)
    except ConfigError as mistake:
        return () if reader.has_mistake("server.api_keys") else (mistake,)
    return ()
