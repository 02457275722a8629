-- admit_v1: through which inference reserves money. The locking rule: budget periods in id order, then limit windows in id order,
-- then a later statement decides (a statement that locks and sums sees old sums). Windows and periods are cut by now().

-- The instant of a local time: of two (clocks were put back), the first, so that a period never begins after it began.
create function billing_instant_v1(local_time timestamp, zone text) returns timestamptz language sql immutable as $$
    select case when (i.instant - interval '1 hour') at time zone zone = local_time then i.instant - interval '1 hour' else i.instant end
    from (select local_time at time zone zone as instant) i
$$;

-- The period or window around an instant, in a time zone. Minutes and hours are cut in UTC: by the clock on the wall, the hour that comes
-- twice in autumn would make a minute last for 61.
create function billing_period_bounds_v1(period text, zone text, at timestamptz, out starts_at timestamptz, out ends_at timestamptz)
language plpgsql immutable as $$
declare
    v_local timestamp;
begin
    if period in ('minute', 'hour') then
        starts_at := date_trunc(period, at, 'UTC');
        ends_at := starts_at + ('1 ' || period)::interval;
    else
        v_local := date_trunc(period, at at time zone zone);
        starts_at := billing_instant_v1(v_local, zone);
        ends_at := billing_instant_v1(v_local + case period when 'quarter' then interval '3 months' else ('1 ' || period)::interval end, zone);
    end if;
end $$;

-- A fenced incarnation is refused (I2). The shared advisory lock makes a sweeper wait for calls that began before it fenced.
create function billing_guard_v1(p_incarnation uuid) returns void language plpgsql as $$
declare
    v_number int;
begin
    select number into v_number from billing_incarnation where id = p_incarnation;
    if v_number is not null then
        perform pg_advisory_xact_lock_shared(7301, v_number);
        perform from billing_incarnation where id = p_incarnation and fenced_at is null;
        if found then
            return;
        end if;
    end if;
    raise exception 'incarnation % is fenced', p_incarnation using errcode = 'BF001';
end $$;

-- What a key's requests are bound by. One row a key; the periods of its budgets and the windows of its limits exist afterwards.
create type billing_path as (
    key_id bigint, project_id bigint, tenant_id bigint, key_version bigint, tenant_version bigint, refused text,
    owner uuid, contract_id bigint, rate_card_id bigint, period_ids bigint[], limit_ids bigint[], incomplete boolean
);

create function billing_paths_v1(p_keys bigint[]) returns setof billing_path language sql stable as $$
    select k.id, k.project_id, k.tenant_id, k.policy_version, t.policy_version,
        case when k.revoked_at is not null then 'key_revoked'
             when k.expires_at <= now() then 'key_expired'
             when p.status <> 'active' then 'project_archived'
             when t.status <> 'active' then 'tenant_suspended'
             when c.id is null then 'no_contract' end,
        o.pseudonym, c.id, c.rate_card_id, b.period_ids, l.limit_ids, b.incomplete or l.incomplete
    from identity_apikey k
    join identity_project p on p.id = k.project_id
    join identity_tenant t on t.id = k.tenant_id
    left join identity_person o on o.id = k.owner_id
    left join billing_contract c on c.tenant_id = t.id and c.ends_at is null
    cross join lateral (
        select coalesce(array_agg(bp.id order by bp.id) filter (where bp.id is not null), '{}') as period_ids,
            coalesce(bool_or(bp.id is null), false) as incomplete
        from billing_budget b
        left join billing_budget_period bp on bp.budget_id = b.id and bp.ends_at > now()
        where b.tenant_id = t.id and b.is_active
            and ((b.scope = 'tenant' and b.scope_id = t.id) or (b.scope = 'project' and b.scope_id = p.id)
                or (b.scope = 'key' and b.scope_id = k.id))
    ) b
    cross join lateral (
        select coalesce(array_agg(lm.id order by lm.id), '{}') as limit_ids, coalesce(bool_or(w.limit_id is null), false) as incomplete
        from billing_limit lm
        left join billing_limit_window w on w.limit_id = lm.id
        where lm.tenant_id = t.id and lm.is_active
            and ((lm.scope = 'tenant' and lm.scope_id = t.id) or (lm.scope = 'project' and lm.scope_id = p.id)
                or (lm.scope = 'key' and lm.scope_id = k.id))
    ) l
    where k.id = any(p_keys)
