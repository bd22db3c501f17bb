// The client libraries of Node, each as its users call it, behind one set of names; see in_python.py.
// Reads lines of JSON, {client, does, url, question}, and answers each with one: {value} or {error}.

import { createInterface } from "node:readline";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import Anthropic from "@anthropic-ai/sdk";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import * as ai from "ai";
import { Ollama } from "ollama";
import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

globalThis.AI_SDK_LOG_WARNINGS = false; // they would go where the answers go
const MODEL = "auto";
const MAX_TOKENS = 100;
const KEY = "any";
const City = z.object({ name: z.string(), people: z.number().int() });
const TWO_NUMBERS = {
  type: "object",
  properties: { a: { type: "integer" }, b: { type: "integer" } },
  required: ["a", "b"],
};
const MULTIPLY = { name: "multiply", description: "Multiply two whole numbers.", parameters: TWO_NUMBERS };
const multiply = ({ a, b }) => String(a * b);
const messagesOf = (question) => [{ role: "user", content: question }];

// The pieces of a stream. abandon: called after the first one with text, to leave; a failure after that
// is the leaving.
async function pieces(stream, textOf, abandon) {
  const texts = [];
  try {
    for await (const event of stream) {
      const text = textOf(event);
      if (text === undefined || text === null) continue;
      texts.push(text);
      if (abandon) {
        abandon();
        break;
      }
    }
  } catch (error) {
    error.pieces = texts;
    throw error;
  }
  return texts;
}

class OpenAIChat {
  constructor(url) {
    this.client = new OpenAI({ baseURL: `${url}/v1`, apiKey: KEY, maxRetries: 0 });
  }
  async ask(messages, more = {}) {
    const completion = await this.client.chat.completions.create({ model: MODEL, messages, ...more });
    return completion.choices[0].message;
  }
  async text(question) {
    return (await this.ask(messagesOf(question))).content;
  }
  async stream(question, leaves) {
    const body = { model: MODEL, messages: messagesOf(question), stream: true };
    const stream = await this.client.chat.completions.create(body);
    const textOf = (chunk) => chunk.choices[0]?.delta?.content;
    return pieces(stream, textOf, leaves && (() => stream.controller.abort()));
  }
  async tools(question, stream = false) {
    const tools = [{ type: "function", function: { ...MULTIPLY, parse: JSON.parse, function: multiply } }];
    const body = { model: MODEL, messages: messagesOf(question), tools, stream };
    return this.client.chat.completions.runTools(body).finalContent();
  }
  async streams_tools(question) {
    return this.tools(question, true);
  }
  async city(question) {
    return (await this.client.chat.completions.parse(this.aboutACity(question))).choices[0].message.parsed;
  }
  async streams_city(question) {
    const stream = this.client.chat.completions.stream(this.aboutACity(question));
    return (await stream.finalChatCompletion()).choices[0].message.parsed;
  }
  aboutACity(question) {
    return { model: MODEL, messages: messagesOf(question), response_format: zodResponseFormat(City, "City") };
  }
}

class OpenAIResponses {
  constructor(url) {
    this.client = new OpenAI({ baseURL: `${url}/v1`, apiKey: KEY, maxRetries: 0 });
  }
  async text(question) {
    return (await this.client.responses.create({ model: MODEL, input: question })).output_text;
  }
  async stream(question, leaves) {
    const stream = await this.client.responses.create({ model: MODEL, input: question, stream: true });
    const textOf = (event) => (event.type === "response.output_text.delta" ? event.delta : null);
    return pieces(stream, textOf, leaves && (() => stream.controller.abort()));
  }
  async tools(question) {
    return this.withTools(question, (asks) => this.client.responses.create(asks));
  }
  async streams_tools(question) {
    return this.withTools(question, (asks) => this.client.responses.stream(asks).finalResponse());
  }
  async withTools(question, ask) {
    const tools = [{ type: "function", strict: false, ...MULTIPLY }];
    const first = await ask({ model: MODEL, input: messagesOf(question), tools });
    const results = first.output
      .filter((item) => item.type === "function_call")
      .map(({ call_id, arguments: given }) => {
        return { type: "function_call_output", call_id, output: multiply(JSON.parse(given)) };
      });
    const input = [...messagesOf(question), ...first.output, ...results];
    return (await ask({ model: MODEL, input, tools })).output_text;
  }
  async city(question) {
    return (await this.client.responses.parse(this.aboutACity(question))).output_parsed;
  }
  async streams_city(question) {
    return (await this.client.responses.stream(this.aboutACity(question)).finalResponse()).output_parsed;
  }
  aboutACity(question) {
    return { model: MODEL, input: question, text: { format: zodTextFormat(City, "City") } };
  }
}

