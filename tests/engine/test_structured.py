"""Answers held to a form: JSON of a schema, a choice, calls of tools.

The real model in its real process wherever a model is needed.
"""

import json
import math
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jsonschema
import pytest

from engine import prepare, tool_calls
from engine.guard import checked
from engine.json_schema import tightened
from tests.support.engine import FRANCE, Running

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
            "required": ["city", "unit"],
        },
    },
}
CLOCK = {
    "type": "function",
    "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}},
}
PARIS = [{"role": "user", "content": "What is the weather in Paris?"}]

# What pydantic makes of a class with an enum, a union of classes, a nested list, and Optional.
PYDANTIC = {
    "$defs": {
        "Cat": {
            "properties": {
                "kind": {"const": "cat", "title": "Kind", "type": "string"},
                "lives": {"title": "Lives", "type": "integer"},
            },
            "required": ["kind", "lives"],
            "title": "Cat",
            "type": "object",
        },
        "Dog": {
            "properties": {
                "kind": {"const": "dog", "title": "Kind", "type": "string"},
                "good": {"title": "Good", "type": "boolean"},
            },
            "required": ["kind", "good"],
            "title": "Dog",
            "type": "object",
        },
        "Size": {"enum": ["small", "large"], "title": "Size", "type": "string"},
    },
    "properties": {
        "size": {"$ref": "#/$defs/Size"},
        "pet": {
            "discriminator": {
                "mapping": {"cat": "#/$defs/Cat", "dog": "#/$defs/Dog"},
                "propertyName": "kind",
            },
            "oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}],
            "title": "Pet",
        },
        "born": {
            "anyOf": [{"format": "date", "type": "string"}, {"type": "null"}],
            "default": None,
            "title": "Born",
        },
    },
    "required": ["size", "pet"],
    "title": "Owner",
    "type": "object",
}

TREE = {
    "$defs": {
        "tree": {
            "type": "object",
            "properties": {"leaves": {"type": "array", "items": {"$ref": "#/$defs/tree"}, "maxItems": 1}},
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/tree",
}

SCHEMAS = {
    "flat": {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer"}},
        "required": ["name", "age"],
    },
    "nested": {
        "type": "object",
        "properties": {
            "at": {
                "type": "object",
                "properties": {"x": {"type": "number", "minimum": 0, "maximum": 9, "multipleOf": 0.5}},
                "required": ["x"],
            }
        },
        "required": ["at"],
    },
    "enums in an array": {
        "type": "array",
        "items": {"enum": ["red", "green", 3, None]},
        "minItems": 2,
        "maxItems": 3,
    },
    "union": {"anyOf": [{"type": "integer", "minimum": 10, "maximum": 99}, {"type": ["boolean", "null"]}]},
    "map": {"type": "object", "additionalProperties": {"type": "boolean"}, "maxProperties": 2},
    "an unknown format": {"type": "string", "format": "made-up", "maxLength": 12},
    "pydantic": PYDANTIC,
}


def as_schema(schema, **more):
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, **more}}


def whole(real, **fields):
    """A guarded answer that is not streamed: its message, its finish_reason and the whole of it."""
    status, raw = real.ask(checked({"max_tokens": 48, **fields}))
    answer = json.loads(raw)
    assert status == 200, answer
    return answer["choices"][0]["message"], answer["choices"][0]["finish_reason"], answer


def refused(real, **fields):
    status, raw = real.ask(checked({"messages": PARIS, "max_tokens": 4, **fields}))
    assert status == 400, raw
    return json.loads(raw)["error"]


def deltas_of(events):
    return [
        call
        for event in events
        for choice in event["choices"]
        for call in choice["delta"].get("tool_calls", ())
    ]


def arguments_of(call, tool=WEATHER):
    arguments = json.loads(call["function"]["arguments"])
    jsonschema.validate(arguments, tool["function"]["parameters"])
    return arguments


# JSON


def test_any_schema_is_held_to_sampled_or_not_streamed_or_not_in_one_batch_with_a_free_answer(real):
    wanted = [(schema, temperature) for schema in SCHEMAS.values() for temperature in (0, 1.5)]

    def answer(i):
        if i == len(wanted):
            return real.answer(messages=FRANCE)[0]
        schema, temperature = wanted[i]
        body = {
            "messages": [{"role": "user", "content": "Any example."}],
            "response_format": as_schema(schema),
            "temperature": temperature,
            "max_tokens": 90,
        }
        if i % 3:
            return real.answer(**body)[:2]
        message, finish_reason, _ = whole(real, **body)
        return message["content"], finish_reason

    with ThreadPoolExecutor(len(wanted) + 1) as pool:
        *answers, free = pool.map(answer, range(len(wanted) + 1))

    for (schema, _), (text, finish_reason) in zip(wanted, answers, strict=True):
        assert finish_reason == "stop", text
        jsonschema.validate(json.loads(text), schema, cls=jsonschema.Draft202012Validator)
    assert free == "The capital of France is Paris."


