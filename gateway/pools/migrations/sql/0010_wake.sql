-- What a gateway has of requests for models, from itself alone: [{"model": 1, "waiting": 3, "asked": true}, ...]. `waiting` for a place at an
-- engine, there or not; `asked`: somebody but the platform's own probe asked since the last time, or is being answered.
-- p_wakes: a request waits for a model without an engine, so whoever looks after the fleet should look at once.
create function note_demand_v1(p_incarnation uuid, p_demand jsonb, p_wakes boolean) returns void
language plpgsql security definer set search_path = public, pg_temp set lock_timeout = '500ms' as $$
begin
    insert into pools_gatewaydemand as known (incarnation, model_id, waiting, asked_at, at)
        select p_incarnation, m.id, d.waiting, case when d.asked then now() end, now()
        from jsonb_to_recordset(p_demand) d (model bigint, waiting integer, asked boolean)
        join models_catalog_languagemodel m on m.id = d.model
        order by m.id
        on conflict (incarnation, model_id) do update
            set waiting = excluded.waiting, asked_at = coalesce(excluded.asked_at, known.asked_at), at = excluded.at;
    -- What others left behind: whoever looks after the fleet has long read it.
    delete from pools_gatewaydemand
        where id in (select id from pools_gatewaydemand where at < now() - interval '1 hour' for update skip locked);
    if p_wakes then
        perform pg_notify('beffroi_demand', '');
    end if;
end $$;
revoke execute on function note_demand_v1 from public;
grant execute on function note_demand_v1 to beffroi_gateway, beffroi_app;

-- When a pool was last asked for something is written often, and is nothing to gateways.
create or replace trigger pool_change_is_told after insert or delete or truncate on pools_pool
    for each statement execute function pools_notify();
create trigger pool_settings_are_told after update on pools_pool for each row
    when ((old.name, old.model_id, old.served_name, old.site, old.requests_at_once, old.policy, old.maximum, old.zero_after_s, old.is_stuck)
        is distinct from (new.name, new.model_id, new.served_name, new.site, new.requests_at_once, new.policy, new.maximum, new.zero_after_s,
        new.is_stuck))
    execute function pools_notify();
