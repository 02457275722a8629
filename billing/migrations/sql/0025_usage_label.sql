-- The hourly sums of requests that their client labelled (header x-beffroi-label), by label. Who labels nothing pays nothing for it.
-- Without the key and the mode: whoever labels each request otherwise has as many of these as requests, and knows why.

create table billing_usage_label (
    hour timestamptz not null check (hour = date_trunc('hour', hour, 'UTC')),
    tenant_id bigint not null,
    project_id bigint not null,
    model_id bigint not null,
    label text not null check (label <> ''),
    requests bigint not null,
    failed_requests bigint not null,
    input_tokens bigint not null,
    output_tokens bigint not null,
    cost_nano_eur bigint not null,
    primary key (tenant_id, hour, project_id, model_id, label)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01);
revoke insert, update, delete on billing_usage_label from beffroi_app;

-- Charges a batch: the usage record, the sums of its hour, day and label, the budgets, the limits and the end of the hold in one
-- transaction (I2). The sums' rows are locked in one order everywhere: one table after the other, each by its key.
-- One row a request: settled (cost, uncharged), exists (settled before: its cost), unknown (no such hold or record).
create or replace function settle_v1(p_incarnation uuid, p_batch jsonb)
returns table (request_id uuid, verdict text, cost_nano_eur bigint, uncharged_nano_eur bigint)
language plpgsql security definer set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_nestloop = off as $$
#variable_conflict use_column
declare
    v_ids uuid[];
    v_held uuid[];
    v_periods bigint[];
    v_limits bigint[];
    v_settled int;
    v_is_alive boolean;
