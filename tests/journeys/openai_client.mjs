// The official `openai` package of npm against BASE_URL with API_KEY. The argument says what to do; prints one JSON.
import OpenAI from "openai";

const CHAT = "gpt-oss:120b";
const EMBEDDING = "bge-m3:567m";
const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: process.env.API_KEY });
const hello = { model: CHAT, messages: [{ role: "user", content: "Hello!" }] };
const weather = {
  type: "function",
  function: { name: "weather", parameters: { type: "object", properties: { town: { type: "string" } } } },
};

async function chat() {
  const answer = await client.chat.completions.create({ ...hello, max_tokens: 9 });
  return { requestId: answer._request_id, text: answer.choices[0].message.content, usage: answer.usage };
}

async function stream() {
  const body = { ...hello, max_tokens: 8, stream: true, stream_options: { include_usage: true } };
  const { data, request_id: requestId } = await client.chat.completions.create(body).withResponse();
  let text = "";
  let usage = null;
  for await (const chunk of data) {
    text += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  return { requestId, text, usage };
}

async function leave() {
  const body = { ...hello, stream: true, max_tokens: 1000 };
  const { data, request_id: requestId } = await client.chat.completions.create(body).withResponse();
  let received = 0;
  for await (const chunk of data) {
    received += chunk.choices[0].delta.content ? 1 : 0;
    if (received === 5) break;
  }
  return { requestId, received };
}

async function embeddings() {
  const packed = await client.embeddings.create({ model: EMBEDDING, input: "A bell" });
  const plain = await client.embeddings.create({ model: EMBEDDING, input: "A bell", encoding_format: "float" });
  const vectors = [packed, plain].map((answer) => answer.data[0].embedding);
  return { requestIds: [packed._request_id, plain._request_id], vectors, usage: plain.usage };
}

async function tools() {
  const toolChoice = { type: "function", function: { name: "weather" } };
  const answer = await client.chat.completions.create({ ...hello, tools: [weather], tool_choice: toolChoice });
  const call = answer.choices[0].message.tool_calls[0].function;
  return { requestId: answer._request_id, name: call.name, town: JSON.parse(call.arguments).town, usage: answer.usage };
}

async function models() {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  return { ids, found: (await client.models.retrieve("openai/gpt-oss-120b")).id };
}

async function errors() {
  const attempts = {
    key: () => new OpenAI({ baseURL: process.env.BASE_URL, apiKey: "nonsense" }).models.list(),
    model: () => client.chat.completions.create({ ...hello, model: "gpt-oss:1b" }),
    member: () => client.chat.completions.create({ ...hello, max_tokens: -1 }),
    scope: () => new OpenAI({ baseURL: process.env.BASE_URL, apiKey: process.env.WEAK_KEY }).chat.completions.create(hello),
    quota: () => new OpenAI({ baseURL: process.env.BASE_URL, apiKey: process.env.POOR_KEY }).chat.completions.create(hello),
  };
  const caught = {};
  for (const [name, attempt] of Object.entries(attempts)) {
    try {
      await attempt();
    } catch (error) {
      const { status, code, param } = error;
      caught[name] = { class: error.constructor.name, status, code, param, hasRequestId: Boolean(error.requestID) };
    }
  }
  return caught;
}

const scenarios = { chat, stream, leave, embeddings, tools, models, errors };
console.log(JSON.stringify(await scenarios[process.argv[2]]()));
