-- admit_v1 again: exact where an answer was lost and where a period turns, no deadlock, and cheaper. The locking rule stays: budget
-- periods in id order, then limit windows in id order, then a later statement decides.

-- A fenced incarnation is refused (I2). A call and its incarnation's fencing exclude each other: who fences waits for the calls that began
-- before, and who calls afterwards sees the fence, as the statement that looks is newer than the lock. Two functions, as the lock costs no
-- query of its own where it is an expression, and a caller may look in a statement that it needs anyway.
create function billing_refuse_fenced_v2(p_incarnation uuid) returns void language plpgsql as $$
begin
    raise exception 'incarnation % is fenced', p_incarnation using errcode = 'BF001';
end $$;

create function billing_begin_call_v2(p_incarnation uuid) returns void language plpgsql as $$
begin
    if pg_advisory_xact_lock_shared(uuid_hash_extended(p_incarnation, 7301)) is null then
        return; -- it never is
    end if;
    perform from billing_incarnation where id = p_incarnation and fenced_at is null;
    if not found then
        perform billing_refuse_fenced_v2(p_incarnation);
    end if;
end $$;

-- A request of a batch with the path of its key: what it is bound by. `objection`: why it may not even be weighed. `is_plain`: nothing is known
-- of it and only room can stand in its way, so that it may be held together with others.
create type billing_asked as (
    request_id uuid, key_id bigint, model_id bigint, mode text, price_version_id bigint, amount bigint, tokens bigint, output_tokens bigint,
    idempotency text, description jsonb, tenant_id bigint, project_id bigint, owner uuid, contract_id bigint,
    period_ids bigint[], limit_ids bigint[], objection text, is_plain boolean
);

-- Decides one request after its rows are locked, and holds for it where it may go. The slow, crowded way: exact, one by one.
create function billing_decide_v2(p_incarnation uuid, p_request billing_asked, out verdict text, out detail jsonb)
language plpgsql as $$
begin
    -- What an earlier call did stays done, whatever changed since: its answer may have been lost.
    if exists (select from billing_hold where request_id = p_request.request_id) then
        verdict := 'admitted';
        detail := billing_standing_v1(p_request.limit_ids);
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
        where bp.id = any(p_request.period_ids) and bp.spent_nano_eur + bp.held_nano_eur + p_request.amount > bp.cap_nano_eur
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
        where w.limit_id = any(p_request.limit_ids) and w.used + taken.taken > l.amount
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
    update billing_budget_period set held_nano_eur = held_nano_eur + p_request.amount where id = any(p_request.period_ids);
    update billing_limit_window w
        set used = used + case l.what when 'tokens' then p_request.tokens when 'output_tokens' then p_request.output_tokens else 1 end
        from billing_limit l where l.id = w.limit_id and w.limit_id = any(p_request.limit_ids);
    insert into billing_hold (request_id, incarnation, tenant_id, project_id, key_id, model_id, price_version_id, contract_id,
        period_ids, limit_ids, amount_nano_eur, tokens, output_tokens, admitted_at, description)
    values (p_request.request_id, p_incarnation, p_request.tenant_id, p_request.project_id, p_request.key_id, p_request.model_id,
        p_request.price_version_id, p_request.contract_id, p_request.period_ids, p_request.limit_ids, p_request.amount, p_request.tokens,
        p_request.output_tokens, now(), p_request.description || jsonb_build_object('owner', p_request.owner, 'mode', p_request.mode));
    verdict := 'admitted';
    detail := billing_standing_v1(p_request.limit_ids);
end $$;

