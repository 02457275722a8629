-- Prices that are scheduled can be withdrawn while nothing can be billed by them: until a minute before they begin, which is longer than
-- an admission takes. They go from the price book, so that whoever picks a price needs to know nothing of it, and stay listed here.
create table billing_withdrawn_price (
    version_id bigint primary key,
    rate_card_id bigint not null,
    model_id bigint not null,
    mode text not null,
    valid_from timestamptz not null,
    prices jsonb not null,
    withdrawn_at timestamptz not null default clock_timestamp()
);
create index withdrawn_price_by_model on billing_withdrawn_price (rate_card_id, model_id);
create trigger refuse_change before update or delete on billing_withdrawn_price
    for each row execute function billing_refuse_change();
select billing_make_append_only('billing_withdrawn_price', false);

-- As before no price changes and, once it is about to begin, none goes (I4).
create function billing_refuse_price_end() returns trigger language plpgsql as $$
declare
    v_begins timestamptz;
begin
    if tg_table_name = 'billing_priceversion' then
        v_begins := old.valid_from;
    else
        select v.valid_from into v_begins from billing_priceversion v where v.id = old.version_id;
    end if;
    if v_begins <= clock_timestamp() + interval '1 minute' then
        raise exception 'prices in % that begin within a minute, or have begun, stay', tg_table_name using errcode = 'insufficient_privilege';
    end if;
    return old;
end $$;
create trigger begun_prices_stay before delete on billing_priceversion for each row execute function billing_refuse_price_end();
create trigger begun_prices_stay before delete on billing_meterprice for each row execute function billing_refuse_price_end();
create or replace trigger prices_stay before update or truncate on billing_priceversion
    for each statement execute function billing_refuse_price_change();
create or replace trigger prices_stay before update or truncate on billing_meterprice
    for each statement execute function billing_refuse_price_change();
create trigger price_end_is_told after delete on billing_priceversion for each statement execute function billing_tell_catalog();

-- Takes scheduled prices back. False where they have begun, are about to, or are not there.
create function withdraw_price_v1(p_version bigint) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_version billing_priceversion;
begin
    select * into v_version from billing_priceversion where id = p_version for update;
    if not found or v_version.valid_from <= clock_timestamp() + interval '1 minute' then
        return false;
    end if;
    insert into billing_withdrawn_price (version_id, rate_card_id, model_id, mode, valid_from, prices)
    values (v_version.id, v_version.rate_card_id, v_version.model_id, v_version.mode, v_version.valid_from, (
        select jsonb_object_agg(m.meter, m.nano_eur_per_million) from billing_meterprice m where m.version_id = p_version));
    delete from billing_meterprice where version_id = p_version;
    delete from billing_priceversion where id = p_version;
    return true;
end $$;
grant execute on function withdraw_price_v1 to beffroi_app;
