"""The client libraries of Python, each as its users call it, behind one set of names.

A client has some of these, and what it has not it cannot do or we do not ask of it:

text(question)           the answer
stream(question)         yields its pieces
tools(question)          calls `multiply` by itself; streams_tools(question) does so in streams
city(question)           gives a City; streams_city(question) gives it at the end of a stream
abandons(question)       leaves a stream after its first piece
forced                   the tool by which it asks for a City; None where it asks for a schema
"""

import asyncio
import contextlib
import functools
import gc
import json
import operator
import signal
import subprocess
import sys
from pathlib import Path

import agents
import anthropic
import instructor
import litellm
import llm
import openai
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.ollama import OllamaModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.ollama import OllamaProvider
from pydantic_ai.providers.openai import OpenAIProvider

KEY = "any"
MODEL = "auto"
WAIT_S = 20
MAX_TOKENS = 100

litellm.suppress_debug_info = True


class City(BaseModel):
    """A city."""

    name: str
    people: int


def multiply(a: int, b: int) -> int:
    """Multiply two whole numbers."""
    return a * b


class LangChain:
    forced = None
    _method = "json_schema"

    def __init__(self, chat):
        self._chat = chat

    def text(self, question):
        return self._chat.invoke(question).text

    def stream(self, question):
        for piece in self._chat.stream(question):
            yield piece.text

    def tools(self, question):
        return self._with_tools(question, lambda chat, messages: chat.invoke(messages))

    def streams_tools(self, question):
        def added_up(chat, messages):
            return functools.reduce(operator.add, chat.stream(messages))

        return self._with_tools(question, added_up)

    def _with_tools(self, question, ask):
        chat = self._chat.bind_tools([tool(multiply)])
        messages = [HumanMessage(question)]
        messages.append(ask(chat, messages))
        messages += [
            ToolMessage(str(multiply(**call["args"])), tool_call_id=call["id"])
            for call in messages[-1].tool_calls
        ]
        return ask(chat, messages).text

    def city(self, question):
        return self._chat.with_structured_output(City, method=self._method).invoke(question)

    def streams_city(self, question):
        return list(self._chat.with_structured_output(City, method=self._method).stream(question))[-1]

    def abandons(self, question):
        asyncio.run(self._cancelled(question))

    async def _cancelled(self, question):
        """As a web application does whose own client has gone."""
        begun = asyncio.Event()

        async def read():
            async for piece in self._chat.astream(question):
                if piece.text:
                    begun.set()

        reading = asyncio.create_task(read())
        await begun.wait()
        while not reading.done():  # one that comes between two pieces may be lost in a library
            reading.cancel()
            await asyncio.wait([reading], timeout=1)


class LangChainForcing(LangChain):
    forced = "City"
    _method = "function_calling"
    text = stream = tools = streams_tools = abandons = None


class PydanticAI:
    def __init__(self, model, forced="final_result"):
        self._model = model
        self.forced = forced

    def text(self, question):
        return Agent(self._model).run_sync(question).output

    def stream(self, question):
        return asyncio.run(self._streamed(question))

    def tools(self, question):
        return Agent(self._model, tools=[multiply]).run_sync(question).output

    def streams_tools(self, question):
        async def passed_over(context, events):
            async for _ in events:
                pass

        agent = Agent(self._model, tools=[multiply])
        return agent.run_sync(question, event_stream_handler=passed_over).output

    def city(self, question):
        return self._city_agent().run_sync(question).output

    def streams_city(self, question):
        async def read():
            async with self._city_agent().run_stream(question) as answer:
                return [city async for city in answer.stream_output(debounce_by=None)][-1]

        return asyncio.run(read())

    def _city_agent(self):
        return Agent(self._model, output_type=City if self.forced else NativeOutput(City), retries=0)

    def abandons(self, question):
        asyncio.run(self._streamed(question, leaves=True))

    async def _streamed(self, question, leaves=False):
        pieces = []
        async with Agent(self._model).run_stream(question) as answer:
            async for piece in answer.stream_text(delta=True, debounce_by=None):
                pieces.append(piece)
                if leaves:
                    await answer.cancel()
                    break
        return pieces


class Instructor:
    text = stream = tools = streams_tools = abandons = None

    def __init__(self, client, mode):
        self._client = instructor.from_openai(client, mode=mode)
        self.forced = "City" if mode is instructor.Mode.TOOLS else None

    def city(self, question):
        return self._client.chat.completions.create(
            model=MODEL, messages=_messages(question), response_model=City, max_retries=0
        )

    def streams_city(self, question):
        return list(
            self._client.chat.completions.create_partial(
                model=MODEL, messages=_messages(question), response_model=City, max_retries=0
            )
        )[-1]


