-- Prepaid credit (docs/decisions/0014): a hard budget of the tenant, given once, with the source "credit". Its limit is what was credited,
-- less what expired and was taken back, so that admissions hold the credit exactly as they hold every budget (I3). The entries are the truth;
-- an entry and the limit that follows from it are written by one function.

-- The ledger's entries that are credit. A lot is one that brought money in; `lot_id` is the lot that an expiry ended.
create table billing_credit_entry (
    entry_id uuid primary key,
    tenant_id bigint not null,
    lot_id uuid,
    expires_at timestamptz
);
create index credit_entry_by_tenant on billing_credit_entry (tenant_id);
create index credit_entry_by_end on billing_credit_entry (expires_at) where expires_at is not null;
create trigger refuse_change before update or delete on billing_credit_entry
    for each row execute function billing_refuse_change();
select billing_make_append_only('billing_credit_entry', false);

-- What of a lot is past its end and may still be charged by requests that were admitted before: no longer in the limit, not yet expired.
create table billing_credit_ending (
    lot_id uuid primary key,
    tenant_id bigint not null,
    amount_nano_eur bigint not null check (amount_nano_eur > 0)
);
create index credit_ending_by_tenant on billing_credit_ending (tenant_id);
revoke all on billing_credit_ending from beffroi_app, beffroi_gateway;
grant select on billing_credit_ending to beffroi_app;

-- The lots, the oldest first, which is the order in which they are used. What is taken back counts as used.
create function billing_credit_lots_v1(p_tenant bigint) returns table (
    lot_id uuid, kind text, created_at timestamptz, expires_at timestamptz, amount_nano_eur bigint, expired_nano_eur bigint, left_nano_eur bigint
) language sql stable set search_path = public, pg_temp as $$
    with entry as (
        select e.id, e.kind, e.amount_nano_eur, e.created_at, c.lot_id, c.expires_at
        from billing_credit_entry c join billing_ledger_entry e on e.id = c.entry_id where c.tenant_id = p_tenant
    ), used as (
        select coalesce((
            select sum(p.spent_nano_eur) from billing_budget b join billing_budget_period p on p.budget_id = b.id
            where b.tenant_id = p_tenant and b.source = 'credit'
        ), 0) - coalesce((select sum(amount_nano_eur) from entry where amount_nano_eur < 0 and lot_id is null), 0) as amount
    ), lot as (
        select l.*, -coalesce((select sum(x.amount_nano_eur) from entry x where x.lot_id = l.id), 0) as expired
        from entry l where l.amount_nano_eur > 0
    ), stacked as (
        select l.*, sum(l.amount_nano_eur - l.expired) over (order by l.created_at, l.id) as up_to from lot l
    )
    select s.id, s.kind, s.created_at, s.expires_at, s.amount_nano_eur, s.expired::bigint,
        least(s.amount_nano_eur - s.expired, greatest(s.up_to - used.amount, 0))::bigint
    from stacked s cross join used order by s.created_at, s.id
$$;

-- Locks the tenant's credit: budgets, then their periods, each in id order, as admissions do. Answers the budget that counts, the latest.
create function billing_lock_credit_v1(p_tenant bigint) returns bigint language plpgsql as $$
begin
    perform from billing_budget where tenant_id = p_tenant and source = 'credit' order by id for update;
    perform from billing_budget_period p
        where p.budget_id in (select b.id from billing_budget b where b.tenant_id = p_tenant and b.source = 'credit') order by p.id for update;
    return (select max(id) from billing_budget where tenant_id = p_tenant and source = 'credit');
end $$;

create function billing_credited_v1(p_tenant bigint) returns bigint language sql stable as $$
    select coalesce(sum(e.amount_nano_eur), 0)::bigint
    from billing_credit_entry c join billing_ledger_entry e on e.id = c.entry_id where c.tenant_id = p_tenant
$$;

-- What is neither spent nor held.
create function billing_credit_free_v1(p_tenant bigint) returns bigint language sql stable as $$
    select billing_credited_v1(p_tenant) - coalesce(sum(p.spent_nano_eur + p.held_nano_eur), 0)::bigint
    from billing_budget b join billing_budget_period p on p.budget_id = b.id where b.tenant_id = p_tenant and b.source = 'credit'
$$;

-- Makes the limits follow from the entries: budgets of earlier times keep what was spent and is held of them, the latest has the rest.
create function fit_credit_v1(p_tenant bigint) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_latest bigint := billing_lock_credit_v1(p_tenant);
    v_limit bigint;
    v_earlier record;
