"""A sound configuration as text, and every mistake that can be made in it with what is said about it."""

from settings import loader

# The least that is a configuration.
MINIMAL = """\
decisions: {SIMPLE: a, MODERATE: a, COMPLEX: a, ENRICH: a, META: a}
providers: {near: {kind: openai, base_url: "http://127.0.0.1:1/v1", model: small}}
routes: {a: {chain: [near]}}
"""

GOOD = """\
server: {port: 9000}
timezone: Europe/Berlin
classifier:
  backend: openai
  base_url: http://127.0.0.1:1/v1
  model: judge
decisions: {SIMPLE: primary, MODERATE: primary, COMPLEX: cloud, ENRICH: enrich, META: primary}
providers:
  near: {kind: openai, base_url: "http://127.0.0.1:2/v1", model: small}
  far:
    kind: openai
    base_url: https://far.example/v1
    model: large
    timeouts: {connect_s: 2}
    params: {min: {max_tokens: 16384}}
routes:
  primary: {chain: [near]}
  cloud: {chain: [far, near]}
  enrich:
    context: far
    answer: primary
"""


def load(folder, text, **environ):
    file = folder / "config.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return loader.load(file, environ)


def with_change(old, new):
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


FINDER = '  finder: {kind: searxng, base_url: "http://127.0.0.1:8080"}\n'
OWN = "  own: {kind: mlx, model: builtin"  # to be closed


def with_provider(*lines, context="far"):
    """The good configuration with one more provider, and its first lines counted on from 9."""
    return GOOD.replace("providers:\n", "providers:\n" + "".join(lines)).replace(
        "context: far", f"context: {context}"
    )