class LiteLLM:
    def __init__(self, model, forced=None, **where):
        self.forced = forced
        self._settings = {
            "model": model,
            "num_retries": 0,
            "max_retries": 0,
            "timeout": WAIT_S,
            "max_tokens": MAX_TOKENS,
            **where,
        }

    def text(self, question):
        return self._ask(_messages(question)).content

    def stream(self, question):
        for chunk in self._chunks(_messages(question)):
            yield chunk.choices[0].delta.content or ""

    def tools(self, question):
        return self._with_tools(question, self._ask)

    def streams_tools(self, question):
        return self._with_tools(question, self._stream)

    def _with_tools(self, question, ask):
        offered = [{"type": "function", "function": _PLAIN_TOOL}]
        message = ask(_messages(question), tools=offered)
        results = [
            {
                "role": "tool",
                "tool_call_id": call.id,
                "name": call.function.name,
                "content": str(multiply(**_arguments(call))),
            }
            for call in message.tool_calls
        ]
        return ask([*_messages(question), message.model_dump(), *results], tools=offered).content

    def city(self, question):
        return City.model_validate_json(self._ask(_messages(question), response_format=City).content)

    def streams_city(self, question):
        return City.model_validate_json(self._stream(_messages(question), response_format=City).content)

    def abandons(self, question):
        asyncio.run(self._left(question))

    def _ask(self, messages, **more):
        return litellm.completion(messages=messages, **self._settings, **more).choices[0].message

    def _stream(self, messages, **more):
        return litellm.stream_chunk_builder(list(self._chunks(messages, **more))).choices[0].message

    def _chunks(self, messages, **more):
        """A stream's chunks.

        LiteLLM leaves Ollama's stream without closing it. Whoever collects the garbage closes it, and waits
        for ever if that is httpcore while it holds its lock; so it is done here.
        """
        yield from litellm.completion(messages=messages, stream=True, **self._settings, **more)
        gc.collect()

    async def _left(self, question):
        answer = await litellm.acompletion(messages=_messages(question), stream=True, **self._settings)
        async for _ in answer:
            break
        await answer.aclose()


class LLM:
    """Simon Willison's `llm`, by its Python interface.

    Its models are those of extra-openai-models.yaml in LLM_USER_PATH.
    """

    forced = None

    def __init__(self, name):
        self._model = llm.get_model(name)

    def text(self, question):
        return self._model.prompt(question, stream=False).text()

    def stream(self, question):
        yield from self._model.prompt(question)

    def tools(self, question):
        return self._model.chain(question, tools=[multiply], stream=False).text()

    def streams_tools(self, question):
        return self._model.chain(question, tools=[multiply]).text()

    def city(self, question):
        return City.model_validate_json(self._model.prompt(question, schema=City, stream=False).text())

    def streams_city(self, question):
        return City.model_validate_json("".join(self._model.prompt(question, schema=City)))

    def abandons(self, question):
        """With Ctrl-C, as its users do."""
        program = Path(sys.executable).with_name("llm")
        with subprocess.Popen(
            [program, "prompt", "-m", self._model.model_id, "--no-log", question], stdout=subprocess.PIPE
        ) as running:
            assert running.stdout.read(1)
            running.send_signal(signal.SIGINT)


class Agents:
    """OpenAI's Agents SDK."""

    forced = None

    def __init__(self, model):
        self._model = model

    def text(self, question):
        return asyncio.run(agents.Runner.run(self._agent(), question)).final_output

    def stream(self, question):
        return asyncio.run(self._streamed(question))

    def tools(self, question):
        agent = self._agent(tools=[agents.function_tool(multiply)])
        return asyncio.run(agents.Runner.run(agent, question)).final_output

    def streams_tools(self, question):
        return "".join(asyncio.run(self._streamed(question, tools=[agents.function_tool(multiply)])))

    def city(self, question):
        return asyncio.run(agents.Runner.run(self._agent(output_type=City), question)).final_output

    def streams_city(self, question):
        async def read():
            answer = agents.Runner.run_streamed(self._agent(output_type=City), question)
            async for _ in answer.stream_events():
                pass
            return answer.final_output

        return asyncio.run(read())

    def abandons(self, question):
        asyncio.run(self._streamed(question, leaves=True))

    def _agent(self, **more):
        return agents.Agent(name="a", model=self._model, **more)

    async def _streamed(self, question, *, tools=(), leaves=False):
        pieces, answer = [], agents.Runner.run_streamed(self._agent(tools=list(tools)), question)
        async with contextlib.aclosing(answer.stream_events()) as events:
            async for event in events:
                if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                    pieces.append(event.data.delta)
                    if leaves:
                        answer.cancel()
                        break
        return pieces


