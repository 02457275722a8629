"""Code to paste: one call of a model, in the languages that people use, with the real address."""

from dataclasses import dataclass
from string import Template

_CURL = Template("""curl -N $base_url/v1/chat/completions \\
  -H "Authorization: Bearer $$BEFFROI_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{"model": "$model", "stream": true,
       "messages": [{"role": "user", "content": "Hello!"}]}'""")
_PYTHON = Template("""# pip install openai
import os
from openai import OpenAI

client = OpenAI(base_url="$base_url/v1", api_key=os.environ["BEFFROI_API_KEY"])
answer = client.chat.completions.create(
    model="$model",
    messages=[{"role": "user", "content": "Hello!"}],
)
print(answer.choices[0].message.content)""")
_NODE = Template("""// npm install openai; save this as hello.mjs
import OpenAI from "openai";

const client = new OpenAI({
  baseURL: "$base_url/v1",
  apiKey: process.env.BEFFROI_API_KEY,
});
const answer = await client.chat.completions.create({
  model: "$model",
  messages: [{ role: "user", content: "Hello!" }],
});
console.log(answer.choices[0].message.content);""")
_LANGCHAIN = Template("""# pip install langchain-openai
import os
from langchain_openai import ChatOpenAI

model = ChatOpenAI(
    model="$model",
    base_url="$base_url/v1",
    api_key=os.environ["BEFFROI_API_KEY"],
)
print(model.invoke("Hello!").content)""")
_CURL_OTHER = Template("""curl $base_url/v1/$path \\
  -H "Authorization: Bearer $$BEFFROI_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{"model": "$model", $members}'""")
_PYTHON_EMBEDDING = Template("""# pip install openai
import os
from openai import OpenAI

client = OpenAI(base_url="$base_url/v1", api_key=os.environ["BEFFROI_API_KEY"])
answer = client.embeddings.create(model="$model", input=["Hello!"])
print(len(answer.data[0].embedding))""")
_NODE_EMBEDDING = Template("""// npm install openai; save this as hello.mjs
import OpenAI from "openai";

const client = new OpenAI({
  baseURL: "$base_url/v1",
  apiKey: process.env.BEFFROI_API_KEY,
});
const answer = await client.embeddings.create({ model: "$model", input: ["Hello!"] });
console.log(answer.data[0].embedding.length);""")
_LANGCHAIN_EMBEDDING = Template("""# pip install langchain-openai
import os
from langchain_openai import OpenAIEmbeddings

model = OpenAIEmbeddings(
    model="$model",
    base_url="$base_url/v1",
    api_key=os.environ["BEFFROI_API_KEY"],
    check_embedding_ctx_length=False,
)
print(len(model.embed_query("Hello!")))""")

_CHAT = (
    ("curl", "curl", _CURL),
    ("python", "Python", _PYTHON),
    ("node", "Node.js", _NODE),
    ("langchain", "LangChain", _LANGCHAIN),
)
_EMBEDDING = (
    ("python", "Python", _PYTHON_EMBEDDING),
    ("node", "Node.js", _NODE_EMBEDDING),
    ("langchain", "LangChain", _LANGCHAIN_EMBEDDING),
)
# Kind of model: the route, and an example of its own members.
_OTHERS = {
    "embedding": ("embeddings", '"input": ["Hello!"]'),
    "rerank": ("rerank", '"query": "Hello!", "documents": ["Good day", "Good night"]'),
}


@dataclass(frozen=True, slots=True)
class Snippet:
    """`id` is unique on a page; `language` a proper name, which is not translated."""

    id: str
    language: str
    text: str


def chat_snippets(base_url: str, model: str) -> list[Snippet]:
    """The same chat call with curl, Python, Node.js and LangChain; the key comes from the environment."""
    return [Snippet(name, title, text.substitute(base_url=base_url, model=model)) for name, title, text in _CHAT]


def snippets_for(kind: str, base_url: str, model: str) -> list[Snippet]:
    """A first call of a model of that kind; none where the gateway has no route for it."""
    if kind == "chat":
        return chat_snippets(base_url, model)
    if kind not in _OTHERS:
        return []
    path, members = _OTHERS[kind]
    curl = Snippet("curl", "curl", _CURL_OTHER.substitute(base_url=base_url, model=model, path=path, members=members))
    rest = _EMBEDDING if kind == "embedding" else ()
    return [
        curl, *(Snippet(name, title, text.substitute(base_url=base_url, model=model)) for name, title, text in rest)
    ]  # fmt: skip