MISTAKES = {
    "an unknown section": (
        with_change("timezone:", "time_zone:"),
        "2: time_zone: unknown key, did you mean timezone?",
    ),
    "an unknown key": (
        with_change("timeouts: {connect_s", "timeout: {connect_s"),
        "14: providers.far.timeout: unknown key, did you mean timeouts?",
    ),
    "an unknown key like no other": (
        with_change("connect_s", "xyzzy"),
        "14: providers.far.timeouts.xyzzy: unknown key; known: connect_s, first_byte_s, idle_s, total_s",
    ),
    "a key that stands there twice": (GOOD + "timezone: local\n", "22: timezone: stands here twice"),
    "text for a number": (
        with_change("9000", "many"),
        "1: server.port: expected a whole number, found 'many'",
    ),
    "a fraction for a whole number": (
        with_change("9000", "90.5"),
        "1: server.port: expected a whole number, found '90.5'",
    ),
    "a boolean for a number": (
        with_change("9000", "true"),
        "1: server.port: expected a whole number, found 'true'",
    ),
    "a port beyond all ports": (with_change("9000", "65536"), "1: server.port: 65536 is more than 65535"),
    "a negative port": (with_change("9000", "-1"), "1: server.port: -1 is less than 0"),
    "an infinite time": (
        with_change("connect_s: 2", "connect_s: .inf"),
        "14: providers.far.timeouts.connect_s: expected a finite number, found '.inf'",
    ),
    "a time that is no number": (
        with_change("connect_s: 2", "connect_s: .nan"),
        "14: providers.far.timeouts.connect_s: expected a finite number, found '.nan'",
    ),
    "a time no socket takes": (
        with_change("connect_s: 2", "connect_s: 1e12"),
        "14: providers.far.timeouts.connect_s: expected a number, found '1e12'",
    ),
    "a time that is too long": (
        with_change("connect_s: 2", "connect_s: 100000"),
        "14: providers.far.timeouts.connect_s: 100000.0 is more than 86400.0",
    ),
    "no time at all": (
        with_change("connect_s: 2", "connect_s: 0"),
        "14: providers.far.timeouts.connect_s: 0.0 is less than 0.001",
    ),
    "a mapping for a text": (
        with_change("model: large", "model: {name: large}"),
        "13: providers.far.model: expected text, found a mapping",
    ),
    "a boolean for a text": (
        with_change("model: large", "model: yes"),
        "13: providers.far.model: expected text, found 'yes'",
    ),
    "nothing for a text": (
        with_change("model: large", "model:"),
        "13: providers.far.model: expected text, found nothing",
    ),
    "a text for a list": (
        with_change("chain: [near]", "chain: near"),
        "17: routes.primary.chain: expected a list, found 'near'",
    ),
    "a list for a mapping": (
        with_change("{port: 9000}", "[9000]"),
        "1: server: expected a mapping, found a list",
    ),
    "a text for a mapping": (
        with_change("{port: 9000}", "9000"),
        "1: server: expected a mapping, found '9000'",
    ),
    "a wrong choice": (
        with_change("backend: openai", "backend: llama"),
        "4: classifier.backend: 'llama' is none of mlx, openai",
    ),
    "a provider without its kind": (
        with_change('{kind: openai, base_url: "http', '{base_url: "http'),
        "9: providers.near.kind: is required",
    ),
    "a floor that is no number": (
        with_change("16384", "lots"),
        "15: providers.far.params.min.max_tokens: expected a number",
    ),
    "an address that is none": (
        with_change("https://far.example/v1", "far.example"),
        "12: providers.far.base_url: 'far.example' is no http(s) URL",
    ),
    "an address with a blank": (
        with_change("https://far.example/v1", "'https://far.example/v 1'"),
        "12: providers.far.base_url: 'https://far.example/v 1' is no http(s) URL",
    ),
    "a classifier's address that is none": (
        with_change("http://127.0.0.1:1/v1", "nowhere"),
        "5: classifier.base_url: 'nowhere' is no http(s) URL",
    ),
    "a classifier without address": (
        with_change("  base_url: http://127.0.0.1:1/v1\n", ""),
        "3: classifier.base_url: is required for the openai backend",
    ),
    "a time zone nobody has": (
        with_change("Europe/Berlin", "Europe/Atlantis"),
        "2: timezone: 'Europe/Atlantis' is no IANA time zone",
    ),
    "a variable that is not set": (
        with_change("Europe/Berlin", "${ZONE}"),
        "2: timezone: the variable ZONE is not set",
    ),
    "a decision nobody makes": (
        with_change("META: primary", "META: primary, HARD: cloud"),
        "7: decisions.HARD: unknown decision; known: SIMPLE, MODERATE, COMPLEX, ENRICH, META",
    ),
    "a folder of a model that is not there": (
        with_change("  far:", "  own: {kind: mlx, model: ./models/gone}\n  far:"),
        "10: providers.own.model: './models/gone' is neither builtin, smollm2, a folder nor a hub's "
        "owner/model",
    ),
    "a decision for a route that is not there": (
        with_change("META: primary", "META: housekeeping"),
        "7: decisions.META: there is no route 'housekeeping'",
    ),
    "a chain with a stranger": (
        with_change("chain: [far, near]", "chain: [far, gone]"),
        "18: routes.cloud.chain[1]: there is no provider 'gone'",
    ),
    "a route that leads nowhere": (
        with_change("chain: [near]", "chain: []"),
        "17: routes.primary: needs a chain, or an answer route",
    ),
    "a route that leads two ways": (
        with_change("    answer: primary", "    answer: primary\n    chain: [near]"),
        "19: routes.enrich: needs a chain, or an answer route, not both",
    ),
    "an answer by a stranger": (
        with_change("answer: primary", "answer: nobody"),
        "21: routes.enrich.answer: there is no route 'nobody' with a chain",
    ),
    "an answer by itself": (
        with_change("answer: primary", "answer: enrich"),
        "21: routes.enrich.answer: is circular: enrich -> enrich",
    ),
    "a context by a stranger": (
        with_change("context: far", "context: gone"),
        "20: routes.enrich.context: there is no provider 'gone'",
    ),
    "a context nobody uses": (
        with_change("chain: [near]", "chain: [near], context: far"),
        "17: routes.primary.context: needs an answer route that uses what it finds",
    ),
    "a route named like the virtual model": (
        with_change("  enrich:", "  auto: {chain: [near]}\n  enrich:"),
        "19: routes.auto: has the name of the virtual model",
    ),
    "a prompt that is not there": (
        with_change("{chain: [near]}", "{chain: [near], system_prompt: my.md}"),
        "17: routes.primary.system_prompt: 'my.md' cannot be read: No such file or directory",
    ),
    "a prompt that is a folder": (
        with_change("{chain: [near]}", "{chain: [near], system_prompt: .}"),
        "17: routes.primary.system_prompt: '.' cannot be read: Is a directory",
    ),
    "routes that answer for each other": (
        with_change("answer: primary", "answer: deep")
        + "  deep: {context: far, answer: deeper}\n  deeper: {context: far, answer: enrich}\n",
        "21: routes.enrich.answer: is circular: enrich -> deep -> deeper -> enrich",
    ),
    "an answer by way of a third": (
        with_change("answer: primary", "answer: deep") + "  deep: {context: far, answer: primary}\n",
        "21: routes.enrich.answer: there is no route 'deep' with a chain",
    ),
    "a negative price": (
        with_change("model: large", "model: large\n    prices: {input: 1, output: -0.5}"),
        "14: providers.far.prices.output: -0.5 is less than 0",
    ),
    "a price that is missing": (
        with_change("model: large", "model: large\n    prices: {input: 1}"),
        "14: providers.far.prices.output: is required",
    ),
    "two providers for embeddings": (
        with_change("model: large", "model: large\n    embeddings: true").replace(
            "model: small", "model: small, embeddings: true"
        ),
        "14: providers.far.embeddings: 'near' is marked for embeddings already",
    ),
    "a provider that stands there twice": (
        with_change("  far:", "  near: {kind: mlx, model: builtin}\n  far:"),
        "10: providers.near: stands here twice",
    ),
    "a tag nobody knows": (
        with_change("model: large", "model: !large one"),
        "13: providers.far.model: could not determine a constructor for the tag '!large'",
    ),
    "a ledger that is no database": (
        GOOD + "ledger: {url: ledger.db}\n",
        "22: ledger.url: has to begin with sqlite:/// or postgresql://",
    ),
    "an item of a list": (
        with_change("chain: [near]", "chain: [[near]]"),
        "17: routes.primary.chain[0]: expected text, found a list",
    ),
    "a tab": (
        with_change("  near:", "\tnear:"),
        "9: yaml: a tab stands here; YAML wants blanks",
    ),
    "a bracket that stays open": (
        GOOD + "server: [",
        "22: yaml: the file ends while a bracket or a brace is still open",
    ),
    "two documents": (GOOD + "---\n", "22: yaml: '---' begins another document here; a configuration is one"),
    "a null byte": (with_change("Berlin", "Ber\0lin"), "2: yaml: the character '\\x00' is not allowed"),
    "a mapping in itself": (
        with_change("{max_tokens: 16384}", "&floor {max_tokens: *floor}"),
        "1: yaml: is nested too deeply, or in itself",
    ),
    "bytes that are no text": (GOOD.encode().replace(b"Berlin", b"K\xf6ln"), "2: text: is not UTF-8"),
    "a line that is indented too deeply": (
        with_change("  model: judge", "   model: judge"),
        "6: yaml: this line is indented by 3 blanks, deeper than the one above it (2), which has a value",
    ),
    "a line that is indented too little": (
        with_change("    timeouts:", "   timeouts:"),
        "14: yaml: this line is indented by 3 blanks; those beside it by 2",
    ),
    "a colon in a value": (
        with_change("model: judge", "model: judge: one"),
        "6: yaml: there is a second ':' in this line; put the value in quotes",
    ),
    "a bracket without its comma": (
        with_change("[far, near]", "[far near"),
        "18: yaml: a ',' is missing here, or the ']' that closes the list",
    ),
    "a key without its colon": (
        with_change("timezone: Europe/Berlin", "timezone"),
        "2: yaml: there is no ':' after the key",
    ),
    "a line whose key has no blank": (
        with_change("    base_url: https", "    base_url:https"),
        "12: yaml: a blank is missing after base_url:",
    ),
    "a key in braces that has no blank": (
        with_change("connect_s: 2", "connect_s:2"),
        "14: providers.far.timeouts.connect_s:2: a blank is missing after connect_s:",
    ),
    "items without blanks": (
        with_change("{chain: [near]}", "\n    chain:\n      -near"),
        "19: routes.primary.chain: expected a list, found '-near'; a blank is missing after the dash",
    ),
    "a quote that is never closed": (
        with_change("model: large", 'model: "large'),
        "13: yaml: a quote is opened and never closed",
    ),
    "a quote that another one closes": (
        with_change("model: large", 'model: "large').replace("answer: primary", 'answer: "primary"'),
        "13: yaml: a quote is opened and not closed in this line",
    ),
    "a brace that stays open": (
        with_change("{port: 9000}", "{port: 9000"),
        "1: yaml: a ',' is missing here, or the '}' that closes the braces before line 2",
    ),
    "a colon in the value of the first key": (
        with_change("    base_url: https://far.example/v1\n    model: large", "    model: qwen3: 8b"),
        "12: yaml: there is a second ':' in this line; put the value in quotes",
    ),
    "a value that begins with @": (
        with_change("model: large", "model: @large"),
        "13: yaml: a value cannot begin with @; put it in quotes",
    ),
    "a host that is a star": (
        with_change("{port: 9000}", "{host: *}"),
        "1: yaml: a value that begins with '*' or '&' has to be in quotes",
    ),
    "a path with backslashes": (
        GOOD + 'log: {file: "C:\\Users"}\n',
        "22: yaml: a backslash means something else in double quotes; put the value in single ones",
    ),
    "an item among keys": (
        with_change("    model: large", "    - model: large"),
        "13: yaml: an item of a list stands among keys; indent it below its key",
    ),
    "a bracket too many": (
        with_change("[far, near]", "[far, near]]"),
        "18: yaml: a ',' is missing here, or the '}' that closes the braces",
    ),
    "a blank that is none": (
        with_change("{port: 9000}", "{\u00a0port: 9000}"),
        "1: server.\u00a0port: a no-break space stands here, as web pages have them; YAML wants blanks",
    ),
    "a line for .env": (
        "XAI_KIND=x\n",
        "1: config: expected a mapping, found 'XAI_KIND=x'; NAME=value is a line for .env",
    ),
    "a route with a misspelt name": (
        GOOD.replace("  enrich:", "  cluod: {slow_ms: 9}\n  enrich:"),
        "19: routes.cluod: needs a chain, or an answer route, did you mean cloud?",
    ),
    "a chain with a misspelt provider": (
        with_change("chain: [far, near]", "chain: [far, naer]"),
        "18: routes.cloud.chain[1]: there is no provider 'naer', did you mean near?",
    ),
    "a list for the whole": ("- server\n", "1: config: expected a mapping, found a list"),
}


