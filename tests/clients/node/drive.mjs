// The openai package for Node, used as its documentation shows it. Driven by `record`, or against a running gateway.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { VERSION } from "openai/version";
import { z } from "zod";

const model = "acme-assistant";
const messages = [{ role: "user", content: "When does the ferry leave?" }];
const talk = [
  { role: "developer", content: "Answer in one sentence." },
  { role: "user", content: [{ type: "text", text: "Hello." }] },
  { role: "assistant", content: "Hello. What can I do for you?" },
  { role: "user", content: "When does the ferry leave?" },
];
const Ferry = z.object({ place: z.string(), when: z.enum(["morning", "evening"]), seats: z.number().nullable() });
const tool = {
  type: "function",
  function: {
    name: "ferries",
    description: "Departures from a place.",
    parameters: { type: "object", properties: { place: { type: "string" } }, required: ["place"] },
  },
};

const client = (name, more = {}) => new OpenAI({ baseURL: process.env.CLIENT_URL.replace("{case}", name), ...more });

async function chats() {
  const answer = await client("chat").chat.completions.create({ model, messages });
  assert(answer.choices[0].message.content);
  let said = "";
  for await (const chunk of await client("chat_stream").chat.completions.create({ model, messages: talk, stream: true }))
    said += chunk.choices[0]?.delta?.content ?? "";
  assert(said);
  const counted = [];
  const options = { stream: true, stream_options: { include_usage: true } };
  for await (const chunk of await client("chat_stream_usage").chat.completions.create({ model, messages, ...options }))
    counted.push(chunk);
  assert(counted.at(-1).usage);
  const helper = client("chat_stream_helper").chat.completions.stream({ model, messages });
  assert(await helper.finalContent());
  const every = await client("chat_every_ordinary_field").chat.completions.create({
    model, messages: talk, frequency_penalty: 0, logit_bias: {}, logprobs: false, max_completion_tokens: 64,
    metadata: { part: "shop" }, modalities: ["text"], n: 2, parallel_tool_calls: true, presence_penalty: 0,
    prompt_cache_key: "shop", reasoning_effort: "low", response_format: { type: "text" }, safety_identifier: "s-1",
    seed: 7, service_tier: "auto", stop: null, store: false, temperature: 0.2, top_p: 1, user: "u-1", verbosity: "low",
  });
  assert.equal(every.choices.length, 2);
}

async function tools() {
  const called = await client("tools").chat.completions.create({ model, messages, tools: [tool] });
  const said = called.choices[0].message;
  assert(said.tool_calls.length);
  const result = { role: "tool", tool_call_id: said.tool_calls[0].id, content: "in the evening" };
  const answered = { model, messages: [...messages, said, result], tools: [tool], tool_choice: "auto" };
  assert((await client("tools_answered").chat.completions.create(answered)).choices[0].message.content);
  const parsed = await client("tools_parsed").chat.completions.parse({
    model, messages, tools: [zodFunction({ name: "ferry", parameters: Ferry })], tool_choice: "required",
  });
  assert(parsed.choices[0].message.tool_calls[0].function.parsed_arguments.place);
  const runnable = { ...tool.function, parse: JSON.parse, function: async () => "in the evening" };
  const runner = client("run_tools").chat.completions.runTools({
    model, messages, tools: [{ type: "function", function: runnable }],
  });
  assert(await runner.finalContent());
  const streamed = client("run_tools_stream").chat.completions.runTools({
    model, messages, stream: true, tools: [{ type: "function", function: runnable }],
  });
  assert(await streamed.finalContent());
}

async function formats() {
  const response_format = zodResponseFormat(Ferry, "ferry");
  const parsed = await client("parse").chat.completions.parse({ model, messages, response_format });
  assert(parsed.choices[0].message.parsed);
  const helper = client("parse_stream").chat.completions.stream({ model, messages, response_format });
  assert((await helper.finalChatCompletion()).choices[0].message.parsed);
  const body = { model, messages, response_format: { type: "json_object" } };
  assert((await client("json_object").chat.completions.create(body)).choices[0].message.content);
}

async function rest() {
  assert((await client("models").models.list()).data.length);
  const completion = { model, prompt: "The ferry", max_tokens: 16 };
  assert((await client("completion").completions.create(completion)).choices[0].text);
  let said = "";
  for await (const chunk of await client("completion_stream").completions.create({ ...completion, stream: true }))
    said += chunk.choices[0]?.text ?? "";
  assert(said);
  const patient = client("timeout", { timeout: 20000, maxRetries: 1, organization: "org-shop", project: "proj-shop" });
  assert((await patient.chat.completions.create({ model, messages })).choices);
  assert((await client("retried").chat.completions.create({ model, messages })).choices);
  const { data, response } = await client("raw_response").chat.completions.create({ model, messages }).withResponse();
  assert(data.choices && response.ok);
}

await chats();
await tools();
await formats();
await rest();
console.log("openai (Node)", VERSION);
