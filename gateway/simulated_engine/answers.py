"""Answers under way: a stream that sends its tokens at their pace, and a whole answer that waits until it is ready."""

import time
from typing import Protocol

from gateway.simulated_engine import shapes
from gateway.simulated_engine.engine import Engine
from gateway.simulated_engine.generation import Choice
from gateway.simulated_engine.work import Work

END = b"0\r\n\r\n"
FAILURE = "The simulated engine failed, as it was asked to."


class Wire(Protocol):
    """What an answer needs of its connection."""

    def send(self, data: bytes) -> None:
        """Hand bytes to the kernel now, or queue what it does not take."""

    def pending(self) -> bool:
        """Whether nothing should be sent now: bytes wait because the client does not read, or it has just left."""

    def finish(self) -> None:
        """The response is complete."""

    def hang_up(self, *, reset: bool) -> None:
        """End the connection in the middle, after what was sent."""

    @property
    def closing_field(self) -> bytes:
        """`connection: close` as a header line where the connection will not be kept."""


class Answer:
    """The part that both forms share: counters, journal, and being stopped."""

    def __init__(self, work: Work, wire: Wire, engine: Engine) -> None:
        self.work, self.wire, self.engine = work, wire, engine
        self.due, self.cancelled = 0.0, False
        self.stalled = False
        self._begun = self._first = engine.loop.time()
        self.journal = engine.journal
        self.serial = engine.journal.next_serial() if engine.journal else ""
        self.counters = engine.counters[work.model]

    def start(self) -> None:
        """Begin to work."""
        work = self.work
        self.engine.running.add(self)
        self.counters.prompt += work.all_prompt_tokens * work.n
        self.counters.cache_queries += work.all_prompt_tokens * work.n
        self.counters.cache_hits += (work.cached or 0) * work.n
        if self.journal:
            self._journal_start()

    def fire(self) -> float | None:
        """What is due now."""
        raise NotImplementedError

    def resume(self) -> None:
        """The client reads again."""

    def abort(self) -> None:
        """The client has left."""
        self.stop("abort")

    def interrupt(self) -> None:
        """The engine gives up, and says so if it still can."""
        self.stop("abort")
        self.wire.hang_up(reset=False)

    def stop(self, reason: str, fault: str | None = None) -> None:
        """Leave the running set; the last thing that happens to an answer, once."""
        self.cancelled = True
        self.engine.running.discard(self)
        if self.work.choices:
            self._count()
        elif reason == "stop":
            self._count_end("stop", self.engine.loop.time(), self.work.prompt_tokens or [0])
        if self.journal:
            choices = self.work.choices
            self.journal.write(
                {"e": "end", "t": time.time(), "s": self.serial, "reason": reason, "fault": fault}
                | {"wire": [choice.wire for choice in choices], "generated": sum(choice.made for choice in choices)}
            )

    def _count(self) -> None:
        """Count what was made: a choice that came to its end is a success, whoever still listened."""
        choices, counters, now = self.work.choices, self.counters, self.engine.loop.time()
        gaps = max([choice.made for choice in choices]) - 1
        for choice in choices:
            if choice.made:
                counters.first_token.observe(self._first - self._begun)
            if choice.made > 1:
                counters.gap.observe(max(0.0, now - self._first) / gaps, choice.made - 1)
            if choice.made == choice.total:
                prompt = self.work.prompt_tokens[choice.prompt]
                self._count_end("length" if choice.finish == "length" else "stop", now, [prompt], choice.made)
        ended = [choice.prompt for choice in choices if choice.made == choice.total]
        counters.sequences.observe(self.work.n, sum(ended.count(prompt) == self.work.n for prompt in set(ended)))

    def _count_end(self, reason: str, now: float, prompts: list[int], made: int = 0) -> None:
        counters = self.counters
        counters.finished[reason] += len(prompts)
        counters.whole.observe(now - self._begun, len(prompts))
        counters.answers.observe(made, len(prompts))
        for prompt in prompts:
            counters.prompts.observe(prompt)

    @property
    def reason(self) -> str:
        """The reason for the journal of an answer that ended well: `length` as soon as one choice was cut."""
        reasons = {choice.finish for choice in self.work.choices}
        return "length" if "length" in reasons else "tool_calls" if "tool_calls" in reasons else "stop"

    def journal_usage(self) -> None:
        """The line that goes before the final usage."""
        work = self.work
        if self.journal:
            told = work.faults.no_usage not in (True, "final") and (work.include_usage or not work.stream)
            told = told and work.faults.garbage is None and (work.stream or _cut(work) is None)
            self.journal.write(
                {"e": "usage", "s": self.serial, "prompt_tokens": work.all_prompt_tokens}
                | {"completion_tokens": sum(choice.made for choice in work.choices)}
                | {"reasoning_tokens": sum(choice.reasoned for choice in work.choices)}
                | {"cached_tokens": work.cached, "told": told}
            )

    def _journal_start(self) -> None:
        work = self.work
        assert self.journal
        self.journal.write(
            {"e": "start", "t": time.time(), "s": self.serial, "id": work.request_id, "endpoint": work.endpoint}
            | {"model": work.model, "stream": work.stream, "n": work.n, "prompts": len(work.prompt_tokens)}
            | {"prompt_tokens": work.all_prompt_tokens, "cached_tokens": work.cached}
            | {"reasoning_tokens": work.choices[0].thinking if work.choices else 0}
            | {"max_tokens": work.max_tokens, "max_completion_tokens": work.max_completion_tokens}
            | {"members": work.members}
        )


