"""The statements behind `billing/demo/history.py`. What they add up is added up again by `verify_ledger`.

Statuses, their HTTP status and what they cost are those of `gateway/relay/charging.py`; the codes of refusals those of
`gateway/relay/errors.py`.
"""

MAKE_TABLES = """
    drop table if exists past_price, past_source, past_tenant;
    create temporary table past_tenant (tenant_id bigint, contract_id bigint, site text, zone text);
    create temporary table past_price (
        model_id bigint, name text, version_id bigint, kwh numeric, since timestamptz, until timestamptz,
        input bigint, output bigint, reasoning bigint, documents bigint
    );
    create temporary table past_source (
        place int generated always as identity (minvalue 0 start 0), key_id bigint, project_id bigint, owner uuid,
        model text, endpoint text, prompt int, answer int, documents int, reasoning int,
        since timestamptz, until timestamptz
    );
"""
DRAW_ALIKE = "select setseed(0.4)"  # the same past on every machine
REMEMBER = "insert into past_tenant values (%(tenant)s, %(contract)s, %(site)s, %(zone)s)"
ADD_PRICE = """
    insert into past_price values (%(model_id)s, %(name)s, %(version_id)s, %(kwh)s, %(since)s, %(until)s,
        %(input)s, %(output)s, %(reasoning)s, %(documents)s)
"""
ADD_SOURCE = """
    insert into past_source (key_id, project_id, owner, model, endpoint, prompt, answer, documents, reasoning,
        since, until) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""

# As billing_prolong_usage_record_v1 makes those ahead.
MAKE_PARTITIONS = """
do $$
declare
    v_month timestamptz;
    v_name text;
begin
    for v_month in
        select generate_series(date_trunc('month', %(since)s::timestamptz at time zone 'UTC'),
            date_trunc('month', now() at time zone 'UTC'), interval '1 month') at time zone 'UTC'
    loop
        v_name := 'billing_usage_record_' || to_char(v_month at time zone 'UTC', 'YYYY_MM');
        continue when to_regclass(v_name) is not null;
        execute format('create table %%I partition of billing_usage_record for values from (%%L) to (%%L)', v_name,
            rpad(lpad(to_hex((extract(epoch from v_month) * 1000)::bigint), 12, '0'), 32, '0')::uuid,
            rpad(lpad(to_hex((extract(epoch from (v_month at time zone 'UTC' + interval '1 month')
                at time zone 'UTC') * 1000)::bigint), 12, '0'), 32, '0')::uuid);
        perform billing_make_append_only(v_name::regclass, false);
    end loop;
