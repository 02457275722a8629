"""What becomes of each member of a request: one table, with its reasons (DESIGN, step 3).

PASS    reaches the engine byte for byte
WINDOW  reaches it too, but its bytes do not bound what it adds to the prompt: the prompt is held as the whole window
READ    is checked here (request_body.py) and then passes
SET     is ours: what the client sent decides what we send, and is replaced by it or left out
DROP    never reaches an engine: it is content nobody needs there, or a hint without effect on the answer
REFUSE  would make an engine run what was not held, fetch what it must not, or share what belongs to another tenant;
        or is silently ignored by engines although the client relies on it

A member that the table lacks passes: engines ignore what they do not know. A member that is null is as good as absent,
everywhere. A row may name harmless values, such as the engine's default: with one of them a REFUSE member is left out
instead of refused, and a WINDOW member fills no window.

Sources: the OpenAPI description of OpenAI's API, vLLM 0.32's request classes (chat completion, completion, pooling,
scoring), and what other servers of that API read from the same body (SGLang, llama.cpp, TGI, LiteLLM).
"""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple


class Endpoint(Enum):
    """An inference route: the paths that clients use, the kind of model it takes, the engine's path."""

    CHAT = (("/v1/chat/completions",), "chat", "/v1/chat/completions")
    COMPLETIONS = (("/v1/completions",), "chat", "/v1/completions")
    EMBEDDINGS = (("/v1/embeddings",), "embedding", "/v1/embeddings")
    RERANK = (("/v1/rerank", "/v2/rerank"), "rerank", "/v1/rerank")

    def __init__(self, paths: tuple[str, ...], kind: str, engine_path: str) -> None:
        self.paths = paths
        self.kind = kind
        self.engine_path = engine_path
        self.is_generating = kind == "chat"  # its answer is made of output tokens

    @property
    def path(self) -> str:
        """The path by which the route is called in messages."""
        return self.paths[0]


class Action(Enum):
    """What becomes of a member: see the module."""

    PASS = "pass"  # noqa: S105  # no password
    WINDOW = "window"
    READ = "read"
    SET = "set"
    DROP = "drop"
    REFUSE = "refuse"


class Field(NamedTuple):
    """A row: `reason` is shown to the client where the member is refused; `harmless` are compact JSON values."""

    action: Action
    reason: str
    harmless: frozenset[bytes] = frozenset()


_PASS, _WINDOW, _READ, _SET, _DROP, _REFUSE = Action
_Row = tuple[str, Field]


def _row(name: str, action: Action, reason: str, *harmless: bytes) -> _Row:
    return name, Field(action, reason, frozenset(harmless))


_ENGINE_INTERNAL = "is for the engine's own use"
_OTHER_LIMIT = "is not understood here: use max_completion_tokens"
_GUIDED = "was removed from engines, which ignore it: use structured_outputs or response_format"
_SHARED = "is refused: it names something that engines share between organisations"
_ROUTING = "is refused: which model answers, and where, is decided by 'model' alone"
_STATE = "is refused: nothing is kept between requests"

