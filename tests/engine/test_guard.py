"""What a request to an embedded engine may contain, field by field."""

import json

import pytest

from engine.guard import checked
from errors import BadRequest

USER = {"role": "user", "content": "hello"}


def chat(**fields):
    return {"messages": [USER], **fields}


def tool(name="weather", **function):
    return {"type": "function", "function": {"name": name, **function}}


def schema_format(schema):
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def nested(levels):
    return {"a": nested(levels - 1)} if levels else {}


def refusal(body):
    with pytest.raises(BadRequest) as caught:
        checked(body)
    return caught.value


def test_a_plain_chat_passes_with_the_one_model_there_is():
    body = chat(model="gpt-4o", temperature=0.5, max_tokens=20, stream=True)

    sound = checked(body)

    assert sound == {
        "model": "default_model",
        "messages": [USER],
        "temperature": 0.5,
        "max_tokens": 20,
        "stream": True,
    }
    assert body["model"] == "gpt-4o"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"stop": [1]}, "stop[0]"),
        ({"stop": ["fine", ""]}, "stop[1]"),
        ({"stop": {"a": 1}}, "stop"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"logit_bias": {"x": 1}}, "logit_bias.x"),
        ({"logit_bias": {"-1": 1}}, "logit_bias.-1"),
        ({"logit_bias": {"٣": 1}}, "logit_bias.٣"),
        ({"logit_bias": {"5": 101}}, "logit_bias.5"),
        ({"logit_bias": [1]}, "logit_bias"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"temperature": 10**400}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": "0.7"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": 1.1}, "top_p"),
        ({"top_k": 2.5}, "top_k"),
        ({"min_p": -1}, "min_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": float("inf")}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"repetition_context_size": -1}, "repetition_context_size"),
        ({"xtc_threshold": 0.9}, "xtc_threshold"),
        ({"seed": 2**64}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": 1}, "stream_options"),
        ({"logprobs": 1}, "logprobs"),
        ({"top_logprobs": 12}, "top_logprobs"),
        ({"n": 2}, "n"),
        ({"response_format": "json"}, "response_format.type"),
        ({"response_format": {"type": "grammar"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
            "response_format.json_schema",
        ),
        ({"response_format": schema_format([])}, "response_format.json_schema.schema"),
        ({"response_format": schema_format(nested(65))}, "response_format.json_schema.schema"),
        ({"response_format": schema_format({"enum": ["x" * 140_000]})}, "response_format.json_schema.schema"),
        ({"response_format": schema_format({"const": "\ud800"})}, "response_format.json_schema.schema"),
        ({"response_format": schema_format({"maximum": float("inf")})}, "response_format.json_schema.schema"),
        ({"response_format": {"type": "json_object"}, "guided_regex": "a"}, "guided_regex"),
        ({"guided_json": "{broken"}, "guided_json"),
        ({"guided_choice": []}, "guided_choice"),
        ({"guided_choice": ["a", ""]}, "guided_choice[1]"),
        ({"guided_choice": ["a", 1]}, "guided_choice[1]"),
        ({"guided_regex": 5}, "guided_regex"),
        ({"structured_outputs": {"grammar": "x"}}, "structured_outputs"),
        ({"structured_outputs": {"choice": "yes"}}, "structured_outputs.choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": "sometimes", "tools": [tool()]}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice"),
        (
            {"tool_choice": {"type": "function", "function": {"name": "other"}}, "tools": [tool()]},
            "tool_choice",
        ),
        ({"tool_choice": "required", "tools": [tool(), tool(name="")]}, "tools[1].function.name"),
        ({"tool_choice": "required", "tools": [tool(name="\ud800")]}, "tools[0].function.name"),
        (
            {
                "tool_choice": "required",
                "tools": [tool(f"{i}", parameters={"enum": ["x" * 2000]}) for i in range(70)],
            },
            "tools",
        ),
        ({"tool_choice": "required", "tools": [tool(parameters=5)]}, "tools[0].function.parameters"),
        (
            {"tool_choice": "required", "tools": [tool(parameters={"type": "string"})]},
            "tools[0].function.parameters",
        ),
        ({"tool_choice": "required", "tools": [tool()], "logprobs": True}, "logprobs"),
        ({"tools": [{"type": "function"}]}, "tools[0]"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"guided_grammar": "root ::= x"}, "guided_grammar"),
        ({"adapters": "somewhere"}, "adapters"),
        ({"chat_template_kwargs": {"enable_thinking": "no"}}, "chat_template_kwargs.enable_thinking"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(fields, param):
    assert refusal(chat(**fields)).param == param


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([], "messages"),
        ("hello", "messages"),
        (["hello"], "messages[0]"),
        ([{"content": "hello"}], "messages[0].role"),
        ([USER, {"role": "robot", "content": "hello"}], "messages[1].role"),
        ([{"role": ["user"], "content": "hello"}], "messages[0].role"),
        ([{"role": "user", "content": 5}], "messages[0].content"),
        ([{"role": "user", "content": ["hello"]}], "messages[0].content[0]"),
        ([{"role": "user", "content": [{"type": "text", "text": 5}]}], "messages[0].content[0].text"),
        (
            [USER, {"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image_url"}]}],
            "messages[1].content[1]",
        ),
        ([{"role": "user", "content": [{"type": "input_audio"}]}], "messages[0].content[0]"),
        ([{"role": "assistant", "tool_calls": [{}]}], "messages[0].tool_calls[0]"),
        (
            [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{broken"}}]}],
            "messages[0].tool_calls[0].function.arguments",
        ),
    ],
)
def test_a_message_of_a_wrong_shape_is_refused_by_its_place(messages, param):
    assert refusal({"messages": messages}).param == param


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "messages"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": "a", "echo": True}, "echo"),
        ({"prompt": "a", "logprobs": 3}, "logprobs"),
        ({"prompt": "a", "best_of": 4}, "best_of"),
        ({"prompt": "a", "suffix": "z"}, "suffix"),
    ],
)
def test_a_completion_has_rules_of_its_own(body, param):
    assert refusal(body).param == param