class AnthropicMessages {
  constructor(url) {
    this.client = new Anthropic({ baseURL: url, apiKey: KEY, maxRetries: 0 });
    this.settings = { model: MODEL, max_tokens: MAX_TOKENS };
  }
  async text(question) {
    const message = await this.client.messages.create({ ...this.settings, messages: messagesOf(question) });
    return message.content[0].text;
  }
  async stream(question, leaves) {
    const stream = this.client.messages.stream({ ...this.settings, messages: messagesOf(question) });
    const textOf = (event) => (event.delta?.type === "text_delta" ? event.delta.text : null);
    return pieces(stream, textOf, leaves && (() => stream.abort()));
  }
  async tools(question) {
    return this.withTools(question, (asks) => this.client.messages.create(asks));
  }
  async streams_tools(question) {
    return this.withTools(question, (asks) => this.client.messages.stream(asks).finalMessage());
  }
  async withTools(question, ask) {
    const tools = [{ name: MULTIPLY.name, description: MULTIPLY.description, input_schema: TWO_NUMBERS }];
    const first = await ask({ ...this.settings, messages: messagesOf(question), tools });
    const results = first.content
      .filter((block) => block.type === "tool_use")
      .map((block) => ({ type: "tool_result", tool_use_id: block.id, content: multiply(block.input) }));
    const messages = [
      ...messagesOf(question),
      { role: "assistant", content: first.content },
      { role: "user", content: results },
    ];
    return (await ask({ ...this.settings, messages, tools })).content[0].text;
  }
  async city(question) {
    return (await this.client.messages.parse(this.aboutACity(question))).parsed_output;
  }
  async streams_city(question) {
    return (await this.client.messages.stream(this.aboutACity(question)).finalMessage()).parsed_output;
  }
  aboutACity(question) {
    const messages = messagesOf(question);
    return { ...this.settings, messages, output_config: { format: zodOutputFormat(City) } };
  }
}

class OllamaChat {
  constructor(url) {
    this.client = new Ollama({ host: url });
  }
  async text(question) {
    return (await this.client.chat({ model: MODEL, messages: messagesOf(question) })).message.content;
  }
  async stream(question, leaves) {
    const stream = await this.client.chat({ model: MODEL, messages: messagesOf(question), stream: true });
    return pieces(stream, (line) => line.message?.content, leaves && (() => this.client.abort()));
  }
  async tools(question) {
    return this.withTools(question, async (asks) => (await this.client.chat(asks)).message);
  }
  async streams_tools(question) {
    return this.withTools(question, async (asks) => {
      const whole = { role: "assistant", content: "", tool_calls: [] };
      for await (const { message } of await this.client.chat({ ...asks, stream: true })) {
        whole.content += message.content;
        whole.tool_calls.push(...(message.tool_calls ?? []));
      }
      return whole;
    });
  }
  async withTools(question, ask) {
    const tools = [{ type: "function", function: MULTIPLY }];
    const message = await ask({ model: MODEL, messages: messagesOf(question), tools });
    const results = message.tool_calls.map(({ function: called }) => {
      return { role: "tool", tool_name: called.name, content: multiply(called.arguments) };
    });
    const messages = [...messagesOf(question), message, ...results];
    return (await ask({ model: MODEL, messages, tools })).content;
  }
  async city(question) {
    const answer = await this.client.chat(this.aboutACity(question));
    return City.parse(JSON.parse(answer.message.content));
  }
  async streams_city(question) {
    const stream = await this.client.chat({ ...this.aboutACity(question), stream: true });
    return City.parse(JSON.parse((await pieces(stream, (line) => line.message.content)).join("")));
  }
  aboutACity(question) {
    return { model: MODEL, messages: messagesOf(question), format: z.toJSONSchema(City) };
  }
}