def test_a_json_object_is_one_whatever_was_said(real):
    text, finish_reason, _ = real.answer(
        messages=[{"role": "user", "content": "What is the capital of France? Answer in JSON."}],
        response_format={"type": "json_object"},
    )

    assert json.loads(text) == {"city": "Paris"}
    assert finish_reason == "stop"


def test_an_answer_cut_by_the_clients_own_limit_says_length(real):
    message, finish_reason, answer = whole(
        real, messages=PARIS, response_format=as_schema(SCHEMAS["flat"], strict=True), max_tokens=4
    )

    assert message["content"].startswith('{"name": "')
    assert finish_reason == "length"
    assert answer["usage"]["completion_tokens"] == 4


def test_a_seed_a_stop_word_a_bias_and_logprobs_work_with_a_form(real):
    body = {
        "messages": PARIS,
        "response_format": as_schema(SCHEMAS["flat"]),
        "temperature": 1.2,
        "seed": 7,
        "logprobs": True,
        "top_logprobs": 3,
    }

    first, _, answer = whole(real, **body, logit_bias={"28": -100})
    again, _, _ = whole(real, **body, logit_bias={"28": -100})
    cut, finish_reason, _ = whole(real, **body, stop=["ame"])

    tokens = answer["choices"][0]["logprobs"]["content"]
    assert first == again
    assert "".join(token["token"] for token in tokens) == first["content"]
    assert all(math.isfinite(likely["logprob"]) for token in tokens for likely in token["top_logprobs"])
    assert (cut["content"], finish_reason) == ('{"n', "stop")


def test_the_fields_of_vllm_hold_an_answer_too(real):
    question = [{"role": "user", "content": "Is the sky blue?"}]

    choice, _, _ = real.answer(messages=question, guided_choice=["certainly not", "it is"])
    number, _, _ = real.answer(messages=question, structured_outputs={"regex": r"\d{3}-\d{4}"})
    value, _, _ = real.answer(messages=question, guided_json=json.dumps({"type": "boolean"}))

    assert choice in ("certainly not", "it is")
    assert number.isascii() and [part.isdigit() for part in number.split("-")] == [True, True]
    assert value in ("true", "false")


@pytest.mark.parametrize(
    "schema",
    [
        {"not": {"type": "string"}},
        {"type": "array", "uniqueItems": True},
        {"type": "banana"},
        {"type": "string", "pattern": "(?=a)b"},
        {"type": "string", "pattern": "["},
        {"$ref": "#"},
        {"$ref": "#/$defs/nowhere"},
        {"$ref": "https://example.com/schema.json"},
        {"type": "integer", "minimum": 5, "maximum": 3},
        {"type": "integer", "multipleOf": 999983},
        {"type": "integer", "maxLength": 10**400},
        {"enum": []},
        {"oneOf": [{"type": "object", "properties": {"a": {}}}, {"type": "object", "properties": {"b": {}}}]},
        {
            "$defs": {"n": {"type": "object", "properties": {"c": {"$ref": "#/$defs/n"}}, "required": ["c"]}},
            "$ref": "#/$defs/n",
        },
        {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(1000)}},
        {
            "allOf": [
                {
                    "anyOf": [
                        {"type": "object", "properties": {f"p{i}_{j}": {}}, "required": [f"p{i}_{j}"]}
                        for j in range(4)
                    ]
                }
                for i in range(7)
            ]
        },
    ],
    ids=lambda schema: str(schema)[:40],
)
def test_a_schema_that_cannot_be_held_to_is_refused_by_name(real, schema):
    error = refused(real, response_format=as_schema(schema))

    assert error["param"] == "response_format.json_schema.schema"
    assert error["type"] == "invalid_request_error"
    assert 0 < len(error["message"]) <= 300


def chain(link, length=500):
    return {
        "$defs": {f"a{i}": link({"$ref": f"#/$defs/a{i + 1}"}) for i in range(length)}
        | {f"a{length}": {"type": "string"}},
        "$ref": "#/$defs/a0",
    }