_EVERYWHERE: tuple[_Row, ...] = (
    _row("model", _SET, "replaced by the name that the replica serves"),
    _row("priority", _SET, "scheduling between tenants is ours"),
    _row("cache_salt", _SET, "the tenant's own, so that nobody learns from timing what others asked"),
    _row("user", _DROP, "content (I5)"),
    _row("metadata", _DROP, "content (I5)"),
    _row("safety_identifier", _DROP, "content (I5)"),
    _row("store", _DROP, "nothing is stored (I5)"),
    _row("service_tier", _DROP, "the contract decides"),
    _row("prompt_cache_key", _DROP, "routing is ours"),
    _row("prompt_cache_retention", _DROP, "caches are per tenant and in memory"),
    _row("request_id", _REFUSE, _SHARED),
    _row("rid", _REFUSE, _SHARED),
    _row("session_id", _REFUSE, _SHARED),
    _row("session_params", _REFUSE, _SHARED),
    _row("id_slot", _REFUSE, _SHARED),
    _row("slot_id", _REFUSE, _SHARED),
    _row("kv_transfer_params", _REFUSE, _ENGINE_INTERNAL),
    _row("ec_transfer_params", _REFUSE, _ENGINE_INTERNAL),
    _row("disaggregated_params", _REFUSE, _ENGINE_INTERNAL),
    _row("bootstrap_host", _REFUSE, _ENGINE_INTERNAL),
    _row("bootstrap_port", _REFUSE, _ENGINE_INTERNAL),
    _row("bootstrap_room", _REFUSE, _ENGINE_INTERNAL),
    _row("data_parallel_rank", _REFUSE, _ENGINE_INTERNAL),
    _row("routed_dp_rank", _REFUSE, _ENGINE_INTERNAL),
    _row("disagg_prefill_dp_rank", _REFUSE, _ENGINE_INTERNAL),
    _row("vllm_xargs", _REFUSE, _ENGINE_INTERNAL, b"{}"),
    _row("extra_args", _REFUSE, _ENGINE_INTERNAL, b"{}"),
    _row("routed_experts_prompt_start", _REFUSE, _ENGINE_INTERNAL, b"0"),
    _row("return_routed_experts", _REFUSE, _ENGINE_INTERNAL, b"false"),
    _row("return_hidden_states", _REFUSE, _ENGINE_INTERNAL, b"false"),
    _row("logits_processors", _REFUSE, "is refused: it runs code in the engine", b"[]"),
    _row("custom_logit_processor", _REFUSE, "is refused: it runs code in the engine"),
    _row("custom_params", _REFUSE, "is refused: it runs code in the engine"),
    _row("chat_template", _REFUSE, "is refused: it is a program that the engine would run"),
    _row("prompt_embeds", _REFUSE, "is refused: its tokens cannot be counted, and engines load it unsafely"),
    _row("input_embeds", _REFUSE, "is refused: its tokens cannot be counted, and engines load it unsafely"),
    _row("prompt_token_ids", _REFUSE, "is refused: send token ids in 'prompt' of /v1/completions"),
    _row("input_ids", _REFUSE, "is refused: send token ids in 'prompt' of /v1/completions"),
    _row("image_data", _REFUSE, "is refused: send images as parts of a message", b"[]"),
    _row("video_data", _REFUSE, "is refused: send videos as parts of a message", b"[]"),
    _row("audio_data", _REFUSE, "is refused: send audio as parts of a message", b"[]"),
    _row("mm_processor_kwargs", _REFUSE, "is refused: it changes how many tokens an image becomes", b"{}"),
    _row("media_io_kwargs", _REFUSE, "is refused: it changes how many tokens a video becomes", b"{}"),
    _row("lora_path", _REFUSE, _ROUTING),
    _row("lora_request", _REFUSE, _ROUTING),
    _row("lora", _REFUSE, _ROUTING, b"[]"),
    _row("adapter_id", _REFUSE, _ROUTING),
    _row("models", _REFUSE, _ROUTING),
    _row("fallbacks", _REFUSE, _ROUTING, b"[]"),
    _row("route", _REFUSE, _ROUTING),
    _row("api_key", _REFUSE, _ROUTING),
    _row("api_base", _REFUSE, _ROUTING),
    _row("base_url", _REFUSE, _ROUTING),
    _row("extra_headers", _REFUSE, _ROUTING, b"{}"),
    _row("extra_body", _REFUSE, "is an argument of your client, not a member: send its members themselves", b"{}"),
)