// What a stream's error part holds, as an error.
const errorOf = (held) => (held instanceof Error ? held : new Error(held?.message ?? JSON.stringify(held)));

class AISDK {
  constructor(model) {
    this.settings = { model, maxRetries: 0, maxOutputTokens: MAX_TOKENS };
  }
  async text(question) {
    return (await ai.generateText({ ...this.settings, prompt: question })).text;
  }
  async stream(question, leaves) {
    const controller = new AbortController();
    const { fullStream } = ai.streamText({
      ...this.settings,
      prompt: question,
      abortSignal: controller.signal,
      onError: () => {},
    });
    const textOf = (part) => {
      if (part.type === "error") throw errorOf(part.error);
      return part.type === "text-delta" ? part.text : null;
    };
    return pieces(fullStream, textOf, leaves && (() => controller.abort()));
  }
  async tools(question) {
    return (await ai.generateText(this.withTools(question))).text;
  }
  async streams_tools(question) {
    return ai.streamText(this.withTools(question)).text;
  }
  withTools(question) {
    const tool = ai.tool({
      description: MULTIPLY.description,
      inputSchema: z.object({ a: z.number(), b: z.number() }),
      execute: async (given) => multiply(given),
    });
    return { ...this.settings, prompt: question, tools: { multiply: tool }, stopWhen: ai.stepCountIs(3) };
  }
  async city(question) {
    return (await ai.generateText(this.aboutACity(question))).output;
  }
  async streams_city(question) {
    return ai.streamText(this.aboutACity(question)).output;
  }
  aboutACity(question) {
    return { ...this.settings, prompt: question, output: ai.Output.object({ schema: City }) };
  }
}

const CLIENTS = {
  "openai-node, chat": (url) => new OpenAIChat(url),
  "openai-node, responses": (url) => new OpenAIResponses(url),
  "@anthropic-ai/sdk": (url) => new AnthropicMessages(url),
  "ollama-js": (url) => new OllamaChat(url),
  "AI SDK, openai-compatible": (url) => {
    const server = { name: "headstart", baseURL: `${url}/v1`, apiKey: KEY };
    return new AISDK(createOpenAICompatible({ ...server, supportsStructuredOutputs: true })(MODEL));
  },
  "AI SDK, openai responses": (url) => new AISDK(createOpenAI({ baseURL: `${url}/v1`, apiKey: KEY })(MODEL)),
  "AI SDK, openai chat": (url) => new AISDK(createOpenAI({ baseURL: `${url}/v1`, apiKey: KEY }).chat(MODEL)),
  "AI SDK, anthropic": (url) => new AISDK(createAnthropic({ baseURL: `${url}/v1`, apiKey: KEY })(MODEL)),
};

async function done({ client, does, url, question }) {
  const made = CLIENTS[client](url);
  return does === "abandons" ? made.stream(question, true) : made[does](question);
}

for await (const line of createInterface({ input: process.stdin })) {
  let result;
  try {
    result = { value: await done(JSON.parse(line)) };
  } catch (error) {
    const status = error.status ?? error.status_code ?? error.statusCode ?? null;
    const pieces = error.pieces ?? [];
    result = { error: { name: error.name, status, message: String(error.message), pieces } };
  }
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