HOSTILE = {
    "a chain of objects": chain(lambda ref: {"type": "object", "properties": {"c": ref}, "required": ["c"]}),
    "a chain of unions": chain(lambda ref: {"anyOf": [ref, {"type": "null"}]}),
    "unions that double": chain(
        lambda ref: {
            "anyOf": [ref, {"type": "object", "properties": {"a": ref}}, {"type": "array", "items": ref}]
        },
        20,
    ),
    "a thousand properties": {
        "type": "object",
        "properties": {f"p{i}": {"type": "string"} for i in range(1000)},
        "required": [f"p{i}" for i in range(1000)],
    },
    "thousands of values": {"enum": [f"value {i}" for i in range(4000)]},
    "a million items": {"type": "array", "minItems": 10**6, "items": {"type": "string"}},
    "a million characters": {"type": "string", "minLength": 10**6},
    "repeated repeats": {"type": "string", "pattern": "^(a{1,1000}){1,1000}$"},
    "many states": {"type": "string", "pattern": "^(.*a.{20}){1,50}|(.*b.{15}c){3,9}|.*(x|y|z).{30}q$"},
}


def test_hostile_schemas_neither_end_the_engine_nor_an_answer_beside_them(real):
    pid = real.engine.pid

    def status_of(schema):
        body = {
            "messages": PARIS,
            "response_format": as_schema(schema),
            "max_tokens": 5,
            "stream": True,
        }
        return real.ask(checked(body))[0]

    with ThreadPoolExecutor(4) as pool:
        free = pool.submit(real.answer, messages=FRANCE)
        statuses = list(pool.map(status_of, HOSTILE.values()))

    assert set(statuses) <= {200, 400}
    assert free.result()[0] == "The capital of France is Paris."
    assert real.engine.pid == pid


def test_a_grammar_that_breaks_in_the_middle_is_told_in_the_stream(real):
    body = {
        "messages": PARIS,
        "response_format": as_schema(HOSTILE["many states"]),
        "stream": True,
        "max_tokens": 60,
        "temperature": 2.0,
    }

    status, raw = real.ask(checked(body))

    *_, last = [line for line in raw.decode().split("\n\n") if line.startswith("data: ")]
    assert status == 200
    assert "too complex" in json.loads(last[6:])["error"]["message"]


@pytest.mark.parametrize(
    "constraint",
    [{}, "json", {"json": "x", "param": "p"}, {"choice": [], "param": "p"}, {"calls": 1, "at": [0]}],
    ids=str,
)
def test_a_constraint_that_no_guard_made_is_refused(real, constraint):
    status, raw = real.ask(
        {"model": "default_model", "messages": FRANCE, "max_tokens": 1, "constraint": constraint}
    )

    assert (status, json.loads(raw)["error"]["param"]) == (400, "constraint")


# Tools


def test_a_required_call_streams_its_name_first_and_then_its_arguments(real):
    _, finish_reason, events = real.answer(
        messages=PARIS, tools=[WEATHER, CLOCK], tool_choice="required", max_tokens=60
    )

    first, *rest = deltas_of(events)
    assert first["index"] == 0 and first["type"] == "function" and first["id"].startswith("call_")
    assert first["function"]["name"] == "get_weather"
    assert len(rest) > 3 and all(
        set(delta) == {"index", "function"} and set(delta["function"]) == {"arguments"} for delta in rest
    )
    [call] = tool_calls.whole([first, *rest])
    assert arguments_of(call) == {"city": "Paris", "unit": "celsius"}
    assert finish_reason == "tool_calls"


def test_a_named_function_is_called_and_nothing_is_said(real):
    message, finish_reason, _ = whole(
        real,
        messages=PARIS,
        tools=[CLOCK, WEATHER],
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
    )

    [call] = message["tool_calls"]
    assert message["content"] is None
    assert arguments_of(call)["city"] == "Paris"
    assert finish_reason == "tool_calls"


def test_a_call_that_is_cut_says_length_and_keeps_what_there_is(real):
    message, finish_reason, _ = whole(
        real, messages=PARIS, tools=[WEATHER], tool_choice="required", max_tokens=4
    )

    [call] = message["tool_calls"]
    assert finish_reason == "length"
    assert call["function"]["arguments"].startswith('{"city"')


