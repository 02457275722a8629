-- Gateways keep the catalog in memory: a change of it is told at commit, once a statement, and only makes them look sooner.
create function models_catalog_notify() returns trigger language plpgsql as $$
begin
    perform pg_notify('beffroi_policy', 'catalog');
    return null;
end $$;

create trigger catalog_change_is_told after insert or update or delete or truncate on models_catalog_languagemodel
    for each statement execute function models_catalog_notify();
create trigger catalog_change_is_told after insert or update or delete or truncate on models_catalog_modelalias
    for each statement execute function models_catalog_notify();

grant select on models_catalog_languagemodel, models_catalog_modelalias to beffroi_gateway;
