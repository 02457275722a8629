-- settle_v1 and what surrounds it: checkpoints, incarnations, refusals, budgets' limits.

create type billing_settlement as (
    request_id uuid, status text, http_status smallint, finish_reason text, pool text, replica text, node text, site text,
    input_quantity bigint, cached_quantity bigint, output_quantity bigint, reasoning_quantity bigint, audio_ms_quantity bigint,
    documents_quantity bigint, images_quantity bigint,
    input_nano_eur bigint, cached_nano_eur bigint, output_nano_eur bigint, reasoning_nano_eur bigint, audio_ms_nano_eur bigint,
    documents_nano_eur bigint, images_nano_eur bigint, ttft_ms int, duration_ms int
);

-- Charges a batch: the usage record, the rollup, the budgets, the limits and the end of the hold in one transaction (I2).
-- One row a request: settled (cost, uncharged), exists (settled before: its cost), unknown (no such hold or record).
create function settle_v1(p_incarnation uuid, p_batch jsonb)
returns table (request_id uuid, verdict text, cost_nano_eur bigint, uncharged_nano_eur bigint)
language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
    v_batch billing_settlement[];
    v_ids uuid[];
    v_periods bigint[];
    v_limits bigint[];
    v_settled uuid[];
begin
    perform billing_guard_v1(p_incarnation);
    select array_agg(s), array_agg(s.request_id) into v_batch, v_ids
        from (select distinct on (x.request_id) x.* from jsonb_populate_recordset(null::billing_settlement, p_batch) x) s;
    v_periods := array(select distinct unnest(h.period_ids) from billing_hold h where h.request_id = any(v_ids));
    v_limits := array(select distinct unnest(h.limit_ids) from billing_hold h where h.request_id = any(v_ids));
    perform from billing_budget_period where id = any(v_periods) order by id for update;
    perform from billing_limit_window where limit_id = any(v_limits) order by limit_id for update;
    with gone as (
        delete from billing_hold h where h.request_id = any(v_ids) returning h.*
    ), charged as (
        select g.*, s.status, s.http_status, s.finish_reason, s.pool, s.replica, s.node, s.site,
            s.input_quantity, s.cached_quantity, s.output_quantity, s.reasoning_quantity, s.audio_ms_quantity, s.documents_quantity,
            s.images_quantity, s.input_nano_eur, s.cached_nano_eur, s.output_nano_eur, s.reasoning_nano_eur, s.audio_ms_nano_eur,
            s.documents_nano_eur, s.images_nano_eur, s.ttft_ms, s.duration_ms,
            least(price.total, g.amount_nano_eur) as cost, greatest(price.total - g.amount_nano_eur, 0) as uncharged
        from gone g join unnest(v_batch) s on s.request_id = g.request_id
        cross join lateral (select s.input_nano_eur + s.cached_nano_eur + s.output_nano_eur + s.reasoning_nano_eur
            + s.audio_ms_nano_eur + s.documents_nano_eur + s.images_nano_eur as total) price
    ), recorded as (
        insert into billing_usage_record
        select c.request_id, d.parent_id, c.tenant_id, c.project_id, c.key_id, d.owner, c.model_id, d.model, d.alias, c.pool, c.replica,
            c.node, c.site, d.endpoint, d.door, d.mode, c.contract_id, c.price_version_id,
            c.input_quantity, c.cached_quantity, c.output_quantity, c.reasoning_quantity, c.audio_ms_quantity, c.documents_quantity,
            c.images_quantity, c.input_nano_eur, c.cached_nano_eur, c.output_nano_eur, c.reasoning_nano_eur, c.audio_ms_nano_eur,
            c.documents_nano_eur, c.images_nano_eur, c.cost, c.uncharged, d.kwh_per_million_tokens, c.status, c.http_status,
            c.finish_reason, d.stream, d.max_tokens_asked, d.max_tokens_given, d.guardrail, d.label, c.ttft_ms, c.duration_ms,
            c.admitted_at, now()
        from charged c cross join lateral jsonb_to_record(c.description) as d (
            parent_id uuid, owner uuid, model text, alias text, endpoint text, door text, mode text, kwh_per_million_tokens numeric,
            stream boolean, max_tokens_asked bigint, max_tokens_given bigint, guardrail text, label text)
        returning request_id
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
                when 'tokens' then c.tokens - least(c.tokens, c.input_quantity + c.cached_quantity + c.output_quantity + c.reasoning_quantity)
                when 'output_tokens' then c.output_tokens - least(c.output_tokens, c.output_quantity + c.reasoning_quantity)
                else 0 end) as given_back
            from charged c cross join unnest(c.limit_ids) u (id) join billing_limit l on l.id = u.id
            join billing_limit_window lw on lw.limit_id = l.id and (l.what = 'concurrent' or lw.starts_at <= c.admitted_at)
            group by l.id
        ) g where w.limit_id = g.id and g.given_back <> 0
    )
    select array_agg(request_id) into v_settled from recorded;
    return query
        select i.id, case when i.id = any(v_settled) then 'settled' when r.request_id is not null then 'exists' else 'unknown' end,
            r.cost_nano_eur, r.uncharged_nano_eur
        from unnest(v_ids) i (id) left join billing_usage_record r on r.request_id = i.id;