def test_parts_become_one_text_and_a_missing_content_an_empty_one():
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city": "Paris"}'},
    }
    messages = [
        {
            "role": "developer",
            "content": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}],
        },
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]

    sound = checked({"messages": messages})

    assert sound["messages"] == [
        {"role": "system", "content": "Be brief.\nBe kind."},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "sunny", "tool_call_id": "call_1"},
    ]


def test_half_characters_are_replaced_since_no_tokenizer_reads_them():
    sound = checked({"messages": [{"role": "user", "content": "a\ud83d b\x00"}], "stop": "\udc00"})

    assert sound["messages"][0]["content"] == "a\ufffd b\x00"
    assert sound["stop"] == ["\ufffd"]


def test_advice_and_nulls_are_left_out():
    advice = {
        "user": "u",
        "metadata": {"a": 1},
        "store": True,
        "parallel_tool_calls": True,
        "service_tier": "auto",
        "reasoning_effort": "low",
    }
    names = "temperature stop max_tokens tools tool_choice response_format n logprobs stream_options"
    nulls = dict.fromkeys(names.split())

    assert checked(chat(**advice, **nulls)) == checked(chat())


def test_values_that_ask_for_nothing_special_are_no_reason_to_refuse():
    plain = {
        "n": 1,
        "response_format": {"type": "text"},
        "tool_choice": "auto",
        "modalities": ["text"],
        "logprobs": False,
        "top_k": -1,
        "min_tokens": 0,
    }

    assert checked(chat(**plain)) == checked(chat()) | {"logprobs": False}


def test_the_newer_name_of_the_token_limit_wins():
    assert checked(chat(max_tokens=5, max_completion_tokens=7))["max_tokens"] == 7


def test_whole_numbers_may_come_as_floats_and_floats_as_whole_numbers():
    sound = checked(chat(max_tokens=20.0, temperature=1, xtc_probability=0))

    numbers = [sound["max_tokens"], sound["temperature"], sound["xtc_probability"]]
    assert json.dumps(numbers) == "[20, 1.0, 0.0]"


