-- admit_v1 again: exact where an answer was lost and where a period turns, no deadlock, and cheaper. The locking rule stays: budget
-- periods in id order, then limit windows in id order, then a later statement decides.

-- A fenced incarnation is refused (I2). A call and its incarnation's fencing exclude each other: who fences waits for the calls that began
-- before, and who calls afterwards sees the fence, as the second statement is newer than the lock.
create function billing_begin_call_v2(p_incarnation uuid) returns void language plpgsql as $$
begin
    if pg_advisory_xact_lock_shared(uuid_hash_extended(p_incarnation, 7301)) is null then
        return; -- it never is; so written, the lock needs no query of its own
    end if;
    perform from billing_incarnation where id = p_incarnation and fenced_at is null;
    if not found then
        raise exception 'incarnation % is fenced', p_incarnation using errcode = 'BF001';
    end if;
end $$;

-- A request of a batch. `is_plain`: nothing is known of it and nothing but room stands in its way, so that it may be held together with
-- others. `objection`: why it may not even be weighed.
create type billing_asked as (
    position int, request_id uuid, key_id bigint, model_id bigint, mode text, price_version_id bigint, amount bigint, tokens bigint,
    output_tokens bigint, idempotency text, description jsonb, objection text, is_plain boolean
);

-- Decides one request after its rows are locked, and holds for it where it may go. The slow, crowded way: exact, one by one.
create function billing_decide_v2(p_incarnation uuid, p_request billing_asked, p_path billing_path, out verdict text, out detail jsonb)
language plpgsql as $$
begin
    -- What an earlier call did stays done, whatever changed since: its answer may have been lost.
    if p_path.key_id is null then
        verdict := 'key_unknown';
    elsif exists (select from billing_hold where request_id = p_request.request_id) then
        verdict := 'admitted';
        detail := billing_standing_v1(p_path.limit_ids);
    elsif exists (select from billing_usage_record where request_id = p_request.request_id) then
        verdict := 'settled';
    else
        verdict := p_request.objection;
    end if;
    if verdict is not null then
        return;
    end if;
    if p_request.idempotency is not null then
        select 'repeated', jsonb_build_object('request_id', i.request_id) into verdict, detail
            from billing_idempotency_key i where i.key_id = p_request.key_id and i.digest = p_request.idempotency;
        if found then
            return;
        end if;
    end if;
    select 'budget', jsonb_build_object('budget_id', b.id, 'scope', b.scope, 'period', b.period, 'limit_nano_eur', bp.limit_nano_eur,
            'spent_nano_eur', bp.spent_nano_eur, 'held_nano_eur', bp.held_nano_eur,
            'headroom_nano_eur', greatest(bp.cap_nano_eur - bp.spent_nano_eur - bp.held_nano_eur, 0), 'may_lower_output', b.may_lower_output,
            'resets_at', case when b.period <> 'once' then bp.ends_at end)
        into verdict, detail
        from billing_budget_period bp join billing_budget b on b.id = bp.budget_id
        where bp.id = any(p_path.period_ids) and bp.spent_nano_eur + bp.held_nano_eur + p_request.amount > bp.cap_nano_eur
        order by bp.cap_nano_eur - bp.spent_nano_eur - bp.held_nano_eur limit 1;
    if found then
        return;
    end if;
    select 'limit', jsonb_build_object('limit_id', l.id, 'scope', l.scope, 'what', l.what, 'window', l.window, 'amount', l.amount,
            'used', w.used, 'asked', taken.taken,
            'seconds', case when l.what = 'concurrent' then 1 else ceil(extract(epoch from w.ends_at - now()))::int end)
        into verdict, detail
        from billing_limit_window w join billing_limit l on l.id = w.limit_id
        cross join lateral (
            select case l.what when 'tokens' then p_request.tokens when 'output_tokens' then p_request.output_tokens else 1 end as taken
        ) taken
        where w.limit_id = any(p_path.limit_ids) and w.used + taken.taken > l.amount
        order by w.ends_at desc limit 1;
    if found then
        return;
    end if;
    if p_request.idempotency is not null then
        insert into billing_idempotency_key (key_id, digest, request_id)
            values (p_request.key_id, p_request.idempotency, p_request.request_id) on conflict do nothing;
        if not found then
            select 'repeated', jsonb_build_object('request_id', i.request_id) into verdict, detail
                from billing_idempotency_key i where i.key_id = p_request.key_id and i.digest = p_request.idempotency;
            return;
        end if;
    end if;
    update billing_budget_period set held_nano_eur = held_nano_eur + p_request.amount where id = any(p_path.period_ids);
    update billing_limit_window w
        set used = used + case l.what when 'tokens' then p_request.tokens when 'output_tokens' then p_request.output_tokens else 1 end
        from billing_limit l where l.id = w.limit_id and w.limit_id = any(p_path.limit_ids);
    insert into billing_hold (request_id, incarnation, tenant_id, project_id, key_id, model_id, price_version_id, contract_id,
        period_ids, limit_ids, amount_nano_eur, tokens, output_tokens, admitted_at, description)
    values (p_request.request_id, p_incarnation, p_path.tenant_id, p_path.project_id, p_path.key_id, p_request.model_id,
        p_request.price_version_id, p_path.contract_id, p_path.period_ids, p_path.limit_ids, p_request.amount, p_request.tokens,
        p_request.output_tokens, now(), p_request.description || jsonb_build_object('owner', p_path.owner, 'mode', p_request.mode));
    verdict := 'admitted';
    detail := billing_standing_v1(p_path.limit_ids);