class WholeAnswer(Answer):
    """An answer in one piece, sent when its last token would have been made."""

    def start(self) -> None:
        super().start()
        self._first = self._begun + self.work.first_token
        longest = max((choice.total for choice in self.work.choices), default=0)
        wait = self.work.first_token + longest * self.work.period
        if wait > 0:
            self.engine.pacer.add(self, self._begun + wait)
        else:
            self.fire()

    def fire(self) -> float | None:
        for choice in self.work.choices:
            self._make(choice, choice.total)
            choice.wire = choice.total if _cut(self.work) is None else 0
        self.journal_usage()
        body = self.work.render(self.work)
        faults = self.work.faults
        if faults.garbage == "json":
            body = body[: len(body) // 2] + b'"}]'
        announced = len(body) + (64 if faults.garbage == "length" else 0)
        fields = b"content-type: %b\r\ncontent-length: %d\r\n" % (self.work.content_type, announced)
        head = self.engine.head(b"200 OK", fields + self.wire.closing_field)
        cut = _cut(self.work)
        if faults.garbage != "length" and cut is None:
            self.wire.send(head + body)
            self.stop(self.reason)
            self.wire.finish()
            return None
        self.wire.send(head + body[:cut])
        if faults.close_after is not None or faults.garbage == "length":
            self.stop("fault", "close_after" if faults.close_after is not None else "garbage")
            self.wire.hang_up(reset=faults.reset)
        return None

    def stop(self, reason: str, fault: str | None = None) -> None:
        if reason == "abort" and not any(choice.wire for choice in self.work.choices):
            self._make_up_to_now()
        super().stop(reason, fault)

    def _make_up_to_now(self) -> None:
        """Count what a real engine would have made of an answer that nobody waits for any more."""
        since = self.engine.loop.time() - self._first
        for choice in self.work.choices:
            made = choice.total if not self.work.period else int(since / self.work.period)
            self._make(choice, max(0, min(choice.total, made)))

    def _make(self, choice: Choice, tokens: int) -> None:
        self.counters.generated += tokens - choice.made
        choice.made = tokens


class StreamedAnswer(Answer):
    """An answer as server-sent events, each event its own write, one for each token (or `chunk_tokens`) of each
    choice."""

    def __init__(self, work: Work, wire: Wire, engine: Engine) -> None:
        super().__init__(work, wire, engine)
        faults = work.faults
        self._shape = shapes.EventShape(work)
        self._live = list(work.choices)
        self._events = 0
        self._introduced = False
        limits = {"close_after": faults.close_after, "hang_after": faults.hang_after, "error": faults.event_error_after}
        self._limit = min(((after, name) for name, after in limits.items() if after is not None), default=None)
        self._held: list[bytes] = []
        self._plain = not (faults.batch or faults.crlf or faults.comments or faults.garbage)

    def start(self) -> None:
        super().start()
        fields = b"content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n"
        self.wire.send(self.engine.head(b"200 OK", fields + self.wire.closing_field))
        if self.work.faults.garbage == "chunk":
            self.wire.send(b"not-a-size\r\n")
        self._check_limit()
        if not self.cancelled:
            self._schedule(self.engine.loop.time() + self.work.first_token)

    def resume(self) -> None:
        if self.stalled and not self.cancelled:
            self.stalled = False
            self._schedule(self.engine.loop.time())

    def interrupt(self) -> None:
        self._fail("The engine was stopped.")

    def fire(self) -> float | None:
        if self.wire.pending():
            self.stalled = True
            return None
        if not self._introduced:
            self._introduced, self._first = True, self.engine.loop.time()
            for payload in self._shape.roles():
                self._event(payload)
        for choice in self._live:
            if not self.cancelled:
                self._tokens(choice)
        return None if self.cancelled else self._next()

    def _next(self) -> float | None:
        """Complete the stream, or say when its next tokens are due."""
        self._live = [choice for choice in self._live if choice.made < choice.total]
        if not self._live:
            self._complete()
            return None
        if self.work.period:
            return self.due + self.work.period * self.work.faults.chunk_tokens
        self.engine.loop.call_soon(self._spin)
        return None

    def _schedule(self, due: float) -> None:
        """Be woken at loop time `due`, or in the next turn where that is now."""
        self.due = due
        if due > self.engine.loop.time():
            self.engine.pacer.add(self, due)
        else:
            self.engine.loop.call_soon(self._spin)

    def _spin(self) -> None:
        again = None if self.cancelled else self.fire()
        if again is not None:
            self.engine.pacer.add(self, again)

    def _tokens(self, choice: Choice) -> None:
        start, stop = choice.advance(self.work.faults.chunk_tokens)
        self.counters.generated += stop - start
        if stop <= choice.hidden and stop < choice.total:
            return
        payload = self._shape.tokens(choice, start, stop)
        if self._plain:
            choice.wire = stop
            if self.journal:
                self.journal.tokens(self.serial, choice.index, stop)
            size = len(payload) + 8
            self.wire.send(b"%x\r\ndata: %b\n\n\r\n" % (size, payload))
            self._events += 1
            if self._limit:
                self._check_limit()
        else:
            self._event(payload)

    def _event(self, payload: bytes) -> None:
        """Send an event, or hold it until a batch is full."""
        faults = self.work.faults
        if faults.comments and self._events % faults.comments == 0:
            self._held.append(frame(self._lines(b": still here")))
        if faults.garbage == "json":
            payload = payload[: len(payload) // 2]
        line = b"dat " + payload if faults.garbage == "sse" else b"data: " + payload
        self._held.append(frame(self._lines(line)))
        self._events += 1
        if len(self._held) >= (faults.batch or 1):
            self._flush()
        if self._limit:
            self._check_limit()

    def _flush(self) -> None:
        for choice in self.work.choices:
            if choice.wire != choice.made and choice.shown:
                choice.wire = choice.made
                if self.journal:
                    self.journal.tokens(self.serial, choice.index, choice.made)
        held, self._held = self._held, []
        if held:
            self.wire.send(b"".join(held))

    def _lines(self, line: bytes) -> bytes:
        return line + (b"\r\n\r\n" if self.work.faults.crlf else b"\n\n")

    def _complete(self) -> None:
        """The final usage, the end mark, the last chunk."""
        self.journal_usage()
        if self.work.include_usage and self.work.faults.no_usage not in (True, "final"):
            self._event(self._shape.usage())
        if not self.cancelled:
            self._finish(self.reason)

    def _finish(self, reason: str, fault: str | None = None) -> None:
        self._flush()
        done = END if self.work.faults.no_done else frame(self._lines(b"data: " + shapes.DONE)) + END
        self.wire.send(done)
        self.stop(reason, fault)
        self.wire.finish()

    def _fail(self, message: str, fault: str | None = None) -> None:
        self._held.append(frame(self._lines(b"data: " + shapes.error(500, message, "InternalServerError", None))))
        self._finish("fault" if fault else "abort", fault)

    def _check_limit(self) -> None:
        """Do what a fault asks for once so many events were sent."""
        if self._limit is None or self._events < self._limit[0] or self.cancelled:
            return
        name = self._limit[1]
        self._limit = None
        if name == "error":
            self._fail(FAILURE, "event_error_after")
            return
        self._flush()
        if name == "hang_after":
            self.cancelled = True
            return
        self.stop("fault", name)
        self.wire.hang_up(reset=self.work.faults.reset)


def _cut(work: Work) -> int | None:
    """After how many bytes of its body (a stream: events) an answer is to stop."""
    faults = work.faults
    return faults.close_after if faults.close_after is not None else faults.hang_after


def frame(payload: bytes) -> bytes:
    """The payload as one chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)
