"""Code to paste: one call of a model, in the languages that people use, with the real address."""

from dataclasses import dataclass
from string import Template

_CURL = Template("""curl -N $base_url/v1/chat/completions \\
  -H "Authorization: Bearer $$BEFFROI_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{"model": "$model", "stream": true,
       "messages": [{"role": "user", "content": "Hello!"}]}'""")
_PYTHON = Template("""import os
from openai import OpenAI

client = OpenAI(base_url="$base_url/v1", api_key=os.environ["BEFFROI_API_KEY"])
answer = client.chat.completions.create(
    model="$model",
    messages=[{"role": "user", "content": "Hello!"}],
)
print(answer.choices[0].message.content)""")
_NODE = Template("""import OpenAI from "openai";

const client = new OpenAI({
  baseURL: "$base_url/v1",
  apiKey: process.env.BEFFROI_API_KEY,
});
const answer = await client.chat.completions.create({
  model: "$model",
  messages: [{ role: "user", content: "Hello!" }],
});
console.log(answer.choices[0].message.content);""")
_LANGCHAIN = Template("""import os
from langchain_openai import ChatOpenAI

model = ChatOpenAI(
    model="$model",
    base_url="$base_url/v1",
    api_key=os.environ["BEFFROI_API_KEY"],
)
print(model.invoke("Hello!").content)""")


_CHAT = (
    ("curl", "curl", _CURL),
    ("python", "Python", _PYTHON),
    ("node", "Node.js", _NODE),
    ("langchain", "LangChain", _LANGCHAIN),
)


@dataclass(frozen=True, slots=True)
class Snippet:
    """`id` is unique on a page; `language` a proper name, which is not translated."""

    id: str
    language: str
    text: str


def chat_snippets(base_url: str, model: str) -> list[Snippet]:
    """The same chat call with curl, Python, Node.js and LangChain; the key comes from the environment."""
    return [Snippet(name, title, text.substitute(base_url=base_url, model=model)) for name, title, text in _CHAT]