begin
    for v_earlier in
        select b.id, coalesce(sum(p.spent_nano_eur + p.held_nano_eur), 0)::bigint as used
        from billing_budget b left join billing_budget_period p on p.budget_id = b.id
        where b.tenant_id = p_tenant and b.source = 'credit' and b.id <> v_latest
        group by b.id having b.limit_nano_eur <> coalesce(sum(p.spent_nano_eur + p.held_nano_eur), 0) order by b.id
    loop
        perform set_budget_limit_v1(v_earlier.id, v_earlier.used);
    end loop;
    for v_round in 1..2 loop
        select billing_credited_v1(p_tenant)
            - coalesce((select sum(amount_nano_eur) from billing_credit_ending where tenant_id = p_tenant), 0)
            - coalesce(sum(limit_nano_eur) filter (where id <> v_latest), 0)
            into v_limit from billing_budget where tenant_id = p_tenant and source = 'credit';
        exit when v_limit >= 0;
        delete from billing_credit_ending where tenant_id = p_tenant; -- set again when lots are looked at next
    end loop;
    if exists (select from billing_budget where id = v_latest and limit_nano_eur <> v_limit) then
        perform set_budget_limit_v1(v_latest, v_limit);
    end if;
end $$;

-- Writes an entry of credit and the limit that follows from it. The same idempotency key again answers the first entry's id and moves
-- nothing. Raises BF002 where more would be taken back than is neither spent nor held.
create function enter_credit_v1(p_id uuid, p_tenant bigint, p_kind text, p_amount_nano_eur bigint, p_expires_at timestamptz, p_reason text,
    p_actor text, p_idempotency_key text) returns uuid
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_id uuid;
begin
    if billing_lock_credit_v1(p_tenant) is null then
        raise exception 'tenant % has no credit budget', p_tenant;
    end if;
    select id into v_id from billing_ledger_entry where tenant_id = p_tenant and idempotency_key = p_idempotency_key;
    if found then
        return v_id;
    end if;
    if p_amount_nano_eur < 0 and -p_amount_nano_eur > billing_credit_free_v1(p_tenant) then
        raise exception 'tenant % has less credit than that', p_tenant using errcode = 'BF002';
    end if;
    v_id := enter_v1(p_id, p_tenant, p_kind, p_amount_nano_eur, null, p_reason, p_actor, p_idempotency_key);
    if v_id = p_id then
        insert into billing_credit_entry values (p_id, p_tenant, null, p_expires_at);
        perform fit_credit_v1(p_tenant);
    end if;
    return v_id;
end $$;

-- Ends the lots whose time is over: what is left of each becomes an expiry and leaves the limit. What requests under way may still charge,
-- those admitted before the lot's end, leaves the limit at once but expires only when they have ended, as far as it is left then.
create function expire_credit_v1(p_tenant bigint) returns table (lot_id uuid, amount_nano_eur bigint)
language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
    v_free bigint;
    v_held bigint;
    v_kept bigint;
    v_claimed bigint := 0;
    v_gone bigint;
    v_entry uuid;
    v_lot record;
begin
    perform billing_lock_credit_v1(p_tenant);
    v_free := billing_credit_free_v1(p_tenant);
    delete from billing_credit_ending where tenant_id = p_tenant;
    for v_lot in select * from billing_credit_lots_v1(p_tenant) l where l.expires_at <= now() and l.left_nano_eur > 0 loop
        select coalesce(sum(h.amount_nano_eur), 0) into v_held from billing_hold h
            where h.tenant_id = p_tenant and h.admitted_at < v_lot.expires_at and h.period_ids && array(
                select p.id from billing_budget_period p join billing_budget b on b.id = p.budget_id
                where b.tenant_id = p_tenant and b.source = 'credit');
        v_kept := least(v_lot.left_nano_eur, greatest(v_held - v_claimed, 0));
        v_gone := least(v_lot.left_nano_eur - v_kept, v_free);
        v_kept := v_lot.left_nano_eur - v_gone;
        if v_gone > 0 then
            v_entry := gen_random_uuid();
            insert into billing_ledger_entry (id, tenant_id, kind, amount_nano_eur, reason, actor, idempotency_key)
                values (v_entry, p_tenant, 'expiry', -v_gone, 'Unspent at the end of its time.', 'billing', 'expiry ' || v_lot.lot_id || ' '
                    || (select count(*) from billing_credit_entry c where c.tenant_id = p_tenant and c.lot_id = v_lot.lot_id));
            insert into billing_credit_entry values (v_entry, p_tenant, v_lot.lot_id, null);
            v_free := v_free - v_gone;
            lot_id := v_lot.lot_id;
            amount_nano_eur := v_gone;
            return next;
        end if;
        if v_kept > 0 then
            insert into billing_credit_ending values (v_lot.lot_id, p_tenant, v_kept);
            v_claimed := v_claimed + v_kept;
        end if;
    end loop;
    perform fit_credit_v1(p_tenant);
end $$;
grant execute on function billing_credit_lots_v1, billing_credited_v1, fit_credit_v1, enter_credit_v1, expire_credit_v1 to beffroi_app;

-- As before; a budget says where it comes from, so that a refusal can name the credit.
create or replace function billing_decide_v2(p_incarnation uuid, p_request billing_asked, out verdict text, out detail jsonb)
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
    select 'budget', jsonb_build_object('budget_id', b.id, 'scope', b.scope, 'period', b.period, 'source', b.source,
            'limit_nano_eur', bp.limit_nano_eur,
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