end $$;

-- The keys that meet a budget or a limit which has no room for all of the batch. The rows are locked by the caller.
create function billing_crowded_v2(p_requests billing_asked[], p_paths billing_path[]) returns bigint[] language plpgsql as $$
begin
    return array(
        with asking as materialized (
            select p.key_id, p.period_ids, p.limit_ids, r.requests, r.amount, r.tokens, r.output_tokens from (
                select key_id, count(*) as requests, sum(amount) as amount, sum(tokens) as tokens, sum(output_tokens) as output_tokens
                from unnest(p_requests) where objection is null group by key_id
            ) r join unnest(p_paths) p on p.key_id = r.key_id
        ), full_periods as materialized (
            select bp.id from (
                select u.id, sum(a.amount) as amount from asking a cross join unnest(a.period_ids) u (id) group by u.id
            ) n join billing_budget_period bp on bp.id = n.id
            where bp.spent_nano_eur + bp.held_nano_eur + n.amount > bp.cap_nano_eur
        ), full_limits as materialized (
            select l.id from (
                select u.id, sum(a.requests) as requests, sum(a.tokens) as tokens, sum(a.output_tokens) as output_tokens
                from asking a cross join unnest(a.limit_ids) u (id) group by u.id
            ) n join billing_limit l on l.id = n.id join billing_limit_window w on w.limit_id = n.id
            where w.used + case l.what when 'tokens' then n.tokens when 'output_tokens' then n.output_tokens else n.requests end > l.amount
        )
        select a.key_id from asking a
        where exists (select from full_periods) and a.period_ids && array(select id from full_periods)
            or exists (select from full_limits) and a.limit_ids && array(select id from full_limits)
    );
end $$;

-- Holds for the plain requests of a batch at once. All of them have room. One row each: the id and the standing.
create function billing_hold_all_v2(p_incarnation uuid, p_requests billing_asked[], p_paths billing_path[])
returns table (request_id uuid, verdict text, detail jsonb) language plpgsql as $$
#variable_conflict use_column
begin
    return query with plain as materialized (
        select * from unnest(p_requests) where is_plain
    ), asking as materialized (
        select p.key_id, p.period_ids, p.limit_ids, r.requests, r.amount, r.tokens, r.output_tokens from (
            select key_id, count(*) as requests, sum(amount) as amount, sum(tokens) as tokens, sum(output_tokens) as output_tokens
            from plain group by key_id
        ) r join unnest(p_paths) p on p.key_id = r.key_id
    ), held as (
        update billing_budget_period bp set held_nano_eur = bp.held_nano_eur + n.amount from (
            select u.id, sum(a.amount) as amount from asking a cross join unnest(a.period_ids) u (id) group by u.id
        ) n where bp.id = n.id
    ), counted as (
        update billing_limit_window w
        set used = w.used + case l.what when 'tokens' then n.tokens when 'output_tokens' then n.output_tokens else n.requests end
        from (
            select u.id, sum(a.requests) as requests, sum(a.tokens) as tokens, sum(a.output_tokens) as output_tokens
            from asking a cross join unnest(a.limit_ids) u (id) group by u.id
        ) n join billing_limit l on l.id = n.id
        where w.limit_id = n.id
        returning w.limit_id, l.what, array[greatest(l.amount - w.used, 0), l.amount,
            case when w.ends_at < timestamptz '8000-01-01 00:00Z' then ceil(extract(epoch from w.ends_at - now()))::bigint end] as figures
    ), kept as (
        insert into billing_hold (request_id, incarnation, tenant_id, project_id, key_id, model_id, price_version_id, contract_id,
            period_ids, limit_ids, amount_nano_eur, tokens, output_tokens, admitted_at, description)
        select r.request_id, p_incarnation, p.tenant_id, p.project_id, p.key_id, r.model_id, r.price_version_id, p.contract_id,
            p.period_ids, p.limit_ids, r.amount, r.tokens, r.output_tokens, now(),
            r.description || jsonb_build_object('owner', p.owner, 'mode', r.mode)
        from plain r join unnest(p_paths) p on p.key_id = r.key_id order by r.position
    ), tightest as (
        select a.key_id, min(c.figures) filter (where c.what = 'requests') as requests, min(c.figures) filter (where c.what = 'tokens') as tokens
        from asking a cross join unnest(a.limit_ids) u (id) join counted c on c.limit_id = u.id
        where c.what in ('requests', 'tokens') group by a.key_id
    )
    select r.request_id, 'admitted', s.standing from plain r left join (
        select key_id, jsonb_strip_nulls(jsonb_build_object(
            'requests', case when requests is not null then jsonb_build_array(requests[2], requests[1], requests[3]) end,
            'tokens', case when tokens is not null then jsonb_build_array(tokens[2], tokens[1], tokens[3]) end)) as standing
        from tightest
    ) s on s.key_id = r.key_id;
