"""The queries behind `gateway/pools/reconciliation.py`. Parameters: `since`, `until`, and what earlier ones found.

Causes come as rows: pool, cause, requests, and the least and the most that they add to engine - charged, in tokens.
"""

# ruff: noqa: S608  # only constants of this module are put into a query

CHARGED = "charged"
CUT = "cut streams"
CHOICES = "several choices"
EDGES = "at the edges"

# vLLM publishes what it counted a moment after it answered; a busy one, a little later still.
_LAG = "interval '1 second'"
# How long before its end a request may have been admitted. 6 hours: 430,000 tokens at 20 a second, past any window.
_LONGEST = "interval '6 hours'"
# A probe's three calls, each with its time-out: so long before it is noted it may have been counted.
_PROBE = "interval '60 seconds'"
# Older than this a sample begins no period: the replica was away.
_AWAY = "interval '1 day'"
_ATTEMPTS = 3  # replicas that a request may have tried in vain (`gateway/relay/limits.py`)

_FIRST_ID = "rpad(lpad(to_hex((extract(epoch from {}) * 1000)::bigint), 12, '0'), 32, '0')::uuid"

_WINDOW = """jsonb_to_recordset(%(windows)s::jsonb) as w (pool text, replica text,
        begin_asked_at timestamptz, begin_at timestamptz, end_asked_at timestamptz, end_at timestamptz)"""
_TOKENS = """r.input_quantity + r.cached_quantity as prompt, r.output_quantity + r.reasoning_quantity as generation,
        coalesce(r.max_tokens_given, 0) as given"""

# A replica's samples from its last before the period to its last in it. Where the process is another than before, or a
# counter fell, it began again from 0; what its predecessor made after its last sample nobody knows.
WINDOWS = f"""
    with edge as (
        select pool, replica, coalesce(max(at) filter (where at <= %(since)s), min(at)) as begin_at, max(at) as end_at
        from pools_enginesample where at > %(since)s - {_AWAY} and at <= %(until)s group by 1, 2
    ), step as (
        select s.*, lag(s.at) over w as at_before, lag(s.began_at) over w as began_before,
            lag(s.prompt_tokens) over w as prompt_before, lag(s.generation_tokens) over w as generation_before,
            lag(s.finished_prompt_tokens) over w as finished_prompt_before,
            lag(s.finished_generation_tokens) over w as finished_generation_before,
            lag(s.extra_choices) over w as extra_before
        from edge e join pools_enginesample s
            on s.pool = e.pool and s.replica = e.replica and s.at between e.begin_at and e.end_at
        window w as (partition by s.pool, s.replica order by s.at)
    ), counted as (
        select *, at_before is not null and (prompt_tokens < prompt_before or generation_tokens < generation_before
            or coalesce(began_at <> began_before, false)) as is_new
        from step
    )
    select pool, replica, min(asked_at)::text as begin_asked_at, min(at)::text as begin_at,
        max(asked_at)::text as end_asked_at, max(at)::text as end_at,
        sum(prompt_tokens - case when is_new then 0 else prompt_before end)::bigint as prompt_tokens,
        sum(generation_tokens - case when is_new then 0 else generation_before end)::bigint as generation_tokens,
        sum(finished_prompt_tokens - case when is_new then 0 else finished_prompt_before end)::bigint
            as finished_prompt_tokens,
        sum(finished_generation_tokens - case when is_new then 0 else finished_generation_before end)::bigint
            as finished_generation_tokens,
        sum(extra_choices - case when is_new then 0 else extra_before end)::bigint as extra_choices,
        coalesce(jsonb_agg(jsonb_build_object('pool', pool, 'replica', replica, 'since', at_before,
            'until', case when began_at > at_before then began_at else at end)) filter (where is_new), '[]') as restarts
    from counted group by 1, 2 having count(*) > 1
"""