def _messages(question):
    return [{"role": "user", "content": question}]


def _arguments(call):
    return json.loads(call.function.arguments)


_PLAIN_TOOL = {
    "name": "multiply",
    "description": multiply.__doc__,
    "parameters": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
    },
}


def write_llms_models(folder, url):
    """What a user of `llm` writes to reach a Headstart. folder: its LLM_USER_PATH."""
    models = ""
    for name, more in (("headstart", ""), ("headstart-responses", "  responses: true\n")):
        models += f"- model_id: {name}\n  model_name: {MODEL}\n  api_base: {url}/v1\n"
        models += f"  supports_tools: true\n  supports_schema: true\n{more}"
    (folder / "extra-openai-models.yaml").write_text(models)


# Each made anew for a test, since an asynchronous client belongs to one event loop. url: the bare address.
CLIENTS = {
    "langchain-openai": lambda url: LangChain(_langchain_openai(url)),
    "langchain-openai, function calling": lambda url: LangChainForcing(_langchain_openai(url)),
    "langchain-openai, responses": lambda url: LangChain(_langchain_openai(url, use_responses_api=True)),
    "langchain-anthropic": lambda url: LangChain(_langchain_anthropic(url)),
    "langchain-anthropic, function calling": lambda url: LangChainForcing(_langchain_anthropic(url)),
    "langchain-ollama": lambda url: LangChain(ChatOllama(base_url=url, model=MODEL)),
    "pydantic-ai, chat": lambda url: PydanticAI(
        OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=_openai(url)))
    ),
    "pydantic-ai, chat, native output": lambda url: PydanticAI(
        OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=_openai(url))), forced=None
    ),
    "pydantic-ai, responses": lambda url: PydanticAI(
        OpenAIResponsesModel(MODEL, provider=OpenAIProvider(openai_client=_openai(url)))
    ),
    "pydantic-ai, anthropic": lambda url: PydanticAI(
        AnthropicModel(MODEL, provider=AnthropicProvider(anthropic_client=_anthropic(url)))
    ),
    "pydantic-ai, ollama": lambda url: PydanticAI(
        OllamaModel(MODEL, provider=OllamaProvider(openai_client=_openai(url)))
    ),
    "instructor, tools": lambda url: Instructor(_openai(url, openai.OpenAI), instructor.Mode.TOOLS),
    "instructor, json": lambda url: Instructor(_openai(url, openai.OpenAI), instructor.Mode.JSON),
    "instructor, json schema": lambda url: Instructor(
        _openai(url, openai.OpenAI), instructor.Mode.JSON_SCHEMA
    ),
    "litellm, openai": lambda url: LiteLLM(f"openai/{MODEL}", api_base=f"{url}/v1", api_key=KEY),
    "litellm, anthropic": lambda url: LiteLLM(
        f"anthropic/{MODEL}", forced="json_tool_call", api_base=url, api_key=KEY
    ),
    "litellm, ollama": lambda url: LiteLLM(f"ollama_chat/{MODEL}", api_base=url),
    "llm": lambda url: LLM("headstart"),
    "llm, responses": lambda url: LLM("headstart-responses"),
    "openai-agents, chat": lambda url: Agents(agents.OpenAIChatCompletionsModel(MODEL, _openai(url))),
    "openai-agents, responses": lambda url: Agents(agents.OpenAIResponsesModel(MODEL, _openai(url))),
}


def _openai(url, kind=openai.AsyncOpenAI):
    return kind(base_url=f"{url}/v1", api_key=KEY, max_retries=0, timeout=WAIT_S)


def _anthropic(url):
    return anthropic.AsyncAnthropic(base_url=url, api_key=KEY, max_retries=0, timeout=WAIT_S)


def _langchain_openai(url, **more):
    return ChatOpenAI(base_url=f"{url}/v1", api_key=KEY, model=MODEL, max_retries=0, timeout=WAIT_S, **more)


def _langchain_anthropic(url):
    return ChatAnthropic(
        base_url=url, api_key=KEY, model=MODEL, max_retries=0, timeout=WAIT_S, max_tokens=MAX_TOKENS
    )