_GENERATING: tuple[_Row, ...] = (
    _row("stream", _SET, "sent as the boolean that was read"),
    _row("stream_options", _SET, "usage is always asked for, and hidden from who did not"),
    _row("max_tokens", _SET, "the output that is held (I3)"),
    _row("max_completion_tokens", _SET, "the output that is held (I3)"),
    _row("n", _SET, 'sent as the number that was read: engines also take "3" and true'),
    _row("best_of", _REFUSE, "is refused: it makes the engine run more answers than it returns", b"1"),
    _row("use_beam_search", _REFUSE, "is refused: it makes the engine run more than it reports", b"false"),
    _row("stream_interval", _REFUSE, "is refused: it would hide the usage of a stream that is broken off", b"1"),
    _row("n_predict", _REFUSE, _OTHER_LIMIT),
    _row("num_predict", _REFUSE, _OTHER_LIMIT),
    _row("max_new_tokens", _REFUSE, _OTHER_LIMIT),
    _row("max_output_tokens", _REFUSE, _OTHER_LIMIT),
    _row("max_length", _REFUSE, _OTHER_LIMIT),
    _row("sampling_params", _REFUSE, "is not understood here: send its members themselves", b"{}"),
    _row("parameters", _REFUSE, "is not understood here: send its members themselves", b"{}"),
    _row("options", _REFUSE, "is not understood here: send its members themselves", b"{}"),
    _row("guided_json", _REFUSE, _GUIDED),
    _row("guided_regex", _REFUSE, _GUIDED),
    _row("guided_choice", _REFUSE, _GUIDED),
    _row("guided_grammar", _REFUSE, _GUIDED),
    _row("guided_decoding_backend", _REFUSE, _GUIDED),
    _row("guided_whitespace_pattern", _REFUSE, _GUIDED),
    _row("web_search_options", _REFUSE, "is refused: nothing leaves the house"),
    _row("previous_response_id", _REFUSE, _STATE),
    _row("conversation", _REFUSE, _STATE),
    _row("prediction", _DROP, "a hint that only OpenAI's own engines take, and bill beyond the limit"),
    _row("temperature", _PASS, "sampling"),
    _row("top_p", _PASS, "sampling"),
    _row("top_k", _PASS, "sampling"),
    _row("min_p", _PASS, "sampling"),
    _row("frequency_penalty", _PASS, "sampling"),
    _row("presence_penalty", _PASS, "sampling"),
    _row("repetition_penalty", _PASS, "sampling"),
    _row("length_penalty", _PASS, "of beam search, which is refused"),
    _row("repetition_detection", _PASS, "ends early"),
    _row("watermarking", _PASS, "sampling"),
    _row("seed", _PASS, "sampling"),
    _row("stop", _PASS, "ends early"),
    _row("stop_token_ids", _PASS, "ends early"),
    _row("include_stop_str_in_output", _PASS, "the answer's form"),
    _row("ignore_eos", _PASS, "ends at the limit, which is held"),
    _row("min_tokens", _PASS, "never above the limit"),
    _row("bad_words", _PASS, "sampling"),
    _row("logit_bias", _PASS, "sampling"),
    _row("allowed_token_ids", _PASS, "sampling"),
    _row("logprobs", _PASS, "the answer's form; the engine caps it (--max-logprobs)"),
    _row("top_logprobs", _PASS, "the answer's form; the engine caps it"),
    _row("prompt_logprobs", _PASS, "the answer's form; the engine caps it"),
    _row("logprob_token_ids", _PASS, "the answer's form; the engine caps it"),
    _row("skip_special_tokens", _PASS, "the answer's form"),
    _row("spaces_between_special_tokens", _PASS, "the answer's form"),
    _row("return_token_ids", _PASS, "the answer's form"),
    _row("return_tokens_as_token_ids", _PASS, "the answer's form"),
    _row("return_prompt_text", _PASS, "the answer's form"),
    _row("return_token_offsets", _PASS, "without effect here"),
    _row("return_mm_kwargs", _PASS, "without effect here"),
    _row("mm_payload", _PASS, "without effect here"),
    _row("truncate_prompt_tokens", _PASS, "only shortens the prompt"),
    _row("truncation_side", _PASS, "only shortens the prompt"),
    _row("add_special_tokens", _PASS, "two tokens, in the template overhead"),
    _row("echo", _PASS, "repeats the prompt in the answer, at no token"),
    _row("thinking_token_budget", _PASS, "within the limit"),
    _row("structured_outputs", _PASS, "constrains the answer, outside the prompt"),
)

_CHAT: tuple[_Row, ...] = (
    _row("messages", _READ, "bounded part by part"),
    _row("prompt", _REFUSE, "belongs to /v1/completions, and not beside 'messages'"),
    _row("tools", _WINDOW, "templates write them out as they like", b"[]"),
    _row("functions", _WINDOW, "the old name of tools", b"[]"),
    _row("documents", _WINDOW, "templates write them out as they like", b"[]"),
    _row("chat_template_kwargs", _WINDOW, "templates write them out as they like", b"{}"),
    _row(
        "response_format",
        _WINDOW,
        "some templates write the schema out; that of json_object is a sentence, in the template overhead",
        b'{"type":"text"}',
        b'{"type":"json_object"}',
    ),
    _row("tool_choice", _PASS, "without tools it has no effect"),
    _row("function_call", _PASS, "without functions it has no effect"),
    _row("parallel_tool_calls", _PASS, "the answer's form"),
    _row("reasoning_effort", _PASS, "a word, in the template overhead; the reasoning is within the limit"),
    _row("include_reasoning", _PASS, "the answer's form; hidden reasoning is reported and billed"),
    _row("verbosity", _PASS, "a word, in the template overhead"),
    _row("modalities", _PASS, "output of any kind is within the limit"),
    _row("audio", _PASS, "output of any kind is within the limit"),
    _row("add_generation_prompt", _PASS, "in the template overhead"),
    _row("continue_final_message", _PASS, "in the template overhead"),
)