-- Holds for the plain requests of a batch at once, where there is room for the whole batch: one row each. No row, and nothing moved, where
-- there is not. The budget periods and limit windows are locked by the caller.
create function billing_hold_all_v2(p_incarnation uuid, p_requests billing_asked[], p_periods bigint[], p_limits bigint[])
returns table (request_id uuid, verdict text, detail jsonb) language plpgsql set enable_nestloop = off as $$
#variable_conflict use_column
begin
    return query with asking as materialized (
        select * from unnest(p_requests) where objection is null
    ), money as materialized (
        select u.id, sum(a.amount) as amount, coalesce(sum(a.amount) filter (where a.is_plain), 0) as held
        from asking a cross join unnest(a.period_ids) u (id) group by u.id
    ), room as materialized (
        select n.id, l.what, l.amount as allowed,
            case l.what when 'tokens' then n.tokens when 'output_tokens' then n.output_tokens else n.requests end as taken,
            case l.what when 'tokens' then n.held_tokens when 'output_tokens' then n.held_output_tokens else n.held_requests end as held
        from (
            select u.id, count(*) as requests, sum(a.tokens) as tokens, sum(a.output_tokens) as output_tokens,
                count(*) filter (where a.is_plain) as held_requests,
                coalesce(sum(a.tokens) filter (where a.is_plain), 0) as held_tokens,
                coalesce(sum(a.output_tokens) filter (where a.is_plain), 0) as held_output_tokens
            from asking a cross join unnest(a.limit_ids) u (id) group by u.id
        ) n join billing_limit l on l.id = n.id and l.id = any(p_limits)
    ), fits as materialized (
        select not exists (
            select from money n join billing_budget_period bp on bp.id = n.id and bp.id = any(p_periods)
            where bp.spent_nano_eur + bp.held_nano_eur + n.amount > bp.cap_nano_eur
        ) and not exists (
            select from room n join billing_limit_window w on w.limit_id = n.id and w.limit_id = any(p_limits) where w.used + n.taken > n.allowed
        ) as yes
    ), held as (
        update billing_budget_period bp set held_nano_eur = bp.held_nano_eur + n.held
        from money n where bp.id = n.id and bp.id = any(p_periods) and (select yes from fits)
    ), counted as (
        update billing_limit_window w set used = w.used + n.held
        from room n where w.limit_id = n.id and w.limit_id = any(p_limits) and (select yes from fits)
        returning w.limit_id, n.what, array[greatest(n.allowed - w.used, 0), n.allowed, ceil(extract(epoch from w.ends_at - now()))] as figures
    ), kept as (
        insert into billing_hold (request_id, incarnation, tenant_id, project_id, key_id, model_id, price_version_id, contract_id,
            period_ids, limit_ids, amount_nano_eur, tokens, output_tokens, admitted_at, description)
        select a.request_id, p_incarnation, a.tenant_id, a.project_id, a.key_id, a.model_id, a.price_version_id, a.contract_id,
            a.period_ids, a.limit_ids, a.amount, a.tokens, a.output_tokens, now(),
            a.description || jsonb_build_object('owner', a.owner, 'mode', a.mode)
        from asking a where a.is_plain and (select yes from fits)
    ), standing as materialized (
        select t.key_id, jsonb_strip_nulls(jsonb_build_object(
            'requests', case when t.requests is not null then jsonb_build_array(t.requests[2], t.requests[1], t.requests[3]) end,
            'tokens', case when t.tokens is not null then jsonb_build_array(t.tokens[2], t.tokens[1], t.tokens[3]) end)) as standing
        from (
            select a.key_id, min(c.figures) filter (where c.what = 'requests') as requests,
                min(c.figures) filter (where c.what = 'tokens') as tokens
            from asking a cross join unnest(a.limit_ids) u (id) join counted c on c.limit_id = u.id
            where c.what in ('requests', 'tokens') group by a.key_id
        ) t
    )
    select a.request_id, 'admitted', s.standing from asking a left join standing s on s.key_id = a.key_id
    where a.is_plain and (select yes from fits);
end $$;

-- The batch again, without `is_plain` for those who meet a budget or a limit that has no room for all: they are decided one by one.
create function billing_without_crowd_v2(p_requests billing_asked[]) returns billing_asked[] language plpgsql as $$
declare
    v_periods bigint[];
    v_limits bigint[];
