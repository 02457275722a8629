-- The end of temporary raises of budgets. A gateway's sweeper calls it every few seconds, by the database's clock; one raise a call, as whoever
-- admits locks budgets in the order of their ids. Answers whether one was ended. The raise's row first, then the budget, as `billing/budgets.py`.
create function end_raise_v1() returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_raise record;
begin
    select id, budget_id, base_nano_eur into v_raise from billing_budgetraise
        where ended_at is null and raised_until <= clock_timestamp() order by raised_until, id limit 1 for update skip locked;
    if not found then
        return false;
    end if;
    update billing_budgetraise set ended_at = clock_timestamp() where id = v_raise.id;
    perform set_budget_limit_v1(v_raise.budget_id, v_raise.base_nano_eur);
    return true;
end $$;
grant execute on function end_raise_v1 to beffroi_gateway, beffroi_app;