begin
    if pg_advisory_xact_lock_shared(uuid_hash_extended(p_incarnation, 7301)) is null then
        return; -- it never is: see billing_begin_call_v2
    end if;
    v_ids := array(select distinct (s ->> 'request_id')::uuid from jsonb_array_elements(p_batch) s);
    if cardinality(v_ids) < jsonb_array_length(p_batch) then
        p_batch := (select jsonb_agg(s) from (
            select distinct on (value ->> 'request_id') value as s from jsonb_array_elements(p_batch) with ordinality
            order by value ->> 'request_id', ordinality desc) once);
    end if;
    with held as materialized (
        select h.request_id, h.period_ids, h.limit_ids from billing_hold h where h.request_id = any(v_ids) order by h.request_id for update
    )
    select array_agg(h.request_id), array(select distinct unnest(period_ids) from held), array(select distinct unnest(limit_ids) from held),
            exists (select from billing_incarnation where id = p_incarnation and fenced_at is null)
        into v_held, v_periods, v_limits, v_is_alive from held h;
    if not v_is_alive then
        perform billing_refuse_fenced_v2(p_incarnation);
    end if;
    if v_held is not null then
        perform from billing_budget_period where id = any(v_periods) order by id for update;
        perform from billing_limit_window where limit_id = any(v_limits) order by limit_id for update;
        return query with gone as (
            delete from billing_hold h where h.request_id = any(v_held)
            returning h.request_id, h.tenant_id, h.project_id, h.key_id, h.model_id, h.price_version_id, h.contract_id, h.period_ids,
                h.limit_ids, h.amount_nano_eur, h.tokens, h.output_tokens, h.admitted_at, h.description
        ), charged as materialized (
            select g.*, s.status, s.http_status, s.finish_reason, s.pool, s.replica, s.node, s.site, s.ttft_ms, s.duration_ms, m.q, m.a,
                least(price.total, g.amount_nano_eur) as cost, greatest(price.total - g.amount_nano_eur, 0) as uncharged
            from gone g join jsonb_populate_recordset(null::billing_ended, p_batch) s on s.request_id = g.request_id
            cross join lateral (
                select coalesce(s.quantities, array[s.input_quantity, s.cached_quantity, s.output_quantity, s.reasoning_quantity,
                        s.audio_ms_quantity, s.documents_quantity, s.images_quantity]) as q,
                    coalesce(s.amounts, array[s.input_nano_eur, s.cached_nano_eur, s.output_nano_eur, s.reasoning_nano_eur,
                        s.audio_ms_nano_eur, s.documents_nano_eur, s.images_nano_eur]) as a
            ) m
            cross join lateral (select m.a[1] + m.a[2] + m.a[3] + m.a[4] + m.a[5] + m.a[6] + m.a[7] as total) price
        ), recorded as (
            insert into billing_usage_record
            select c.request_id, (c.description ->> 'parent_id')::uuid, c.tenant_id, c.project_id, c.key_id,
                (c.description ->> 'owner')::uuid, c.model_id, c.description ->> 'model', c.description ->> 'alias', c.pool, c.replica,
                c.node, c.site, c.description ->> 'endpoint', coalesce(c.description ->> 'door', 'api'), c.description ->> 'mode', c.contract_id,
                c.price_version_id, c.q[1], c.q[2], c.q[3], c.q[4], c.q[5],
                c.q[6], c.q[7], c.a[1], c.a[2], c.a[3], c.a[4],
                c.a[5], c.a[6], c.a[7], c.cost, c.uncharged,
                (c.description ->> 'kwh_per_million_tokens')::numeric, c.status, c.http_status, c.finish_reason,
                (c.description ->> 'stream')::boolean, (c.description ->> 'max_tokens_asked')::bigint,
                (c.description ->> 'max_tokens_given')::bigint, coalesce(c.description ->> 'guardrail', ''), coalesce(c.description ->> 'label', ''), c.ttft_ms,
                c.duration_ms, c.admitted_at, now()
            from charged c
        ), rolled_up as (
            insert into billing_usage_hour as u (hour, tenant_id, project_id, key_id, model_id, mode, requests, failed_requests,
                input_quantity, cached_quantity, output_quantity, reasoning_quantity, audio_ms_quantity, documents_quantity,
                images_quantity, cost_nano_eur, uncharged_nano_eur)
            select date_trunc('hour', c.admitted_at, 'UTC'), c.tenant_id, c.project_id, c.key_id, c.model_id, c.description ->> 'mode',
                count(*), count(*) filter (where c.http_status >= 400), sum(c.q[1]), sum(c.q[2]),
                sum(c.q[3]), sum(c.q[4]), sum(c.q[5]), sum(c.q[6]),
                sum(c.q[7]), sum(c.cost), sum(c.uncharged)
            from charged c group by 1, 2, 3, 4, 5, 6 order by 2, 1, 3, 4, 5, 6
            on conflict (tenant_id, hour, project_id, key_id, model_id, mode) do update set
                requests = u.requests + excluded.requests, failed_requests = u.failed_requests + excluded.failed_requests,
                input_quantity = u.input_quantity + excluded.input_quantity,
                cached_quantity = u.cached_quantity + excluded.cached_quantity,
                output_quantity = u.output_quantity + excluded.output_quantity,
                reasoning_quantity = u.reasoning_quantity + excluded.reasoning_quantity,
                audio_ms_quantity = u.audio_ms_quantity + excluded.audio_ms_quantity,
                documents_quantity = u.documents_quantity + excluded.documents_quantity,
                images_quantity = u.images_quantity + excluded.images_quantity,
                cost_nano_eur = u.cost_nano_eur + excluded.cost_nano_eur,
                uncharged_nano_eur = u.uncharged_nano_eur + excluded.uncharged_nano_eur
        ), added_to_day as (
            insert into billing_usage_day as u (day, tenant_id, project_id, model_id, mode, requests, failed_requests,
                input_quantity, cached_quantity, output_quantity, reasoning_quantity, audio_ms_quantity, documents_quantity,
                images_quantity, cost_nano_eur, uncharged_nano_eur)
            select date_trunc('day', c.admitted_at, 'UTC'), c.tenant_id, c.project_id, c.model_id, c.description ->> 'mode',
                count(*), count(*) filter (where c.http_status >= 400), sum(c.q[1]), sum(c.q[2]),
                sum(c.q[3]), sum(c.q[4]), sum(c.q[5]), sum(c.q[6]),
                sum(c.q[7]), sum(c.cost), sum(c.uncharged)
            from charged c group by 1, 2, 3, 4, 5 order by 2, 1, 3, 4, 5
            on conflict (tenant_id, day, project_id, model_id, mode) do update set
                requests = u.requests + excluded.requests, failed_requests = u.failed_requests + excluded.failed_requests,
                input_quantity = u.input_quantity + excluded.input_quantity,
                cached_quantity = u.cached_quantity + excluded.cached_quantity,
                output_quantity = u.output_quantity + excluded.output_quantity,
                reasoning_quantity = u.reasoning_quantity + excluded.reasoning_quantity,
                audio_ms_quantity = u.audio_ms_quantity + excluded.audio_ms_quantity,
                documents_quantity = u.documents_quantity + excluded.documents_quantity,
                images_quantity = u.images_quantity + excluded.images_quantity,
                cost_nano_eur = u.cost_nano_eur + excluded.cost_nano_eur,
                uncharged_nano_eur = u.uncharged_nano_eur + excluded.uncharged_nano_eur
        ), added_to_label as (
            insert into billing_usage_label as u (hour, tenant_id, project_id, model_id, label, requests, failed_requests, input_tokens,
                output_tokens, cost_nano_eur)
            select date_trunc('hour', c.admitted_at, 'UTC'), c.tenant_id, c.project_id, c.model_id, c.description ->> 'label',
                count(*), count(*) filter (where c.http_status >= 400), sum(c.q[1] + c.q[2]), sum(c.q[3] + c.q[4]), sum(c.cost)
            from charged c where c.description ->> 'label' <> '' group by 1, 2, 3, 4, 5 order by 2, 1, 3, 4, 5
            on conflict (tenant_id, hour, project_id, model_id, label) do update set
                requests = u.requests + excluded.requests, failed_requests = u.failed_requests + excluded.failed_requests,
                input_tokens = u.input_tokens + excluded.input_tokens, output_tokens = u.output_tokens + excluded.output_tokens,
                cost_nano_eur = u.cost_nano_eur + excluded.cost_nano_eur
        ), budgets as (
            update billing_budget_period bp set
                held_nano_eur = bp.held_nano_eur - g.held, spent_nano_eur = bp.spent_nano_eur + g.spent,
                cap_nano_eur = case when bp.cap_nano_eur is not null
                    then greatest(bp.limit_nano_eur, bp.spent_nano_eur + g.spent + bp.held_nano_eur - g.held) end
            from (select u.id, sum(c.amount_nano_eur) as held, sum(c.cost) as spent
                from charged c cross join unnest(c.period_ids) u (id) group by u.id) g
            where bp.id = g.id and bp.id = any(v_periods)
        ), limits as (
            update billing_limit_window w set used = greatest(w.used - g.given_back, 0)
            from (
                select l.id, sum(case l.what
                    when 'concurrent' then 1
                    when 'tokens' then c.tokens
                        - least(c.tokens, c.q[1] + c.q[2] + c.q[3] + c.q[4])
                    when 'output_tokens' then c.output_tokens - least(c.output_tokens, c.q[3] + c.q[4])
                    else 0 end) as given_back
                from charged c cross join unnest(c.limit_ids) u (id) join billing_limit l on l.id = u.id and l.id = any(v_limits)
                join billing_limit_window lw on lw.limit_id = l.id and lw.limit_id = any(v_limits) and (l.what = 'concurrent' or lw.starts_at <= c.admitted_at)
                group by l.id
            ) g where w.limit_id = g.id and w.limit_id = any(v_limits) and g.given_back <> 0
        )
        select c.request_id, 'settled', c.cost, c.uncharged from charged c;
        get diagnostics v_settled = row_count;
    end if;
    if v_settled is distinct from cardinality(v_ids) then
        return query
            select i.id, case when r.request_id is null then 'unknown' else 'exists' end, r.cost_nano_eur, r.uncharged_nano_eur
            from unnest(v_ids) i (id) left join billing_usage_record r on r.request_id = i.id and r.request_id = any(v_ids)
            where v_held is null or i.id <> all (v_held);
    end if;
end $$;