begin
    v_periods := array(
        select n.id from (
            select u.id, sum(r.amount) as amount from unnest(p_requests) r cross join unnest(r.period_ids) u (id)
            where r.objection is null group by u.id
        ) n join billing_budget_period bp on bp.id = n.id where bp.spent_nano_eur + bp.held_nano_eur + n.amount > bp.cap_nano_eur
    );
    v_limits := array(
        select n.id from (
            select u.id, count(*) as requests, sum(r.tokens) as tokens, sum(r.output_tokens) as output_tokens
            from unnest(p_requests) r cross join unnest(r.limit_ids) u (id) where r.objection is null group by u.id
        ) n join billing_limit l on l.id = n.id join billing_limit_window w on w.limit_id = n.id
        where w.used + case l.what when 'tokens' then n.tokens when 'output_tokens' then n.output_tokens else n.requests end > l.amount
    );
    for i in 1..cardinality(p_requests) loop
        if p_requests[i].period_ids && v_periods or p_requests[i].limit_ids && v_limits then
            p_requests[i].is_plain := false;
        end if;
    end loop;
    return p_requests;
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
    v_plain int;
    v_periods bigint[];
    v_limits bigint[];
    v_tenants bigint[];
    v_turned boolean;
    v_held int := 0;
    v_is_alive boolean;
    v_request billing_asked;
begin
    if pg_advisory_xact_lock_shared(uuid_hash_extended(p_incarnation, 7301)) is null then
        return; -- it never is: see billing_begin_call_v2
    end if;
    for v_round in 1..4 loop
        with asked as materialized (
            select * from rows from (jsonb_to_recordset(p_batch) as (
                request_id uuid, key_id bigint, key_version bigint, tenant_version bigint, model_id bigint, mode text,
                price_version_id bigint, amount bigint, tokens bigint, output_tokens bigint, idempotency text, description jsonb, replay boolean)
            ) with ordinality as r (request_id, key_id, key_version, tenant_version, model_id, mode, price_version_id, amount, tokens,
                output_tokens, idempotency, description, replay, position)
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
            select a.*, p.tenant_id, p.project_id, p.owner, p.contract_id, p.period_ids, p.limit_ids, case
                    when p.key_id is null then 'key_unknown'
                    when p.refused is not null then p.refused
                    when p.key_version <> a.key_version or p.tenant_version <> a.tenant_version
                        or a.price_version_id is distinct from f.version then 'stale' end as objection,
                a.idempotency is null and a.replay is null
                    and a.request_id <> all (array(
                        select h.request_id from billing_hold h where h.request_id = any(array(select request_id from asked))))
                    and (select count(*) = count(distinct request_id) from asked) as is_new
            from asked a left join path p on p.key_id = a.key_id
            left join price f on f.rate_card_id = p.rate_card_id and f.model_id = a.model_id and f.mode = a.mode
        )
        select array_agg(row(w.request_id, w.key_id, w.model_id, w.mode, w.price_version_id, w.amount, w.tokens, w.output_tokens,
                    w.idempotency, w.description, w.tenant_id, w.project_id, w.owner, w.contract_id, w.period_ids, w.limit_ids, w.objection,
                    w.is_new and w.objection is null)::billing_asked
                order by w.idempotency is not null, case when w.idempotency is not null then w.key_id end, w.idempotency, w.position),
            count(*) filter (where w.is_new and w.objection is null),
            array(select distinct unnest(p.period_ids) from path p),
            array(select distinct unnest(p.limit_ids) from path p),
            (select array_agg(distinct p.tenant_id) from path p where (select bool_or(incomplete) from path)),
            exists (select from billing_incarnation where id = p_incarnation and fenced_at is null)
        into v_requests, v_plain, v_periods, v_limits, v_tenants, v_is_alive
        from weighed w;
        if not v_is_alive then
            perform billing_refuse_fenced_v2(p_incarnation);
        end if;
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
    if v_plain > 0 then
        return query select * from billing_hold_all_v2(p_incarnation, v_requests, v_periods, v_limits);
        get diagnostics v_held = row_count;
        if v_held = 0 then
            v_requests := billing_without_crowd_v2(v_requests);
            return query select * from billing_hold_all_v2(p_incarnation,
                array(select r from unnest(v_requests) r where r.is_plain), v_periods, v_limits);
            get diagnostics v_held = row_count;
        end if;
    end if;
    if v_held = cardinality(v_requests) then
        return;
    end if;
    foreach v_request in array v_requests loop
        continue when v_request.is_plain;
        select v_request.request_id, d.verdict, d.detail into request_id, verdict, detail from billing_decide_v2(p_incarnation, v_request) d;
        return next;
    end loop;
end $$;