def test_a_seed_without_dice_is_dropped_and_a_negative_one_made_unsigned():
    greedy = checked(chat(seed=-1, temperature=0))
    sampled = checked(chat(seed=-1, temperature=0.7))

    assert "seed" not in greedy
    assert sampled["seed"] == 2**64 - 1


def test_top_p_zero_means_only_the_likeliest_and_not_off():
    assert 0 < checked(chat(top_p=0))["top_p"] < 0.001


def test_usage_is_asked_for_only_in_a_form_the_engine_can_take():
    wanted = checked(chat(stream=True, stream_options={"include_usage": True, "x": 1}))

    assert wanted["stream_options"] == {"include_usage": True}
    assert "stream_options" not in checked(chat(stream=True, stream_options={}))
    assert "stream_options" not in checked(chat(stream_options={"include_usage": True}))


def test_tools_go_along_unless_the_client_wants_none_called():
    tool = {"type": "function", "function": {"name": "weather", "parameters": {}}}

    assert checked(chat(tools=[tool]))["tools"] == [tool]
    assert "tools" not in checked(chat(tools=[tool], tool_choice="none"))


def test_what_gives_an_answer_its_form_becomes_one_constraint():
    schema = {"type": "integer"}

    def constraint(**fields):
        return checked(chat(**fields))["constraint"]

    assert constraint(response_format=schema_format(schema)) == {
        "json": schema,
        "param": "response_format.json_schema.schema",
    }
    assert constraint(response_format={"type": "json_object"}) == {
        "json": {"type": "object"},
        "param": "response_format.schema",
    }
    assert constraint(response_format={"type": "json_object", "schema": schema}) == {
        "json": schema,
        "param": "response_format.schema",
    }
    assert constraint(guided_json='{"type": "integer"}') == {"json": schema, "param": "guided_json"}
    assert constraint(structured_outputs={"json": schema, "regex": None}) == {
        "json": schema,
        "param": "structured_outputs.json",
    }
    assert constraint(guided_choice=["a", "b"]) == {"choice": ["a", "b"], "param": "guided_choice"}
    assert constraint(guided_regex="a+") == {"regex": "a+", "param": "guided_regex"}
    assert checked({"prompt": "a", "guided_regex": "a+"})["constraint"] == {
        "regex": "a+",
        "param": "guided_regex",
    }
    assert "constraint" not in checked(chat(constraint={"regex": "a"}, response_format={"type": "text"}))


def test_a_forced_tool_is_a_constraint_too_and_keeps_its_place_among_the_clients():
    first, second = tool("first"), tool("second")
    named = {"type": "function", "function": {"name": "second"}}

    one = checked(chat(tools=[first, second], tool_choice=named, parallel_tool_calls=True))
    any_of_them = checked(chat(tools=[first, second], tool_choice="required"))
    several = checked(chat(tools=[first, second], tool_choice="required", parallel_tool_calls=True))

    assert (one["tools"], one["constraint"]) == ([second], {"calls": 1, "at": [1]})
    assert (any_of_them["tools"], any_of_them["constraint"]) == ([first, second], {"calls": 1, "at": [0, 1]})
    assert several["constraint"] == {"calls": 8, "at": [0, 1]}


def test_an_answer_that_has_its_form_already_offers_no_tools_unless_one_is_forced():
    form = schema_format({"type": "integer"})

    free = checked(chat(tools=[tool()], response_format=form))
    forced = checked(chat(tools=[tool()], response_format=form, tool_choice="required"))

    assert "tools" not in free and "json" in free["constraint"]
    assert forced["tools"] == [tool()] and "calls" in forced["constraint"]


def test_the_template_can_be_switched_but_not_replaced():
    kwargs = {"enable_thinking": False, "chat_template": "{{ secrets }}", "tokenize": False}

    assert checked(chat(chat_template_kwargs=kwargs))["chat_template_kwargs"] == {"enable_thinking": False}