def test_a_tool_that_cannot_be_held_to_is_refused_by_its_place(real):
    bad = {
        "type": "function",
        "function": {"name": "bad", "parameters": {"type": "object", "properties": {"a": {"pattern": "["}}}},
    }

    everywhere = refused(real, tools=[CLOCK, bad], tool_choice="required")
    by_name = refused(real, tools=[CLOCK, bad], tool_choice={"type": "function", "function": {"name": "bad"}})

    assert everywhere["param"] == by_name["param"] == "tools[1].function.parameters"


def test_tools_cost_a_model_that_cannot_call_them_nothing(real):
    many = [
        {
            "type": "function",
            "function": {**WEATHER["function"], "name": f"tool_{i}", "description": "words " * 100},
        }
        for i in range(36)
    ]

    free, finish_reason, answer = whole(real, messages=FRANCE, tools=many)
    _, _, without = whole(real, messages=FRANCE)

    assert (free["content"], finish_reason) == ("The capital of France is Paris.", "stop")
    assert answer["usage"]["prompt_tokens"] == without["usage"]["prompt_tokens"]


def test_the_result_of_a_call_is_read_by_a_model_whose_template_knows_none(real):
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city": "Paris", "unit": "celsius"}'},
    }
    said = [
        *PARIS,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "It is 31 degrees and sunny."},
    ]

    text, finish_reason, _ = real.answer(messages=said, tools=[WEATHER], max_tokens=60)

    assert "31" in text
    assert finish_reason in ("stop", "length")


# A model that thinks and knows tools: the same weights with another template.

TEMPLATE = """{% if tools %}<|im_start|>system
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}Call as <tool_call>{"name": ...}</tool_call><|im_end|>
{% endif %}{% for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}{% for tool_call in message.tool_calls or [] -%}
<tool_call>{{ tool_call.name }}</tool_call>{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
<think>
{% endif %}"""


@pytest.fixture(scope="module")
def thinker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("thinker")
    model = folder / "model"
    model.mkdir()
    built_in = Path(prepare.model_dir(prepare.BUILTIN))
    for name in ("config.json", "model.safetensors", "tokenizer_config.json"):
        (model / name).symlink_to(built_in / name)
    tokenizer = (built_in / "tokenizer.json").read_text()
    tokenizer = tokenizer.replace("<reponame>", "<think>").replace("<file_sep>", "</think>")
    (model / "tokenizer.json").write_text(tokenizer)
    (model / "chat_template.jinja").write_text(TEMPLATE)
    running = Running(folder, model)
    yield running
    running.stop()


def test_a_form_comes_after_the_thinking_and_not_as_part_of_it(thinker):
    free, _, _ = whole(thinker, messages=FRANCE, max_tokens=5)
    held, finish_reason, _ = whole(thinker, messages=FRANCE, response_format=as_schema(SCHEMAS["nested"]))

    assert free["reasoning"] and not free["content"]
    assert "reasoning" not in held
    jsonschema.validate(json.loads(held["content"]), SCHEMAS["nested"])
    assert finish_reason == "stop"


def test_a_model_that_knows_tools_is_told_them_by_its_own_template_and_can_be_forced_as_well(thinker):
    _, _, told = whole(thinker, messages=PARIS, tools=[WEATHER, CLOCK], max_tokens=1)
    _, _, untold = whole(thinker, messages=PARIS, max_tokens=1)
    message, finish_reason, _ = whole(
        thinker, messages=PARIS, tools=[WEATHER, CLOCK], tool_choice="required", max_tokens=90
    )

    assert told["usage"]["prompt_tokens"] > untold["usage"]["prompt_tokens"] + 50
    assert message["tool_calls"][0]["function"]["name"] in ("get_weather", "get_time")
    assert finish_reason == "tool_calls"


# The grammar alone, with a model that knows nothing: every token is as likely as the other


@pytest.fixture(scope="module")
def grammars():
    from mlx_lm.utils import load_tokenizer  # imports MLX, so not before the BLAS is loaded

    from engine.constrained import Grammars

    assert prepare.is_ready(Path(prepare.model_dir(prepare.BUILTIN)))
    return Grammars(load_tokenizer(Path(prepare.model_dir(prepare.BUILTIN))), vocab_size=49152)


