-- Gateways keep the replicas in memory: what matters to them is told at commit. A probe that found nothing new is not news.
create function pools_notify() returns trigger language plpgsql as $$
begin
    perform pg_notify('beffroi_policy', 'catalog');
    return null;
end $$;

create trigger pool_change_is_told after insert or update or delete or truncate on pools_pool
    for each statement execute function pools_notify();
create trigger replicas_come_and_go after insert or delete or truncate on pools_replica
    for each statement execute function pools_notify();
create trigger replica_change_is_told after update on pools_replica for each row
    when ((old.pool_id, old.name, old.url, old.sealed_api_key, old.state, old.context_window, old.node)
        is distinct from (new.pool_id, new.name, new.url, new.sealed_api_key, new.state, new.context_window, new.node))
    execute function pools_notify();

grant select on pools_pool, pools_replica to beffroi_gateway;