# The records of the windows, each with all that it may explain. A request that overlaps an edge is charged on one side,
# and was counted by its engine on both.
RECORDS = f"""
    with w as (select * from {_WINDOW}), r as (
        select w.pool, {_TOKENS}, r.status, m.context_window,
            r.settled_at > w.begin_at and r.settled_at <= w.end_at as is_inside,
            r.admitted_at < w.begin_at or r.settled_at > w.end_asked_at - {_LAG} as is_at_edge,
            case r.status when 'engine_failed' then {_ATTEMPTS} else 1 end as attempts
        from w
        join billing_usage_record r on r.pool = w.pool and r.replica = w.replica
        join models_catalog_languagemodel m on m.id = r.model_id
        where r.request_id >= (select {_FIRST_ID.format(f"min(begin_at) - {_LONGEST}")} from w)
            and r.request_id < (select {_FIRST_ID.format("max(end_at) + interval '1 minute'")} from w)
            and r.admitted_at < w.end_at and r.settled_at > w.begin_asked_at - {_LAG}
    )
    select r.pool, c.cause, count(*) as requests, sum(r.prompt) as prompt, sum(r.generation) as generation,
        max(r.prompt) as largest_prompt, sum(c.least_prompt) as least_prompt, sum(c.most_prompt) as most_prompt,
        sum(c.least_generation) as least_generation, sum(c.most_generation) as most_generation
    from r cross join lateral (values
        ('{CHARGED}', is_inside, prompt, prompt, generation, generation),
        ('{EDGES}', is_inside and is_at_edge, -prompt, 0, -generation, 0),
        ('{EDGES}', not is_inside, 0, prompt, 0, generation),
        ('{CUT}', status in ('client_left', 'engine_died', 'gateway_lost'),
            0, case when prompt = 0 then context_window else 0 end, 0, greatest(given - generation, 0)),
        ('charged nothing', status in ('engine_failed', 'engine_refused', 'client_left_early', 'undelivered',
            'unmetered', 'zero_usage'), 0, attempts * context_window, 0, attempts * given),
        ('clamped', status = 'clamped', -prompt, context_window, -generation, given)
    ) c (cause, applies, least_prompt, most_prompt, least_generation, most_generation)
    where c.applies group by 1, 2
"""

# Requests that are not settled yet: no more than what was held for them.
UNDER_WAY = f"""
    select w.pool, 'under way' as cause, count(*) as requests, 0 as least_prompt,
        sum(h.tokens - h.output_tokens) as most_prompt, 0 as least_generation, sum(h.output_tokens) as most_generation
    from (select pool, max(end_at) as end_at from {_WINDOW} group by 1) w
    join pools_pool p on p.name = w.pool
    join billing_hold h on h.model_id = p.model_id and h.admitted_at < w.end_at
    group by 1
"""

# Charged to a process that was gone before anybody read its counters again.
LOST = f"""
    select w.pool, 'restarts' as cause, count(*) as requests, -sum(prompt) as least_prompt, 0 as most_prompt,
        -sum(generation) as least_generation, 0 as most_generation
    from (
        select w.pool, {_TOKENS} from jsonb_to_recordset(%(restarts)s::jsonb)
            as w (pool text, replica text, since timestamptz, until timestamptz)
        join billing_usage_record r on r.pool = w.pool and r.replica = w.replica
        where r.request_id >= {_FIRST_ID.format(f"w.since - {_LONGEST}")}
            and r.admitted_at < w.until and r.settled_at > w.since - {_LAG}
    ) w group by 1
"""

PROBES = f"""
    select w.pool, 'probes' as cause, count(*) as requests,
        sum(case when is_exact then p.prompt_tokens else 0 end) as least_prompt, sum(p.prompt_tokens) as most_prompt,
        sum(case when is_exact then p.generation_tokens else 0 end) as least_generation,
        sum(p.generation_tokens) as most_generation
    from {_WINDOW}
    join pools_engineprobe p on p.pool = w.pool and p.replica = w.replica
    cross join lateral (select p.at > w.begin_at + {_PROBE} and p.at <= w.end_at as is_exact) e
    where p.at > w.begin_at and p.at <= w.end_at + {_PROBE}
    group by 1
"""

# Tokens charged in the period while nobody sampled: before a replica's first sample, or long after its last.
UNCOMPARED = f"""
    select r.pool, sum(r.input_quantity + r.cached_quantity + r.output_quantity + r.reasoning_quantity) as tokens
    from billing_usage_record r
    left join {_WINDOW} on r.pool = w.pool and r.replica = w.replica
    where r.pool <> '' and r.settled_at >= %(since)s and r.settled_at < %(until)s
        and r.request_id >= {_FIRST_ID.format(f"%(since)s::timestamptz - {_LONGEST}")}
        and r.request_id < {_FIRST_ID.format("%(until)s::timestamptz + interval '1 minute'")}
        and (w.pool is null or r.settled_at <= w.begin_at or r.settled_at > w.end_at + interval '5 minutes')
    group by 1
"""
