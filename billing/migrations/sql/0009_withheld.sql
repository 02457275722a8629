-- What was charged for an answer that was withheld after all is given back (I1).

-- From which budget periods a refund was taken, so that whoever adds a budget up again finds what is spent.
create table billing_refunded_period (
    entry_id uuid not null,
    period_id bigint not null,
    amount_nano_eur bigint not null check (amount_nano_eur > 0),
    primary key (entry_id, period_id)
);
create index refunded_period_by_period on billing_refunded_period (period_id);
create trigger refuse_change before update or delete on billing_refunded_period
    for each row execute function billing_refuse_change();
select billing_make_append_only('billing_refunded_period', false);

-- The periods in which a request was counted: on the budgets that its key, project and tenant had when it was admitted.
create function billing_periods_of_v1(p_record billing_usage_record) returns bigint[] language sql stable as $$
    select coalesce(array_agg(bp.id order by bp.id), '{}')
    from billing_budget b join billing_budget_period bp on bp.budget_id = b.id
    where b.tenant_id = p_record.tenant_id
        and b.scope_id = case b.scope when 'tenant' then p_record.tenant_id when 'project' then p_record.project_id else p_record.key_id end
        and b.created_at <= p_record.admitted_at and (b.is_active or b.ended_at > p_record.admitted_at)
        and bp.starts_at <= p_record.admitted_at and bp.ends_at > p_record.admitted_at
$$;

-- Gives back what answers cost that were not streamed, and whose clients were told that they were withheld because the charge was not
-- confirmed in time: the commit had been made, or was made later. A refund in the ledger a request, once (by its idempotency key), and the
-- money is free again on the budgets; the usage record stays. Answers what was given back now. Locks budget periods in id order, as admit_v1.
create function give_back_v1(p_incarnation uuid, p_requests uuid[]) returns table (request_id uuid, amount_nano_eur bigint)
language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
    v_record billing_usage_record;
    v_entry uuid;
begin
    perform billing_guard_v1(p_incarnation);
    perform from billing_budget_period where id in (
        select unnest(billing_periods_of_v1(r)) from billing_usage_record r where r.request_id = any(p_requests)
    ) order by id for update;
    for v_record in
        select * from billing_usage_record r where r.request_id = any(p_requests) and not r.stream and r.cost_nano_eur > 0
            and r.settled_at > now() - interval '1 day' order by r.request_id
    loop
        v_entry := gen_random_uuid();
        insert into billing_ledger_entry (id, tenant_id, kind, amount_nano_eur, request_id, reason, actor, idempotency_key)
            values (v_entry, v_record.tenant_id, 'refund', v_record.cost_nano_eur, v_record.request_id,
                'The answer was withheld: its charge was not confirmed in time.', 'gateway', 'withheld ' || v_record.request_id)
            on conflict (tenant_id, idempotency_key) do nothing;
        continue when not found;
        insert into billing_refunded_period
            select v_entry, id, least(spent_nano_eur, v_record.cost_nano_eur) from billing_budget_period
            where id = any(billing_periods_of_v1(v_record)) and spent_nano_eur > 0;
        update billing_budget_period bp set spent_nano_eur = bp.spent_nano_eur - f.amount_nano_eur,
            cap_nano_eur = case when bp.cap_nano_eur is not null
                then greatest(bp.limit_nano_eur, bp.spent_nano_eur - f.amount_nano_eur + bp.held_nano_eur) end
            from billing_refunded_period f where f.entry_id = v_entry and bp.id = f.period_id;
        request_id := v_record.request_id;
        amount_nano_eur := v_record.cost_nano_eur;
        return next;
    end loop;
end $$;
grant execute on function give_back_v1 to beffroi_gateway;