end $$
"""


def _request_id(at: str) -> str:
    """A UUIDv7 of that time (RFC 9562, 5.7)."""
    return f"""(lpad(to_hex((extract(epoch from {at}) * 1000)::bigint), 12, '0') || '7'
        || overlay(substr(md5(random()::text || random()::text), 1, 19) placing '8' from 4 for 1))::uuid"""


# Most requests come in the hours of work, those of a night are programs'. Amounts are quantities at a price a unit.
WRITE_RECORDS = f"""
    with drawn as materialized (
        select d.day + make_interval(secs => case when random() < 0.85
                then 21600 + 41400 * (random() + random() + random()) / 3 else 86399 * random() end) as at,
            floor((select count(*) from past_source) * power(random(), %(skew)s))::int as place,
            random() as luck, random() as pace, random() as way,
            least(0.2 - 0.8 * ln(1 - random()), 6) as long_prompt, least(0.2 - 0.8 * ln(1 - random()), 6) as long_answer
        from unnest(%(days)s::timestamptz[], %(counts)s::int[]) as d (day, requests), generate_series(1, d.requests)
    ), asked as materialized (
        select {_request_id("x.at")} as request_id, x.*, s.key_id, s.project_id, s.owner, s.model, s.endpoint,
            case when luck < 0.97 then 'completed' when luck < 0.983 then 'client_left'
                when luck < 0.985 then 'engine_died' when luck < 0.992 then 'engine_failed'
                when luck < 0.995 then 'engine_refused'
                when luck < 0.999 then 'client_left_early' else 'undelivered' end as status,
            ceil(s.prompt * long_prompt)::bigint as prompt, ceil(s.answer * long_answer)::bigint as answer,
            ceil(s.documents * long_answer)::bigint as ranked, s.reasoning, s.answer > 0 as writes
        from drawn x join past_source s on s.place = x.place and x.at >= s.since and x.at < s.until
        where x.at < %(until)s
    ), counted as (
        select a.*, status in ('completed', 'client_left', 'engine_died') as is_charged,
            case when status = 'client_left' then (answer * pace)::bigint else answer end as written
        from asked a
    ), charged as (
        select c.*, case when is_charged then prompt else 0 end as q_input,
            case when is_charged then written - written * reasoning / 100 else 0 end as q_output,
            case when is_charged then written * reasoning / 100 else 0 end as q_reasoning,
            case when is_charged then ranked else 0 end as q_documents,
            case status when 'completed' then 200 when 'engine_died' then 200 when 'engine_failed' then 502
                when 'engine_refused' then 400 when 'undelivered' then 503 else 499 end as http_status,
            (120 + 700 * pace + prompt / 40)::int as ttft
        from counted c
    ), recorded as (
        insert into billing_usage_record
        select c.request_id, null, t.tenant_id, c.project_id, c.key_id, c.owner, p.model_id, p.name, p.name, '',
            'demo-' || (c.key_id %% 4 + 1), '', t.site, c.endpoint, 'api', 'standard', t.contract_id, p.version_id,
            q_input, 0, q_output, q_reasoning, 0, q_documents, 0,
            q_input * p.input, 0, q_output * p.output, q_reasoning * p.reasoning, 0, q_documents * p.documents, 0,
            q_input * p.input + q_output * p.output + q_reasoning * p.reasoning + q_documents * p.documents, 0, p.kwh,
            c.status, c.http_status, case when c.status = 'completed' and writes then
                case when way < 0.93 then 'stop' else 'length' end else '' end,
            writes and way < 0.7, null, case when writes then 8192 end, '', '',
            case when is_charged then c.ttft end, c.ttft + (written * (8 + 20 * pace))::int,
            c.at, c.at + make_interval(secs => (c.ttft + (written * (8 + 20 * pace))::int) / 1000.0)
        from charged c cross join past_tenant t
        join past_price p on p.name = c.model and c.at >= p.since and c.at < coalesce(p.until, 'infinity')
        order by c.request_id
        returning *
    ), rolled_up as (
        insert into billing_usage_hour as u
        select date_trunc('hour', admitted_at, 'UTC'), tenant_id, project_id, key_id, model_id, mode, count(*),
            count(*) filter (where http_status >= 400), sum(input_quantity), 0, sum(output_quantity),
            sum(reasoning_quantity), 0, sum(documents_quantity), 0, sum(cost_nano_eur), 0
        from recorded group by 1, 2, 3, 4, 5, 6 order by 2, 1, 3, 4, 5, 6
        on conflict (tenant_id, hour, project_id, key_id, model_id, mode) do update set
            requests = u.requests + excluded.requests, failed_requests = u.failed_requests + excluded.failed_requests,
            input_quantity = u.input_quantity + excluded.input_quantity,
            output_quantity = u.output_quantity + excluded.output_quantity,
            reasoning_quantity = u.reasoning_quantity + excluded.reasoning_quantity,
            documents_quantity = u.documents_quantity + excluded.documents_quantity,
            cost_nano_eur = u.cost_nano_eur + excluded.cost_nano_eur
    ), added_to_day as (
        insert into billing_usage_day as u
        select date_trunc('day', admitted_at, 'UTC'), tenant_id, project_id, model_id, mode, count(*),
            count(*) filter (where http_status >= 400), sum(input_quantity), 0, sum(output_quantity),
            sum(reasoning_quantity), 0, sum(documents_quantity), 0, sum(cost_nano_eur), 0
        from recorded group by 1, 2, 3, 4, 5 order by 2, 1, 3, 4, 5
        on conflict (tenant_id, day, project_id, model_id, mode) do update set
            requests = u.requests + excluded.requests, failed_requests = u.failed_requests + excluded.failed_requests,
            input_quantity = u.input_quantity + excluded.input_quantity,
            output_quantity = u.output_quantity + excluded.output_quantity,
            reasoning_quantity = u.reasoning_quantity + excluded.reasoning_quantity,
            documents_quantity = u.documents_quantity + excluded.documents_quantity,
            cost_nano_eur = u.cost_nano_eur + excluded.cost_nano_eur
    )
    select count(*) from recorded