def rambled(constraint, most_tokens):
    """Tokens drawn blindly from what is allowed, as the processor of a batch would be called for them."""
    import mlx.core as mx

    dice, tokens = random.Random(5), [1]
    for _ in range(most_tokens):
        allowed = constraint(mx.array(tokens), mx.zeros((1, 49152)))[0].tolist()
        tokens.append(dice.choice([token for token, logit in enumerate(allowed) if logit == 0]))
        if tokens[-1] == 2:
            return tokens[1:-1], True
    return tokens[1:], False


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {},
        {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"a": {"type": "string"}, "b": {"type": "array"}},
                "required": ["a", "b"],
            },
        },
        PYDANTIC,
    ],
    ids=["object", "anything", "array", "pydantic"],
)
def test_a_rambling_answer_is_wound_up_within_its_budget(grammars, schema):
    constraint = grammars.compile({"json": schema, "param": "x"}, None, 200)
    constraint.winds_down = True
    constraint.has_budget(200)

    tokens, has_ended = rambled(constraint, 200)

    assert has_ended
    jsonschema.validate(
        json.loads(grammars._tokenizer.decode(tokens)), schema, cls=jsonschema.Draft202012Validator
    )


@pytest.mark.parametrize("most", [1, 5], ids=["one call", "several"])
def test_as_many_calls_come_as_are_wanted_of_any_of_many_tools(grammars, most):
    many = [
        {
            "type": "function",
            "function": {
                "name": f"tool-{i}",
                "parameters": {"type": "object", "properties": {"n": {"enum": [i]}}},
            },
        }
        for i in range(36)
    ]
    constraint = grammars.compile({"calls": most, "at": list(range(36))}, many, 200)

    tokens, has_ended = rambled(constraint, 200)

    calls = tool_calls.whole(constraint.reader.feed(grammars._tokenizer.decode(tokens)))
    assert has_ended
    assert (len(calls) > 1) == (most > 1)
    assert len(calls) <= most
    for call in calls:
        number = int(call["function"]["name"].removeprefix("tool-"))
        assert json.loads(call["function"]["arguments"]) in ({}, {"n": number})


def test_an_answer_with_a_limit_of_the_clients_is_not_wound_up(grammars):
    constraint = grammars.compile({"json": {"type": "string", "maxLength": 10**4}, "param": "x"}, None, 30)
    constraint.has_budget(30)

    _, has_ended = rambled(constraint, 30)

    assert not has_ended


# The tighter schema


@pytest.mark.parametrize(
    ("schema", "tight"),
    [
        ({"type": "string"}, {"type": "string", "maxLength": 300}),
        ({"type": "string", "maxLength": 5000}, {"type": "string", "maxLength": 5000}),
        ({"type": "string", "minLength": 400}, {"type": "string", "minLength": 400, "maxLength": 400}),
        ({"type": "string", "pattern": "a+"}, {"type": "string", "pattern": "a+"}),
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
        ({"type": "string", "format": "made-up"}, {"type": "string", "maxLength": 300}),
        ({"const": "x"}, {"const": "x"}),
        (
            {"type": "array", "items": {"type": "null"}},
            {"type": "array", "items": {"type": "null"}, "maxItems": 25},
        ),
        (
            {"type": "array", "items": {"type": "null"}, "minItems": 30},
            {"type": "array", "items": {"type": "null"}, "minItems": 30, "maxItems": 30},
        ),
        (
            {"prefixItems": [{"type": "string"}] * 4},
            {"prefixItems": [{"type": "string", "maxLength": 150}] * 4},
        ),
        (
            {"type": "object", "properties": {}},
            {"type": "object", "properties": {}, "additionalProperties": False},
        ),
        (
            {"type": "object", "properties": {}, "additionalProperties": {"type": "null"}},
            {"type": "object", "properties": {}, "additionalProperties": {"type": "null"}},
        ),
        (
            {"properties": {"type": {"type": "string"}}},
            {"properties": {"type": {"type": "string", "maxLength": 300}}},
        ),
        (
            {"anyOf": [{"type": "string"}, {"type": ["string", "null"]}]},
            {"anyOf": [{"type": "string", "maxLength": 300}, {"type": ["string", "null"], "maxLength": 300}]},
        ),
        (
            {"type": "object", "additionalProperties": {"type": "null"}},
            {
                "type": "object",
                "patternProperties": {"^.{1,60}$": {"type": "null"}},
                "additionalProperties": False,
                "maxProperties": 25,
            },
        ),
        (
            {"type": "object", "properties": {"a": {"type": "null"}}, "anyOf": [{"required": ["a"]}]},
            {"type": "object", "properties": {"a": {"type": "null"}}, "anyOf": [{"required": ["a"]}]},
        ),
        (
            {"properties": "nonsense", "anyOf": 5, "type": "object"},
            {"properties": "nonsense", "anyOf": 5, "type": "object"},
        ),
    ],
    ids=lambda schema: str(schema)[:50],
)
def test_what_a_schema_leaves_open_gets_a_limit_and_nothing_else_changes(schema, tight):
    before = json.dumps(schema)

    assert tightened(schema, 100) == tight
    assert json.dumps(schema) == before