_COMPLETIONS: tuple[_Row, ...] = (
    _row("prompt", _READ, "bounded prompt by prompt"),
    _row("suffix", _WINDOW, "part of the prompt, in a way of the model's own", b'""'),
    _row("response_format", _PASS, "constrains the answer: there is no template"),
    _row("documents", _PASS, "without effect: there is no template"),
    _row("tools", _REFUSE, "belongs to /v1/chat/completions", b"[]"),
)

_POOLING: tuple[_Row, ...] = (
    _row("stream", _REFUSE, "is refused: this route does not stream", b"false"),
    _row("n", _REFUSE, "is refused: this route has one answer", b"1"),
    _row("max_tokens", _DROP, "nothing is generated"),
    _row("max_completion_tokens", _DROP, "nothing is generated"),
    _row("messages", _REFUSE, "is refused: send text or token ids in 'input'"),
    _row("padding", _REFUSE, "is refused: it makes tokens that were not sent", b'"do_not_pad"'),
    _row("normalize", _PASS, "the answer's form"),
    _row("use_activation", _PASS, "the answer's form"),
    _row("truncate_prompt_tokens", _PASS, "only shortens the prompt"),
    _row("truncation_side", _PASS, "only shortens the prompt"),
    _row("task", _PASS, "the engine's own word for this route"),
)

_EMBEDDINGS: tuple[_Row, ...] = (
    _row("input", _READ, "bounded input by input"),
    _row("encoding_format", _READ, "float or base64: in other forms an engine reports no usage"),
    _row("chat_template_kwargs", _REFUSE, "belongs to messages, which this route does not take", b"{}"),
    _row("dimensions", _PASS, "the answer's form"),
    _row("embed_dtype", _PASS, "the answer's form"),
    _row("endianness", _PASS, "the answer's form"),
    _row("add_special_tokens", _PASS, "two tokens, in the template overhead"),
)

_RERANK: tuple[_Row, ...] = (
    _row("query", _READ, "bounded pair by pair"),
    _row("documents", _READ, "bounded pair by pair"),
    _row("input", _REFUSE, "belongs to /v1/embeddings"),
    _row("instruction", _WINDOW, "part of each pair, in a way of the model's own", b'""'),
    _row("chat_template_kwargs", _WINDOW, "part of each pair, in a way of the model's own", b"{}"),
    _row("top_n", _PASS, "shortens the answer, not the work"),
    _row("return_documents", _PASS, "the answer's form"),
    _row("max_tokens_per_doc", _PASS, "only shortens the prompt"),
    _row("max_tokens_per_query", _PASS, "only shortens the prompt"),
    _row("max_chunks_per_doc", _PASS, "only shortens the prompt"),
)


def _table(*groups: tuple[_Row, ...]) -> Mapping[str, Field]:
    rows = [row for group in groups for row in group]
    table = dict(rows)
    if len(table) != len(rows):
        raise ValueError("a member has two rows for one endpoint")
    return table


FIELDS: Mapping[Endpoint, Mapping[str, Field]] = {
    Endpoint.CHAT: _table(_EVERYWHERE, _GENERATING, _CHAT),
    Endpoint.COMPLETIONS: _table(_EVERYWHERE, _GENERATING, _COMPLETIONS),
    Endpoint.EMBEDDINGS: _table(_EVERYWHERE, _POOLING, _EMBEDDINGS),
    Endpoint.RERANK: _table(_EVERYWHERE, _POOLING, _RERANK),
}
"""The row of each known member, by endpoint."""

FORBIDDEN_TEMPLATE_KWARGS = frozenset(
    {"chat_template", "tokenize", "conversation", "messages", "tools", "documents", "return_tensors", "return_dict"}
)
"""Names in chat_template_kwargs that would replace what was checked: they are what templates are called with."""