end $$;

-- Admits a batch of requests, given as a JSON array of objects with the members of billing_request. One row a request:
--   admitted (detail: standing), settled, stale, key_unknown, key_revoked, key_expired, project_archived, tenant_suspended,
--   no_contract, repeated (detail: request_id), budget or limit (detail: which, its figures, when it frees).
-- Repeated with the same ids and `replay` it answers the same and moves nothing. The requests that anything is special about come after the
-- others; those with idempotency keys last, in the order of these keys, which is the order in which they are locked.
create or replace function admit_v1(p_incarnation uuid, p_batch jsonb) returns table (request_id uuid, verdict text, detail jsonb)
language plpgsql security definer set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
set enable_seqscan = off as $$
#variable_conflict use_column
declare
    v_requests billing_asked[];
    v_paths billing_path[];
    v_periods bigint[];
    v_limits bigint[];
    v_tenants bigint[];
    v_plain int;
    v_turned boolean;
    v_request billing_asked;
    v_path billing_path;
    v_crowded bigint[] := '{}';
begin
    perform billing_begin_call_v2(p_incarnation);
    for v_round in 1..4 loop
        with asked as materialized (
            select * from jsonb_to_recordset(p_batch) as r (
                position int, request_id uuid, key_id bigint, key_version bigint, tenant_version bigint, model_id bigint, mode text,
                price_version_id bigint, amount bigint, tokens bigint, output_tokens bigint, idempotency text, description jsonb, replay boolean)
        ), path as materialized (
            select k.id as key_id, k.project_id, k.tenant_id, k.policy_version as key_version, t.policy_version as tenant_version,
                case when k.revoked_at is not null then 'key_revoked'
                     when k.expires_at <= now() then 'key_expired'
                     when p.status <> 'active' then 'project_archived'
                     when t.status <> 'active' then 'tenant_suspended'
                     when c.id is null then 'no_contract' end as refused,
                o.pseudonym as owner, c.id as contract_id, c.rate_card_id, b.period_ids, l.limit_ids, b.incomplete or l.incomplete as incomplete
            -- Each `offset 0` makes a look-up by index of what the planner would turn into a join of whole tables, as long as they are small.
            from (select distinct key_id from asked) a
            cross join lateral (select * from identity_apikey where id = a.key_id offset 0) k
            cross join lateral (select status from identity_project where id = k.project_id offset 0) p
            cross join lateral (select status, policy_version from identity_tenant where id = k.tenant_id offset 0) t
            left join lateral (select pseudonym from identity_person where id = k.owner_id offset 0) o on true
            left join lateral (select id, rate_card_id from billing_contract where tenant_id = k.tenant_id and ends_at is null offset 0) c on true
            cross join lateral (
                select coalesce(array_agg(bp.id) filter (where bp.id is not null), '{}') as period_ids,
                    coalesce(bool_or(bp.id is null), false) as incomplete
                from (
                    select id from billing_budget where scope = 'tenant' and scope_id = k.tenant_id and is_active
                    union all select id from billing_budget where scope = 'project' and scope_id = k.project_id and is_active
                    union all select id from billing_budget where scope = 'key' and scope_id = k.id and is_active
                ) x
                -- The first that has not ended: at the turn the next one may be there already, opened by who began after us.
                left join lateral (
                    select id from billing_budget_period where budget_id = x.id and ends_at > now() order by ends_at limit 1
                ) bp on true
            ) b
            cross join lateral (
                select coalesce(array_agg(x.id), '{}') as limit_ids, coalesce(bool_or(w.limit_id is null), false) as incomplete
                from (
                    select id from billing_limit where scope = 'tenant' and scope_id = k.tenant_id and is_active
                    union all select id from billing_limit where scope = 'project' and scope_id = k.project_id and is_active
                    union all select id from billing_limit where scope = 'key' and scope_id = k.id and is_active
                ) x
                left join lateral (select limit_id from billing_limit_window where limit_id = x.id offset 0) w on true
            ) l
        ), price as materialized (
            select d.rate_card_id, d.model_id, d.mode, (
                select v.id from billing_priceversion v
                where v.rate_card_id = d.rate_card_id and v.model_id = d.model_id and v.mode = d.mode and v.valid_from <= now()
                order by v.valid_from desc limit 1
            ) as version
            from (select distinct p.rate_card_id, a.model_id, a.mode from asked a join path p on p.key_id = a.key_id) d
        ), weighed as materialized (
            select a.*, case
                    when p.refused is not null then p.refused
                    when p.key_version <> a.key_version or p.tenant_version <> a.tenant_version
                        or a.price_version_id is distinct from f.version then 'stale' end as objection,
                p.key_id is not null and a.idempotency is null and a.replay is null
                    and not exists (select from billing_hold h where h.request_id = a.request_id)
                    and (select count(*) = count(distinct request_id) from asked) as is_new
            from asked a left join path p on p.key_id = a.key_id
            left join price f on f.rate_card_id = p.rate_card_id and f.model_id = a.model_id and f.mode = a.mode
        )
        select array_agg(row(w.position, w.request_id, w.key_id, w.model_id, w.mode, w.price_version_id, w.amount, w.tokens, w.output_tokens,
                    w.idempotency, w.description, w.objection, w.is_new and w.objection is null)::billing_asked
                order by w.idempotency is not null, case when w.idempotency is not null then w.key_id end, w.idempotency, w.position),
            count(*) filter (where w.is_new and w.objection is null),
            (select array_agg(row(p.*)::billing_path) from path p),
            array(select distinct unnest(p.period_ids) from path p),
            array(select distinct unnest(p.limit_ids) from path p),
            (select array_agg(distinct p.tenant_id) from path p where (select bool_or(incomplete) from path))
        into v_requests, v_plain, v_paths, v_periods, v_limits, v_tenants
        from weighed w;
        exit when v_tenants is null;
        perform billing_open_periods_v1(v_tenants);
    end loop;
    if v_tenants is not null then
        raise exception 'periods do not open';
    end if;
    perform from billing_budget_period where id = any(v_periods) order by id for update;
    select bool_or(ends_at <= now()) into v_turned
        from (select ends_at from billing_limit_window where limit_id = any(v_limits) order by limit_id for update) w;
    if v_turned then
        perform billing_turn_windows_v1(v_limits);
    end if;
    v_crowded := billing_crowded_v2(v_requests, v_paths);
    if v_crowded <> '{}' then
        select array_agg(row(r.position, r.request_id, r.key_id, r.model_id, r.mode, r.price_version_id, r.amount, r.tokens, r.output_tokens,
                r.idempotency, r.description, r.objection, r.is_plain and r.key_id <> all (v_crowded))::billing_asked order by n)
            into v_requests from unnest(v_requests) with ordinality r (position, request_id, key_id, model_id, mode, price_version_id,
                amount, tokens, output_tokens, idempotency, description, objection, is_plain, n);
    end if;
    return query select h.request_id, h.verdict, h.detail from billing_hold_all_v2(p_incarnation, v_requests, v_paths) h;
    if v_plain = cardinality(v_requests) and v_crowded = '{}' then
        return;
    end if;
    foreach v_request in array v_requests loop
        continue when v_request.is_plain;
        v_path := null;
        select p.* into v_path from unnest(v_paths) p where p.key_id = v_request.key_id;
        select v_request.request_id, d.verdict, d.detail into request_id, verdict, detail
            from billing_decide_v2(p_incarnation, v_request, v_path) d;
        return next;
    end loop;
end $$;