$$;

-- Opens the current period of the tenants' budgets and a window for each of their limits, where they are missing.
create function billing_open_periods_v1(p_tenants bigint[]) returns void language plpgsql as $$
begin
    -- Whoever changes one of these limits now comes before or after us, not between our reading and our writing.
    perform from billing_budget where tenant_id = any(p_tenants) and is_active order by id for share;
    insert into billing_budget_period (budget_id, starts_at, ends_at, limit_nano_eur, cap_nano_eur)
    select b.id, greatest(s.starts_at, (select max(p.ends_at) from billing_budget_period p where p.budget_id = b.id and p.ends_at <= now())), s.ends_at, b.limit_nano_eur, case when b.is_hard then b.limit_nano_eur end
    from billing_budget b
    join identity_tenant t on t.id = b.tenant_id
    cross join lateral (
        select x.starts_at, x.ends_at from billing_period_bounds_v1(b.period, t.time_zone, now()) x where b.period <> 'once'
        union all
        select timestamptz '1970-01-01 00:00Z', timestamptz '9000-01-01 00:00Z' where b.period = 'once'
    ) s
    where b.tenant_id = any(p_tenants) and b.is_active
        and not exists (select from billing_budget_period bp where bp.budget_id = b.id and bp.ends_at > now())
    order by b.id
    on conflict do nothing;
    insert into billing_limit_window (limit_id, starts_at, ends_at, used)
    select l.id, timestamptz '1970-01-01 00:00Z',
        case when l.what = 'concurrent' then timestamptz '9000-01-01 00:00Z' else timestamptz '1970-01-01 00:00Z' end, 0
    from billing_limit l
    where l.tenant_id = any(p_tenants) and l.is_active and not exists (select from billing_limit_window w where w.limit_id = l.id)
    order by l.id
    on conflict do nothing;
end $$;

create type billing_request as (
    position int, request_id uuid, key_id bigint, key_version bigint, tenant_version bigint, model_id bigint, mode text,
    price_version_id bigint, amount bigint, tokens bigint, output_tokens bigint, idempotency text, description jsonb
);

-- How much of a limit a request takes.
create function billing_takes_v1(what text, request billing_request) returns bigint language sql immutable as $$
    select case what when 'tokens' then request.tokens when 'output_tokens' then request.output_tokens else 1 end
$$;

-- Turns over the windows that have ended. The rows are locked by the caller.
create function billing_turn_windows_v1(p_limits bigint[]) returns void language sql as $$
    update billing_limit_window w set starts_at = s.starts_at, ends_at = s.ends_at, used = 0
    from billing_limit l join identity_tenant t on t.id = l.tenant_id,
        lateral billing_period_bounds_v1(case l.window when 'none' then 'day' else l.window end, t.time_zone, now()) s
    where w.limit_id = any(p_limits) and l.id = w.limit_id and w.ends_at <= now()
$$;

-- Where a path stands: the tightest limit of each kind, for the x-ratelimit headers. Seconds are until the window turns.
create function billing_standing_v1(p_limits bigint[]) returns jsonb language sql stable as $$
    select jsonb_object_agg(what, jsonb_build_array(amount, remaining, seconds)) from (
        select distinct on (l.what) l.what, l.amount, greatest(l.amount - w.used, 0) as remaining,
            case when l.what = 'concurrent' then 0 else ceil(extract(epoch from w.ends_at - now()))::int end as seconds
        from billing_limit l join billing_limit_window w on w.limit_id = l.id
        where l.id = any(p_limits) and l.what in ('requests', 'tokens')
        order by l.what, greatest(l.amount - w.used, 0)
    ) tightest
$$;