"""  # noqa: S608  # a constant of ours

WRITE_REFUSALS = f"""
    with drawn as materialized (
        select %(since)s::timestamptz + (%(until)s::timestamptz - %(since)s::timestamptz) * power(random(), 0.5) as at,
            floor((select count(*) from past_source) * power(random(), 3))::int as place, random() as luck
        from generate_series(1, %(count)s)
    ), refused as (
        insert into billing_refusal (request_id, tenant_id, project_id, key_id, at, code, limit_name, model)
        select {_request_id("x.at")}, t.tenant_id, s.project_id, s.key_id, x.at,
            case when luck < 0.6 then 'rate_limit_exceeded' when luck < 0.8 then 'insufficient_quota'
                when luck < 0.9 then 'model_not_allowed' when luck < 0.95 then 'context_length_exceeded'
                else 'ip_not_allowed' end,
            case when luck < 0.6 then 'requests/minute/tenant' when luck < 0.8 then 'budget/month/project' else '' end,
            s.model
        from drawn x join past_source s on s.place = x.place and x.at >= s.since and x.at < s.until
        cross join past_tenant t
        returning *
    )
    insert into billing_refusal_count as c (minute, tenant_id, project_id, key_id, code, refusals)
    select date_trunc('minute', at, 'UTC'), tenant_id, project_id, key_id, code, count(*)
    from refused group by 1, 2, 3, 4, 5
    on conflict (minute, tenant_id, project_id, key_id, code) do update set refusals = c.refusals + excluded.refusals
"""  # noqa: S608  # a constant of ours

BEGIN_EARLIER = """
    update billing_contract set starts_at = %(since)s
    where id in (select contract_id from past_tenant) and starts_at > %(since)s;
    update billing_budget set created_at = %(since)s
    where tenant_id in (select tenant_id from past_tenant) and is_active
        and not exists (select from billing_budget_period p where p.budget_id = billing_budget.id);
"""

# A period that a request opened was counted by the ledger itself. Periods begin at whole hours, as do the rollups.
SPEND = """
    create temporary table past_spent on commit drop as
    select scope, scope_id, hour, sum(cost_nano_eur) as cost
    from billing_usage_hour u join past_tenant t using (tenant_id)
    cross join lateral (values ('tenant', tenant_id), ('project', project_id), ('key', key_id)) s (scope, scope_id)
    where (scope, scope_id) in (select scope, scope_id from billing_budget where tenant_id = t.tenant_id and is_active)
    group by 1, 2, 3;
    create index on past_spent (scope, scope_id, hour);
    analyze past_spent;
    insert into billing_budget_period (budget_id, starts_at, ends_at, limit_nano_eur, cap_nano_eur, spent_nano_eur)
    select b.id, x.starts_at, x.ends_at, b.limit_nano_eur,
        case when b.is_hard then greatest(b.limit_nano_eur, spent.sum) end, spent.sum
    from billing_budget b join past_tenant t on t.tenant_id = b.tenant_id
    cross join lateral (
        select distinct bounds.* from generate_series(%(since)s::timestamptz, now(), interval '1 day') as day,
            billing_period_bounds_v1(b.period, t.zone, day) bounds
        where b.period <> 'once'
        union all
        select timestamptz '1970-01-01 00:00Z', timestamptz '9000-01-01 00:00Z' where b.period = 'once'
    ) x
    cross join lateral (
        select coalesce(sum(s.cost), 0)::bigint as sum from past_spent s
        where s.scope = b.scope and s.scope_id = b.scope_id and s.hour >= x.starts_at and s.hour < x.ends_at
    ) spent
    where b.is_active and x.starts_at <= now()
        and not exists (select from billing_budget_period p where p.budget_id = b.id and p.ends_at = x.ends_at)
"""