def with_rules(*rules):
    return GOOD + "models:\n" + "".join(f"  - {rule}\n" for rule in rules)


RULE_MISTAKES = {
    "a rule for nothing": (
        with_rules("{provider: far}"),
        "23: models[0]: needs one of exact, prefix and regex",
    ),
    "a rule for two things": (
        with_rules("{exact: a, prefix: b, provider: far}"),
        "23: models[0]: needs one of exact, prefix and regex",
    ),
    "a rule for an empty name": (
        with_rules("{prefix: '', provider: far}"),
        "23: models[0]: needs one of exact, prefix and regex",
    ),
    "a rule that leads nowhere": (with_rules("{exact: a}"), "23: models[0]: needs a provider or a route"),
    "a rule that leads two ways": (
        with_rules("{exact: a, provider: far, route: cloud}"),
        "23: models[0]: needs a provider or a route, not both",
    ),
    "a rule that leads to a stranger": (
        with_rules("{exact: a, provider: far}", "exact: b\n    provider: gone"),
        "25: models[1].provider: there is no provider 'gone'",
    ),
    "a rule that goes a way that is not there": (
        with_rules("exact: b\n    route: gone"),
        "24: models[0].route: there is no route 'gone'",
    ),
    "two rules with one name": (
        with_rules("{exact: a, provider: far}", "{prefix: a, provider: far}", "{exact: a, provider: near}"),
        "25: models[2]: exact 'a' stands in models[0] already",
    ),
    "a pattern that is none": (
        with_rules("provider: far\n    regex: 'gpt-(4'"),
        "24: models[0].regex: 'gpt-(4' is no RE2 pattern: missing ): gpt-(4",
    ),
    "a pattern that only a backtracking engine takes": (
        with_rules(r"{regex: '(a)\1', provider: far}"),
        r"23: models[0].regex: '(a)\1' is no RE2 pattern: invalid escape sequence: \1",
    ),
    "a pattern that would fill the memory": (
        with_rules("{regex: '((a{100}){100}){100}', provider: far}"),
        "23: models[0].regex: '((a{100}){100}){100}' is no RE2 pattern: invalid repetition size: {100}",
    ),
    "a floor that is no number": (
        with_rules("exact: a\n    provider: far\n    params:\n      min: {max_tokens: lots}"),
        "26: models[0].params.min.max_tokens: expected a number",
    ),
    "an unknown key of a rule": (
        with_rules("{exakt: a, provider: far}"),
        "23: models[0].exakt: unknown key, did you mean exact?",
    ),
    "a rule that is none": (with_rules("far"), "23: models[0]: expected a mapping, found 'far'"),
}
