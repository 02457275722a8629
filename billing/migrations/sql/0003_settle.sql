-- settle_v1 again: the same charge, in one order of locks (holds, budget periods, limit windows, each by id), and cheaper.

-- Charges a batch: the usage record, the rollup, the budgets, the limits and the end of the hold in one transaction (I2).
-- One row a request: settled (cost, uncharged), exists (settled before: its cost), unknown (no such hold or record).
create or replace function settle_v1(p_incarnation uuid, p_batch jsonb)
returns table (request_id uuid, verdict text, cost_nano_eur bigint, uncharged_nano_eur bigint)
language plpgsql security definer set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
set enable_seqscan = off as $$
#variable_conflict use_column
declare
    v_batch billing_settlement[];
    v_ids uuid[];
    v_held uuid[];
    v_periods bigint[];
    v_limits bigint[];
    v_settled int;
begin
    perform billing_begin_call_v2(p_incarnation);
    select array_agg(s), array_agg(s.request_id) into v_batch, v_ids
        from (select distinct on (x.request_id) x.* from jsonb_populate_recordset(null::billing_settlement, p_batch) x) s;
    with held as materialized (
        select h.request_id, h.period_ids, h.limit_ids from billing_hold h where h.request_id = any(v_ids) order by h.request_id for update
    )
    select array_agg(h.request_id), array(select distinct unnest(period_ids) from held), array(select distinct unnest(limit_ids) from held)
        into v_held, v_periods, v_limits from held h;
    if v_held is not null then
        perform from billing_budget_period where id = any(v_periods) order by id for update;
        perform from billing_limit_window where limit_id = any(v_limits) order by limit_id for update;
        return query with gone as (
            delete from billing_hold h where h.request_id = any(v_held) returning h.*
        ), charged as materialized (
            select g.tenant_id, g.project_id, g.key_id, g.model_id, g.price_version_id, g.contract_id, g.period_ids, g.limit_ids,
                g.amount_nano_eur, g.tokens, g.output_tokens, g.admitted_at, g.description, s.*,
                least(price.total, g.amount_nano_eur) as cost, greatest(price.total - g.amount_nano_eur, 0) as uncharged
            from gone g join unnest(v_batch) s on s.request_id = g.request_id
            cross join lateral (select s.input_nano_eur + s.cached_nano_eur + s.output_nano_eur + s.reasoning_nano_eur
                + s.audio_ms_nano_eur + s.documents_nano_eur + s.images_nano_eur as total) price
        ), recorded as (
            insert into billing_usage_record
            select c.request_id, (c.description ->> 'parent_id')::uuid, c.tenant_id, c.project_id, c.key_id,
                (c.description ->> 'owner')::uuid, c.model_id, c.description ->> 'model', c.description ->> 'alias', c.pool, c.replica,
                c.node, c.site, c.description ->> 'endpoint', c.description ->> 'door', c.description ->> 'mode', c.contract_id,
                c.price_version_id, c.input_quantity, c.cached_quantity, c.output_quantity, c.reasoning_quantity, c.audio_ms_quantity,
                c.documents_quantity, c.images_quantity, c.input_nano_eur, c.cached_nano_eur, c.output_nano_eur, c.reasoning_nano_eur,
                c.audio_ms_nano_eur, c.documents_nano_eur, c.images_nano_eur, c.cost, c.uncharged,
                (c.description ->> 'kwh_per_million_tokens')::numeric, c.status, c.http_status, c.finish_reason,
                (c.description ->> 'stream')::boolean, (c.description ->> 'max_tokens_asked')::bigint,
                (c.description ->> 'max_tokens_given')::bigint, c.description ->> 'guardrail', c.description ->> 'label', c.ttft_ms,
                c.duration_ms, c.admitted_at, now()
            from charged c
        ), rolled_up as (
            insert into billing_usage_hour as u (hour, tenant_id, project_id, key_id, model_id, mode, requests, failed_requests,
                input_quantity, cached_quantity, output_quantity, reasoning_quantity, audio_ms_quantity, documents_quantity,
                images_quantity, cost_nano_eur, uncharged_nano_eur)
            select date_trunc('hour', c.admitted_at, 'UTC'), c.tenant_id, c.project_id, c.key_id, c.model_id, c.description ->> 'mode',
                count(*), count(*) filter (where c.http_status >= 400), sum(c.input_quantity), sum(c.cached_quantity),
                sum(c.output_quantity), sum(c.reasoning_quantity), sum(c.audio_ms_quantity), sum(c.documents_quantity),
                sum(c.images_quantity), sum(c.cost), sum(c.uncharged)
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
        ), budgets as (
            update billing_budget_period bp set
                held_nano_eur = bp.held_nano_eur - g.held, spent_nano_eur = bp.spent_nano_eur + g.spent,
                cap_nano_eur = case when bp.cap_nano_eur is not null
                    then greatest(bp.limit_nano_eur, bp.spent_nano_eur + g.spent + bp.held_nano_eur - g.held) end
            from (select u.id, sum(c.amount_nano_eur) as held, sum(c.cost) as spent
                from charged c cross join unnest(c.period_ids) u (id) group by u.id) g
            where bp.id = g.id
        ), limits as (
            update billing_limit_window w set used = greatest(w.used - g.given_back, 0)
            from (
                select l.id, sum(case l.what
                    when 'concurrent' then 1
                    when 'tokens' then c.tokens
                        - least(c.tokens, c.input_quantity + c.cached_quantity + c.output_quantity + c.reasoning_quantity)
                    when 'output_tokens' then c.output_tokens - least(c.output_tokens, c.output_quantity + c.reasoning_quantity)
                    else 0 end) as given_back
                from charged c cross join unnest(c.limit_ids) u (id) join billing_limit l on l.id = u.id
                join billing_limit_window lw on lw.limit_id = l.id and (l.what = 'concurrent' or lw.starts_at <= c.admitted_at)
                group by l.id
            ) g where w.limit_id = g.id and g.given_back <> 0
        )
        select c.request_id, 'settled', c.cost, c.uncharged from charged c;
        get diagnostics v_settled = row_count;
    end if;
    if v_settled is distinct from cardinality(v_ids) then
        return query
            select i.id, case when r.request_id is null then 'unknown' else 'exists' end, r.cost_nano_eur, r.uncharged_nano_eur
            from unnest(v_ids) i (id) left join billing_usage_record r on r.request_id = i.id
            where v_held is null or i.id <> all (v_held);
    end if;
end $$;
