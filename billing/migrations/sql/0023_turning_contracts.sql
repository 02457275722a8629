-- Agreements begin and end at their instant, whoever looks and whenever: no request is admitted under a contract whose time to turn has
-- come. Its gateway is told `stale`, turns the contract and asks again; for organisations without requests the worker does.

-- What a contract brings to its tenant: a cap a month (null: none) and limits, as a JSON array of {"what", "window", "amount"}. They take the
-- place of what the contract before brought; what is used and spent stays counted. The caller holds the tenant's row.
create function bring_terms_v1(p_tenant bigint, p_cap_nano_eur bigint, p_limits jsonb) returns void language plpgsql as $$
declare
    v_budget bigint;
begin
    update billing_limit l set is_active = false
        where l.tenant_id = p_tenant and l.scope = 'tenant' and l.scope_id = p_tenant and l.source = 'tier' and l.is_active
            and not exists (
                select from jsonb_to_recordset(p_limits) as w (what text, "window" text) where w.what = l.what and w."window" = l."window");
    update billing_limit l set amount = w.amount
        from jsonb_to_recordset(p_limits) as w (what text, "window" text, amount bigint)
        where l.tenant_id = p_tenant and l.scope = 'tenant' and l.scope_id = p_tenant and l.source = 'tier' and l.is_active
            and w.what = l.what and w."window" = l."window" and l.amount <> w.amount;
    insert into billing_limit (tenant_id, scope, scope_id, what, "window", amount, source, is_active)
        select p_tenant, 'tenant', p_tenant, w.what, w."window", w.amount, 'tier', true
        from jsonb_to_recordset(p_limits) as w (what text, "window" text, amount bigint)
        where not exists (
            select from billing_limit l where l.tenant_id = p_tenant and l.scope = 'tenant' and l.scope_id = p_tenant and l.source = 'tier'
                and l.is_active and l.what = w.what and l."window" = w."window");
    if p_cap_nano_eur is null then
        update billing_budget set is_active = false, ended_at = now()
            where tenant_id = p_tenant and scope = 'tenant' and scope_id = p_tenant and source = 'tier' and is_active;
        return;
    end if;
    select id into v_budget from billing_budget
        where scope = 'tenant' and scope_id = p_tenant and period = 'month' and source = 'tier' and is_active;
    if found then
        perform set_budget_limit_v1(v_budget, p_cap_nano_eur);
    else
        insert into billing_budget (tenant_id, scope, scope_id, period, limit_nano_eur, is_hard, may_lower_output, source, is_active, created_at)
            values (p_tenant, 'tenant', p_tenant, 'month', p_cap_nano_eur, true, false, 'tier', true, now());
    end if;
end $$;

-- Ends and begins what is due of the tenant's agreements, each at its own instant: a contract of its own follows, of the same tier as it is
-- now, with what was agreed in place of the tier's values. False where nothing was due. Who is to be told the worker tells.
create function turn_contract_v1(p_tenant bigint) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_contract billing_contract;
    v_old billing_agreement;
    v_new billing_agreement;
    v_tier billing_tier;
    v_card bigint;
    v_turned boolean := false;
begin
    if not exists (select from billing_contract where tenant_id = p_tenant and ends_at is null and turns_at <= clock_timestamp()) then
        return false;
    end if;
    perform from identity_tenant where id = p_tenant for no key update;
    loop
        select * into v_contract from billing_contract
            where tenant_id = p_tenant and ends_at is null and turns_at <= clock_timestamp();
        exit when not found;
        select * into v_old from billing_agreement where id = v_contract.agreement_id;
        update billing_agreement set closed_at = v_contract.turns_at, is_told = false where id = v_old.id and closed_at is null;
        update billing_agreement set begun_at = v_contract.turns_at, is_told = false
            where id = (
                select id from billing_agreement where tenant_id = p_tenant and begun_at is null and closed_at is null
                    and starts_at <= v_contract.turns_at order by starts_at, id limit 1)
            returning * into v_new;
        select * into v_tier from billing_tier where id = v_contract.tier_id;
        v_card := coalesce(
            v_new.rate_card_id,
            case when v_old.rate_card_id is not null then
                coalesce(v_tier.rate_card_id, (select id from billing_ratecard where is_reference)) end,
            v_contract.rate_card_id);
        update billing_contract set ends_at = v_contract.turns_at where id = v_contract.id;
        insert into billing_contract (tenant_id, tier_id, rate_card_id, starts_at, tier_version, agreement_id, turns_at)
            values (p_tenant, v_tier.id, v_card, v_contract.turns_at, v_tier.version, v_new.id, least(v_new.ends_at, (
                select min(starts_at) from billing_agreement where tenant_id = p_tenant and begun_at is null and closed_at is null)));
        perform bring_terms_v1(
            p_tenant,
            case when v_new.is_cap_agreed then v_new.monthly_cap_nano_eur else v_tier.monthly_cap_nano_eur end,
            (select coalesce(jsonb_agg(jsonb_build_object('what', w.what, 'window', w."window", 'amount', w.amount)), '[]')
             from (
                select t.what, t."window", t.amount from jsonb_to_recordset(v_tier.limits) as t (what text, "window" text, amount bigint)
                    where not exists (
                        select from jsonb_to_recordset(v_new.limits) as a (what text, "window" text)
                        where a.what = t.what and a."window" = t."window")
                union all
                select a.what, a."window", a.amount from jsonb_to_recordset(v_new.limits) as a (what text, "window" text, amount bigint)
                    where a.amount is not null
             ) w)
        );
        v_turned := true;
    end loop;
    return v_turned;
end $$;
grant execute on function bring_terms_v1 to beffroi_app;
grant execute on function turn_contract_v1 to beffroi_app, beffroi_gateway;

-- As in 0003, but that a contract whose time to turn has come admits nothing.
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
                     when c.id is null then 'no_contract'
                     when c.turns_at <= now() then 'stale' end as refused,
                o.pseudonym as owner, c.id as contract_id, c.rate_card_id, b.period_ids, l.limit_ids, b.incomplete or l.incomplete as incomplete
            -- Each `offset 0` makes a look-up by index of what the planner would turn into a join of whole tables, as long as they are small.
            from (select distinct key_id from asked) a
            cross join lateral (select * from identity_apikey where id = a.key_id offset 0) k
            cross join lateral (select status from identity_project where id = k.project_id offset 0) p
            cross join lateral (select status, policy_version from identity_tenant where id = k.tenant_id offset 0) t
            left join lateral (select pseudonym from identity_person where id = k.owner_id offset 0) o on true
            left join lateral (
                select id, rate_card_id, turns_at from billing_contract where tenant_id = k.tenant_id and ends_at is null offset 0
            ) c on true
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