end $$;

-- Writes what running streams last reported into their holds: what a lost gateway's requests are charged (I2 d).
create function checkpoint_v1(p_incarnation uuid, p_batch jsonb) returns int
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_count int;
begin
    perform billing_guard_v1(p_incarnation);
    update billing_hold h set checkpoint = c.value
        from jsonb_each(p_batch) c where h.request_id = c.key::uuid and h.incarnation = p_incarnation;
    get diagnostics v_count = row_count;
    return v_count;
end $$;

create function begin_incarnation_v1(p_id uuid, p_host text, p_pid int) returns timestamptz
language sql security definer set search_path = public, pg_temp as $$
    insert into billing_incarnation (id, host, pid) values (p_id, p_host, p_pid) returning clock_timestamp();
$$;

-- Says that an incarnation lives. Raises BF001 for a fenced one. Answers the database's clock.
create function heartbeat_v1(p_id uuid) returns timestamptz
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    update billing_incarnation set heartbeat_at = now() where id = p_id and fenced_at is null;
    if not found then
        raise exception 'incarnation % is fenced', p_id using errcode = 'BF001';
    end if;
    return clock_timestamp();
end $$;

-- Fences an incarnation that ends by itself.
create function end_incarnation_v1(p_id uuid) returns void
language sql security definer set search_path = public, pg_temp as $$
    update billing_incarnation set fenced_at = now() where id = p_id and fenced_at is null;
$$;

-- Fences the incarnations silent for p_silence, none in the first p_grace after PostgreSQL started. Answers how many. One sweeper at a
-- time; the lock lasts for the call only, since a sweeper that is stopped while it held it would keep itself from being fenced.
create function fence_silent_v1(p_silence interval, p_grace interval) returns int
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_number int;
    v_fenced int := 0;
begin
    if pg_postmaster_start_time() > now() - p_grace or not pg_try_advisory_xact_lock(7302) then
        return 0;
    end if;
    for v_number in select number from billing_incarnation where fenced_at is null and heartbeat_at < now() - p_silence order by number
    loop
        perform pg_advisory_xact_lock(7301, v_number);
        update billing_incarnation set fenced_at = clock_timestamp()
            where number = v_number and fenced_at is null and heartbeat_at < now() - p_silence;
        if found then
            v_fenced := v_fenced + 1;
        end if;
    end loop;
    return v_fenced;
end $$;

