"""Makes three tiny models for a real vLLM, in seconds and without a download.

Runs inside the engine's own virtual environment (it needs torch, tokenizers and transformers, which Beffroi itself does
not): `python tiny_models.py FOLDER` writes FOLDER/chat, FOLDER/embedding and FOLDER/reranker, 4 to 6 MB each.

The chat model is a real Llama of 2 layers x 128, but its attention and MLP outputs are zero, so that what follows
depends on the last token alone, and the output matrix says which token that is. Its answers are therefore known
beforehand, down to the token count, while tokenizer, engine, scheduler, detokenizer and parsers are the real ones:

- an ordinary turn: 40 words, a euro sign among them as three tokens of one byte (so that some tokens yield no text),
  and the end-of-turn token: 44 tokens;
- with chat_template_kwargs {"enable_thinking": true}: `<think>`, 12 words, `</think>`, the ordinary turn: 58 tokens;
- with tools offered: one call of `get_weather` in the notation of Hermes models;
- anything else (a completion): a fixed walk through the vocabulary, noise that never ends by itself.

At temperature 0 the walk is certain; at 2, the highest that vLLM takes, it strays: the choices of one request differ.
"""

import itertools
import sys
import sysconfig
from pathlib import Path
from typing import Any

VOCABULARY = 4096
"""At most: an added piece that the training found too is counted once."""
WIDTH = 128
WINDOW = 8192
ANSWER_WORDS = 40
REASONING_TOKENS = 12

END, SYSTEM, USER, ASSISTANT, TOOL, PAD = "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "<|pad|>"
REFLECT, CALL = "<|reflect|>", "<|call|>"
SPECIAL = [PAD, END, SYSTEM, USER, ASSISTANT, TOOL, REFLECT, CALL]
THINK, THOUGHT = "<think>", "</think>"
CALL_PIECES = [
    "<tool_call>",
    '\n{"name": "',
    "get_weather",
    '", "arguments": ',
    '{"city": "',
    "Lille",
    '", "unit": ',
    '"celsius"',
    "}",
    "}\n",
    "</tool_call>",
]

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{ '<|' + message['role'] + '|>' }}"
    "{%- if message['content'] is string -%}{{ message['content'] }}"
    "{%- elif message['content'] -%}"
    "{%- for part in message['content'] -%}{{ part['text'] }}{%- endfor -%}"
    "{%- endif -%}"
    "{{ '<|end|>' }}"
    "{%- endfor -%}"
    "{%- for tool in tools or [] -%}{{ tool | tojson }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|assistant|>"
    "{%- if tools and messages[-1]['role'] != 'tool' -%}<|call|>"
    "{%- elif enable_thinking is defined and enable_thinking -%}<|reflect|>"
    "{%- endif -%}{%- endif -%}"
)


def main() -> None:
    """Write the three models below the folder named on the command line; idempotent, each is replaced."""
    target = Path(sys.argv[1])
    tokenizer = train_tokenizer()
    make_chat_model(tokenizer, target / "chat")
    make_embedding_model(tokenizer, target / "embedding")
    make_reranker(tokenizer, target / "reranker")


def train_tokenizer() -> Any:
    """A byte-level BPE of `VOCABULARY` entries trained on the standard library's sources, with the chat template."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    pieces = [THINK, THOUGHT, *CALL_PIECES]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIAL) - len(pieces),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    sources = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    tokenizer.train([str(source) for source in sources], trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in SPECIAL])
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in pieces])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=PAD)
    fast.chat_template = CHAT_TEMPLATE
    fast.model_max_length = WINDOW
    return fast


def successors(tokenizer: Any) -> list[int]:
    """For each token the one that follows it: a cycle through everything, with the written turns cut into it."""
    size = len(tokenizer)
    ids = tokenizer.convert_tokens_to_ids
    following = [(token + 1) % size for token in range(size)]
    words = answer_words(tokenizer)
    thoughts, answer = words[:REASONING_TOKENS], words[REASONING_TOKENS:]
    euro = [ids(letter) for letter in ("â", "Ĥ", "¬")]
    walk = [*answer[: ANSWER_WORDS // 2], *euro, *answer[ANSWER_WORDS // 2 :], ids(END)]
    for chain in (
        [ids(ASSISTANT), *walk],
        [ids(REFLECT), ids(THINK), *thoughts, ids(THOUGHT), walk[0]],
        [ids(CALL), *(ids(piece) for piece in CALL_PIECES), ids(END)],
    ):
        for token, next_token in itertools.pairwise(chain):
            following[token] = next_token
    return following


def answer_words(tokenizer: Any) -> list[int]:
    """Token ids of whole words with a space before them, in vocabulary order; no id twice."""
    words = [
        token
        for text, token in sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
        if text.startswith("Ġ") and text[1:].isascii() and text[1:].isalpha() and len(text) > 5
    ]
    return words[: REASONING_TOKENS + ANSWER_WORDS]


def make_chat_model(tokenizer: Any, folder: Path) -> None:
    """The model of the module's docstring: `logits = sharpness * cosine(embedding of the token that should follow)`."""
    import torch
    from transformers import LlamaForCausalLM

    torch.manual_seed(1)
    model = LlamaForCausalLM(llama_config(tokenizer))
    sharpness = 20.0 / WIDTH**0.5  # hidden states leave the last norm with a length of sqrt(WIDTH)
    with torch.no_grad():
        directions = torch.nn.functional.normalize(torch.randn(len(tokenizer), WIDTH), dim=1)
        model.model.embed_tokens.weight.copy_(directions)
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.lm_head.weight.zero_()
        model.lm_head.weight.index_add_(0, torch.tensor(successors(tokenizer)), directions * sharpness)
    save(model, tokenizer, folder)


def make_embedding_model(tokenizer: Any, folder: Path) -> None:
    """A Llama of random weights without an output matrix, which vLLM serves with `--runner pooling`."""
    import torch
    from transformers import LlamaModel

    torch.manual_seed(2)
    save(LlamaModel(llama_config(tokenizer)), tokenizer, folder)


def make_reranker(tokenizer: Any, folder: Path) -> None:
    """A cross-encoder of random weights with one score a pair."""
    import torch
    from transformers import LlamaForSequenceClassification

    torch.manual_seed(3)
    save(LlamaForSequenceClassification(llama_config(tokenizer, num_labels=1)), tokenizer, folder)


def llama_config(tokenizer: Any, **extra: Any) -> Any:
    """2 layers x 128 wide, 4 heads; the end-of-turn token ends a generation."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=WINDOW,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
        **extra,
    )


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Weights beside the tokenizer."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    main()
