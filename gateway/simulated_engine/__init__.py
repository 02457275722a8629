"""An engine that speaks vLLM's HTTP API and says in every answer that it is simulated.

For demonstrations, load tests and faults: no model runs here, the text comes from a small stock (`text`), its tokens
from one regular expression (`tokenizer`), and every token is accounted for as vLLM accounts for them.  Needs uvloop,
httptools and msgspec.

    python -m gateway.simulated_engine --model demo/chat=chat --model demo/embed=embedding

Modules: `config` (the command line's settings), `protocol` (HTTP), `routes` (from request to answer), `requests`
(generation requests) and `others` (everything else), `members` (what counts as a number or as true), `checks` (what is
refused), `generation` (the plan of an answer), `answers` (sending it), `pacer` (when), `shapes` (the bytes of vLLM's
JSON), `faults` (what can go wrong on demand), `journal` (what really happened), `metrics` (what was counted), `engine`
(the state they share).
"""