-- Holds without a live owner, oldest first: what a sweeper settles.
create function orphaned_holds_v1(p_most int)
returns table (request_id uuid, price_version_id bigint, checkpoint jsonb, description jsonb, age_ms int)
language sql security definer set search_path = public, pg_temp as $$
    select h.request_id, h.price_version_id, h.checkpoint, h.description,
        least((extract(epoch from now() - h.admitted_at) * 1000)::bigint, 2147483647)::int
    from billing_hold h left join billing_incarnation i on i.id = h.incarnation
    where i.id is null or i.fenced_at is not null
    order by h.request_id limit p_most
$$;

-- Notes refused requests: a JSON array of {request_id, tenant_id, project_id, key_id, at, code, limit_name, model}. Repeated, it counts
-- none twice.
create function refuse_v1(p_batch jsonb) returns void
language sql security definer set search_path = public, pg_temp as $$
    with noted as (
        insert into billing_refusal select * from jsonb_populate_recordset(null::billing_refusal, p_batch)
        on conflict do nothing returning *
    )
    insert into billing_refusal_count as c (minute, tenant_id, project_id, key_id, code, refusals)
        select date_trunc('minute', r.at, 'UTC'), r.tenant_id, r.project_id, r.key_id, r.code, count(*)
        from noted r group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5
        on conflict (minute, tenant_id, project_id, key_id, code) do update set refusals = c.refusals + excluded.refusals;
$$;

-- Housekeeping: keeps the last p_kept refusals a key, forgets idempotency keys after p_memory and fenced incarnations without holds
-- after a day, makes partitions ahead. One at a time: who comes second does nothing.
create function tidy_v1(p_kept int, p_memory interval) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if not pg_try_advisory_xact_lock(7303) then
        return;
    end if;
    delete from billing_refusal r using (
        select request_id from (
            select request_id, row_number() over (partition by key_id order by at desc, request_id desc) as place from billing_refusal
        ) numbered where place > p_kept
    ) old where r.request_id = old.request_id;
    delete from billing_idempotency_key where created_at < now() - p_memory;
    delete from billing_incarnation i where i.fenced_at < now() - interval '1 day'
        and not exists (select from billing_hold h where h.incarnation = i.id);
    perform billing_prolong_usage_record_v1(24);
end $$;

-- Changes what a budget allows; the period under way follows at once, its cap sinking no lower than what is spent or held (I3).
create function set_budget_limit_v1(p_budget bigint, p_limit_nano_eur bigint) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    update billing_budget set limit_nano_eur = p_limit_nano_eur where id = p_budget;
    update billing_budget_period bp set limit_nano_eur = p_limit_nano_eur,
        cap_nano_eur = case when b.is_hard then greatest(p_limit_nano_eur, bp.spent_nano_eur + bp.held_nano_eur) end
    from billing_budget b where b.id = p_budget and bp.budget_id = b.id and bp.ends_at > now();
end $$;

-- Adds money that moved outside a request; the same idempotency key again answers the first entry's id.
create function enter_v1(p_id uuid, p_tenant bigint, p_kind text, p_amount_nano_eur bigint, p_request uuid, p_reason text,
    p_actor text, p_idempotency_key text) returns uuid
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_id uuid;
begin
    insert into billing_ledger_entry (id, tenant_id, kind, amount_nano_eur, request_id, reason, actor, idempotency_key)
        values (p_id, p_tenant, p_kind, p_amount_nano_eur, p_request, p_reason, p_actor, p_idempotency_key)
        on conflict (tenant_id, idempotency_key) do nothing;
    select id into v_id from billing_ledger_entry where tenant_id = p_tenant and idempotency_key = p_idempotency_key;
    return v_id;
end $$;

grant execute on function settle_v1, checkpoint_v1, begin_incarnation_v1, heartbeat_v1, end_incarnation_v1, fence_silent_v1,
    orphaned_holds_v1, refuse_v1, tidy_v1 to beffroi_gateway;
grant execute on function set_budget_limit_v1, enter_v1 to beffroi_app;
grant execute on function billing_period_bounds_v1, billing_instant_v1 to beffroi_app;