create function billing_hold_v1(p_incarnation uuid, p_request billing_request, p_path billing_path) returns void language sql as $$
    insert into billing_hold (request_id, incarnation, tenant_id, project_id, key_id, model_id, price_version_id, contract_id,
        period_ids, limit_ids, amount_nano_eur, tokens, output_tokens, admitted_at, description)
    values (p_request.request_id, p_incarnation, p_path.tenant_id, p_path.project_id, p_path.key_id, p_request.model_id,
        p_request.price_version_id, p_path.contract_id, p_path.period_ids, p_path.limit_ids, p_request.amount, p_request.tokens,
        p_request.output_tokens, now(), p_request.description || jsonb_build_object('owner', p_path.owner, 'mode', p_request.mode))
$$;

-- Decides one request after its rows are locked, and holds for it where it may go. The slow, crowded way: exact, one by one.
create function billing_admit_one_v1(p_incarnation uuid, p_request billing_request, p_path billing_path, out verdict text, out detail jsonb)
language plpgsql as $$
begin
    perform from billing_hold where request_id = p_request.request_id;
    if found then
        verdict := 'admitted';
        return;
    end if;
    perform from billing_usage_record where request_id = p_request.request_id;
    if found then
        verdict := 'settled';
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
            'used', w.used, 'asked', billing_takes_v1(l.what, p_request),
            'seconds', case when l.what = 'concurrent' then 1 else ceil(extract(epoch from w.ends_at - now()))::int end)
        into verdict, detail
        from billing_limit_window w join billing_limit l on l.id = w.limit_id
        where w.limit_id = any(p_path.limit_ids) and w.used + billing_takes_v1(l.what, p_request) > l.amount
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
    update billing_limit_window w set used = used + billing_takes_v1(l.what, p_request)
        from billing_limit l where l.id = w.limit_id and w.limit_id = any(p_path.limit_ids);
    perform billing_hold_v1(p_incarnation, p_request, p_path);
    verdict := 'admitted';
end $$;

-- Why a request may not even be weighed: null when it may.
create function billing_objection_v1(p_request billing_request, p_path billing_path) returns text language sql stable as $$
    select case
        when p_path.key_id is null then 'key_unknown'
        when p_path.refused is not null then p_path.refused
        when p_path.key_version <> p_request.key_version or p_path.tenant_version <> p_request.tenant_version then 'stale'
        when p_request.price_version_id is distinct from (
            select v.id from billing_priceversion v
            where v.rate_card_id = p_path.rate_card_id and v.model_id = p_request.model_id and v.mode = p_request.mode
                and v.valid_from <= now()
            order by v.valid_from desc limit 1
        ) then 'stale' end
$$;

-- Holds for a whole batch at once when all of it fits; false (and nothing moved) when it does not.
create function billing_admit_all_v1(p_incarnation uuid, p_requests billing_request[], p_paths billing_path[]) returns boolean
language plpgsql as $$
begin
    perform from (
        select u.id, sum(r.amount) as amount
        from unnest(p_requests) r join unnest(p_paths) p on p.key_id = r.key_id cross join unnest(p.period_ids) u (id) group by u.id
    ) need join billing_budget_period bp on bp.id = need.id
        where bp.spent_nano_eur + bp.held_nano_eur + need.amount > bp.cap_nano_eur;
    if found then
        return false;
    end if;
    perform from (
        select l.id, l.amount as allowed, sum(billing_takes_v1(l.what, r)) as taken
        from unnest(p_requests) r join unnest(p_paths) p on p.key_id = r.key_id cross join unnest(p.limit_ids) u (id)
            join billing_limit l on l.id = u.id group by l.id
    ) need join billing_limit_window w on w.limit_id = need.id where w.used + need.taken > need.allowed;
    if found then
        return false;
    end if;
    update billing_budget_period bp set held_nano_eur = bp.held_nano_eur + need.amount
        from (
            select u.id, sum(r.amount) as amount
            from unnest(p_requests) r join unnest(p_paths) p on p.key_id = r.key_id cross join unnest(p.period_ids) u (id) group by u.id
        ) need where bp.id = need.id;
    update billing_limit_window w set used = w.used + need.taken
        from (
            select l.id, sum(billing_takes_v1(l.what, r)) as taken
            from unnest(p_requests) r join unnest(p_paths) p on p.key_id = r.key_id cross join unnest(p.limit_ids) u (id)
                join billing_limit l on l.id = u.id group by l.id
        ) need where w.limit_id = need.id;
    insert into billing_hold (request_id, incarnation, tenant_id, project_id, key_id, model_id, price_version_id, contract_id,
        period_ids, limit_ids, amount_nano_eur, tokens, output_tokens, admitted_at, description)
    select r.request_id, p_incarnation, p.tenant_id, p.project_id, p.key_id, r.model_id, r.price_version_id, p.contract_id,
        p.period_ids, p.limit_ids, r.amount, r.tokens, r.output_tokens, now(),
        r.description || jsonb_build_object('owner', p.owner, 'mode', r.mode)
    from unnest(p_requests) r join unnest(p_paths) p on p.key_id = r.key_id;
    return true;