# Calls as text

LINES = '{"name": "get_weather", "arguments": {"city": "Par}is"}}\n{"name": "get_time", "arguments": {}}'


@pytest.mark.parametrize("size", [1, 2, 3, 7, 200])
def test_calls_are_read_however_their_text_is_cut(size):
    reader = tool_calls.Reader(["get_time", "get_weather"])

    deltas = [delta for i in range(0, len(LINES), size) for delta in reader.feed(LINES[i : i + size])]

    calls = tool_calls.whole(deltas)
    assert [call["function"] for call in calls] == [
        {"name": "get_weather", "arguments": '{"city": "Par}is"}'},
        {"name": "get_time", "arguments": "{}"},
    ]
    assert [delta["index"] for delta in deltas if "id" in delta] == [0, 1]


def test_a_call_that_is_cut_keeps_its_last_character():
    reader = tool_calls.Reader(["f"], begun=tool_calls.opening("f"))

    calls = tool_calls.whole(reader.feed('{"a": {"b": 1}') + reader.flush())

    assert calls[0]["function"] == {"name": "f", "arguments": '{"a": {"b": 1}'}


@pytest.mark.parametrize(
    "parsed",
    [
        "text",
        {"arguments": {}},
        {"name": 5},
        {"name": "f", "arguments": [1]},
        {"name": "f", "arguments": "[1]"},
        [{"name": "f"}, 5],
    ],
    ids=str,
)
def test_what_a_model_wrote_that_is_no_call_is_none(parsed):
    parse = tool_calls.sound(lambda text, tools: parsed)

    with pytest.raises(ValueError):
        parse("...", None)


def test_arguments_that_a_model_wrote_as_a_text_are_read_and_missing_ones_are_none():
    assert tool_calls.sound(lambda text, tools: {"name": "f", "arguments": '{"a": 1}'})("", None) == [
        {"name": "f", "arguments": {"a": 1}}
    ]
    assert tool_calls.sound(lambda text, tools: [{"name": "f"}])("", None) == [{"name": "f", "arguments": {}}]


def test_a_conversation_with_calls_becomes_text_for_a_template_without_tools():
    call = {"id": "call_1", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "The time?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "12:00", "tool_call_id": "call_1"},
        {"role": "assistant", "content": "Let me see.", "tool_calls": [call]},
        {"role": "tool", "content": "12:01", "tool_call_id": "call_1"},
    ]

    free = tool_calls.as_text(messages, [])
    forced = tool_calls.as_text(messages, [WEATHER])

    assert free == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "The time?\n\nA tool says: 12:00"},
        {"role": "assistant", "content": "Let me see."},
        {"role": "user", "content": "A tool says: 12:01"},
    ]
    assert forced[0]["content"].startswith("Be brief.\n\n")
    assert "- get_weather(city: string, unit) Get the weather of a city" in forced[0]["content"]
    assert forced[1:] == free[1:]


def test_thirty_six_tools_are_told_in_brief():
    many = [
        {
            "type": "function",
            "function": {**WEATHER["function"], "name": f"tool_{i}", "description": "words " * 500},
        }
        for i in range(36)
    ]

    [system, *_] = tool_calls.as_text(PARIS, many)

    assert all(f"tool_{i}(" in system["content"] for i in range(36))
    assert len(system["content"]) < 36 * 160


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ({"type": "integer"}, {"minimum": 1 - 2**53, "maximum": 2**53 - 1}),
        ({"type": ["integer", "null"], "minimum": 3}, {"minimum": 3, "maximum": 2**53 - 1}),
        ({"type": "integer", "exclusiveMaximum": 9}, {"minimum": 1 - 2**53, "exclusiveMaximum": 9}),
        ({"type": "integer", "enum": [1, 2]}, {}),
        ({"type": "number"}, {}),
    ],
)
def test_an_integer_without_limits_gets_those_that_every_client_can_read(asked, given):
    limits = {key: value for key, value in tightened(asked, 100).items() if "imum" in key}

    assert limits == given