end $$;

-- Admits a batch of requests, given as a JSON array of objects with the members of billing_request. One row a request:
--   admitted (detail: standing), settled, stale, key_unknown, key_revoked, key_expired, project_archived, tenant_suspended,
--   no_contract, repeated (detail: request_id), budget or limit (detail: which, its figures, when it frees).
-- Repeated with the same ids it answers the same and moves nothing.
create function admit_v1(p_incarnation uuid, p_batch jsonb) returns table (request_id uuid, verdict text, detail jsonb)
language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
    v_requests billing_request[];
    v_paths billing_path[];
    v_periods bigint[];
    v_limits bigint[];
    v_simple boolean;
    v_request billing_request;
    v_path billing_path;
    v_verdict text;
    v_detail jsonb;
begin
    perform billing_guard_v1(p_incarnation);
    select array_agg(r order by r.position) into v_requests from jsonb_populate_recordset(null::billing_request, p_batch) r;
    select array_agg(p) into v_paths from billing_paths_v1(array(select distinct r.key_id from unnest(v_requests) r)) p;
    perform from unnest(v_paths) p where p.incomplete;
    if found then
        perform billing_open_periods_v1(array(select distinct p.tenant_id from unnest(v_paths) p));
        select array_agg(p) into v_paths from billing_paths_v1(array(select distinct r.key_id from unnest(v_requests) r)) p;
    end if;
    v_periods := array(select distinct unnest(p.period_ids) from unnest(v_paths) p);
    v_limits := array(select distinct unnest(p.limit_ids) from unnest(v_paths) p);
    perform from billing_budget_period where id = any(v_periods) order by id for update;
    perform from billing_limit_window where limit_id = any(v_limits) order by limit_id for update;
    perform from billing_limit_window where limit_id = any(v_limits) and ends_at <= now();
    if found then
        perform billing_turn_windows_v1(v_limits);
    end if;
    select count(distinct r.request_id) = count(*) and bool_and(r.idempotency is null)
            and bool_and(billing_objection_v1(r, p) is null)
            and not exists (select from billing_hold h where h.request_id = any(array_agg(r.request_id)))
        into v_simple from unnest(v_requests) r left join unnest(v_paths) p on p.key_id = r.key_id;
    if v_simple and not exists (select from jsonb_array_elements(p_batch) b where b.value ? 'replay')
            and billing_admit_all_v1(p_incarnation, v_requests, v_paths) then
        return query select r.request_id, 'admitted', s.standing
            from unnest(v_requests) r
            join (select p.key_id, billing_standing_v1(p.limit_ids) as standing from unnest(v_paths) p) s on s.key_id = r.key_id;
        return;
    end if;
    foreach v_request in array v_requests loop
        v_path := null;
        select p.* into v_path from unnest(v_paths) p where p.key_id = v_request.key_id;
        v_detail := null;
        v_verdict := billing_objection_v1(v_request, v_path);
        if v_verdict is null then
            select o.verdict, o.detail into v_verdict, v_detail from billing_admit_one_v1(p_incarnation, v_request, v_path) o;
            if v_verdict = 'admitted' then
                v_detail := billing_standing_v1(v_path.limit_ids);
            end if;
        end if;
        request_id := v_request.request_id;
        verdict := v_verdict;
        detail := v_detail;
        return next;
    end loop;
end $$;
grant execute on function admit_v1 to beffroi_gateway;
