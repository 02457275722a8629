-- What inference writes. No foreign keys: these tables are hot, and every id in them was checked by the function that wrote it.

create table billing_budget_period (
    id bigint generated always as identity primary key,
    budget_id bigint not null,
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    limit_nano_eur bigint not null,
    cap_nano_eur bigint,
    spent_nano_eur bigint not null default 0,
    held_nano_eur bigint not null default 0,
    constraint budget_period_is_one_at_a_time unique (budget_id, ends_at),
    constraint budget_never_overshoots check (spent_nano_eur + held_nano_eur <= cap_nano_eur),
    constraint budget_amounts_are_not_negative check (spent_nano_eur >= 0 and held_nano_eur >= 0)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01);

create table billing_limit_window (
    limit_id bigint primary key,
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    used bigint not null check (used >= 0)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01);

create table billing_incarnation (
    id uuid primary key,
    number int generated always as identity unique,
    host text not null,
    pid int not null,
    started_at timestamptz not null default now(),
    heartbeat_at timestamptz not null default now(),
    fenced_at timestamptz
) with (fillfactor = 50);

create table billing_hold (
    request_id uuid primary key,
    incarnation uuid not null,
    tenant_id bigint not null,
    project_id bigint not null,
    key_id bigint not null,
    model_id bigint not null,
    price_version_id bigint not null,
    contract_id bigint not null,
    period_ids bigint[] not null,
    limit_ids bigint[] not null,
    amount_nano_eur bigint not null check (amount_nano_eur >= 0),
    tokens bigint not null check (tokens >= 0),
    output_tokens bigint not null check (output_tokens >= 0),
    admitted_at timestamptz not null,
    description jsonb not null,
    checkpoint jsonb
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01);
create index hold_by_incarnation on billing_hold (incarnation);

create table billing_usage_record (
    request_id uuid primary key,
    parent_id uuid,
    tenant_id bigint not null,
    project_id bigint not null,
    key_id bigint not null,
    owner uuid,
    model_id bigint not null,
    model text not null,
    alias text not null,
    pool text not null,
    replica text not null,
    node text not null,
    site text not null,
    endpoint text not null,
    door text not null,
    mode text not null,
    contract_id bigint not null,
    price_version_id bigint not null,
    input_quantity bigint not null check (input_quantity >= 0),
    cached_quantity bigint not null check (cached_quantity >= 0),
    output_quantity bigint not null check (output_quantity >= 0),
    reasoning_quantity bigint not null check (reasoning_quantity >= 0),
    audio_ms_quantity bigint not null check (audio_ms_quantity >= 0),
    documents_quantity bigint not null check (documents_quantity >= 0),
    images_quantity bigint not null check (images_quantity >= 0),
    input_nano_eur bigint not null,
    cached_nano_eur bigint not null,
    output_nano_eur bigint not null,
    reasoning_nano_eur bigint not null,
    audio_ms_nano_eur bigint not null,
    documents_nano_eur bigint not null,
    images_nano_eur bigint not null,
    cost_nano_eur bigint not null check (cost_nano_eur >= 0),
    uncharged_nano_eur bigint not null check (uncharged_nano_eur >= 0),
    kwh_per_million_tokens numeric(9, 3),
    status text not null check (
        status in (
            'completed', 'client_left', 'client_left_early', 'engine_died', 'engine_failed', 'gateway_lost',
            'unmetered', 'zero_usage', 'clamped', 'undelivered'
        )
    ),
    http_status smallint not null,
    finish_reason text not null,
    stream boolean not null,
    max_tokens_asked bigint,
    max_tokens_given bigint,
    guardrail text not null,
    label text not null,
    ttft_ms int,
    duration_ms int not null,
    admitted_at timestamptz not null,
    settled_at timestamptz not null,
    constraint amounts_are_not_negative check (
        least(input_nano_eur, cached_nano_eur, output_nano_eur, reasoning_nano_eur, audio_ms_nano_eur, documents_nano_eur,
            images_nano_eur) >= 0
    ),
    constraint amounts_add_up check (
        input_nano_eur + cached_nano_eur + output_nano_eur + reasoning_nano_eur + audio_ms_nano_eur + documents_nano_eur
        + images_nano_eur = cost_nano_eur + uncharged_nano_eur
    )
) partition by range (request_id);
create index usage_record_by_tenant on billing_usage_record (tenant_id, request_id desc);
create index usage_record_by_key on billing_usage_record (key_id, request_id desc);
create table billing_usage_record_other partition of billing_usage_record default;

create table billing_ledger_entry (
    id uuid primary key,
    tenant_id bigint not null,
    kind text not null check (kind in ('top_up', 'expiry', 'correction', 'refund', 'fee')),
    amount_nano_eur bigint not null check (amount_nano_eur <> 0),
    request_id uuid,
    reason text not null,
    actor text not null,
    idempotency_key text not null check (idempotency_key <> ''),
    created_at timestamptz not null default now(),
    constraint ledger_entry_is_made_once unique (tenant_id, idempotency_key)
);

create table billing_usage_hour (
    hour timestamptz not null,
    tenant_id bigint not null,
    project_id bigint not null,
    key_id bigint not null,
    model_id bigint not null,
    mode text not null,
    requests bigint not null,
    failed_requests bigint not null,
    input_quantity bigint not null,
    cached_quantity bigint not null,
    output_quantity bigint not null,
    reasoning_quantity bigint not null,
    audio_ms_quantity bigint not null,
    documents_quantity bigint not null,
    images_quantity bigint not null,
    cost_nano_eur bigint not null,
    uncharged_nano_eur bigint not null,
    primary key (tenant_id, hour, project_id, key_id, model_id, mode)
) with (fillfactor = 70);

create table billing_refusal (
    request_id uuid primary key,
    tenant_id bigint not null,
    project_id bigint not null,
    key_id bigint not null,
    at timestamptz not null,
    code text not null,
    limit_name text not null,
    model text not null
);
create index refusal_by_key on billing_refusal (key_id, at desc);
create index refusal_by_tenant on billing_refusal (tenant_id, at desc);

create table billing_refusal_count (
    minute timestamptz not null,
    tenant_id bigint not null,
    project_id bigint not null,
    key_id bigint not null,
    code text not null,
    refusals bigint not null,
    primary key (minute, tenant_id, project_id, key_id, code)
);

create table billing_idempotency_key (
    key_id bigint not null,
    digest text not null,
    request_id uuid not null,
    created_at timestamptz not null default now(),
    primary key (key_id, digest)
);

-- The ledger only grows (I7): nobody updates, deletes or truncates, not even the owner, and the application only reads.
create function billing_refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only: % refused', tg_table_name, tg_op using errcode = 'insufficient_privilege';
end $$;

create function billing_make_append_only(relation regclass, partitioned boolean) returns void language plpgsql as $$
begin
    if not partitioned then
        execute format('create trigger refuse_truncate before truncate on %s execute function billing_refuse_change()', relation);
    end if;
    execute format('revoke all on %s from beffroi_app, beffroi_gateway', relation);
    execute format('grant select on %s to beffroi_app', relation);
end $$;

create trigger refuse_change before update or delete on billing_usage_record
    for each row execute function billing_refuse_change();
create trigger refuse_change before update or delete on billing_ledger_entry
    for each row execute function billing_refuse_change();
select billing_make_append_only('billing_usage_record', true);
select billing_make_append_only('billing_usage_record_other', false);
select billing_make_append_only('billing_ledger_entry', false);

-- Partitions by month of the UUIDv7's 48-bit millisecond time (RFC 9562, 5.7), so that the primary key stays global. A new one locks the
-- whole table: behind a long reader it gives up after two seconds, rather than make every charge wait with it.
create function billing_prolong_usage_record_v1(months_ahead int) returns int
language plpgsql security definer set search_path = public, pg_temp set lock_timeout = '2s' as $$
declare
    v_month timestamptz;
    v_name text;
    v_made int := 0;
begin
    for v_month in
        -- From yesterday's month: a gateway's clock may be behind ours at its turn.
        select generate_series(date_trunc('month', now() at time zone 'UTC' - interval '1 day'),
                               date_trunc('month', now() at time zone 'UTC') + make_interval(months => months_ahead),
                               interval '1 month') at time zone 'UTC'
    loop
        v_name := 'billing_usage_record_' || to_char(v_month at time zone 'UTC', 'YYYY_MM');
        continue when to_regclass(v_name) is not null;
        execute format('create table %I partition of billing_usage_record for values from (%L) to (%L)', v_name,
            rpad(lpad(to_hex((extract(epoch from v_month) * 1000)::bigint), 12, '0'), 32, '0')::uuid,
            rpad(lpad(to_hex((extract(epoch from (v_month at time zone 'UTC' + interval '1 month') at time zone 'UTC') * 1000)::bigint),
                 12, '0'), 32, '0')::uuid);
        perform billing_make_append_only(v_name::regclass, false);
        v_made := v_made + 1;
    end loop;
    return v_made;
end $$;
select billing_prolong_usage_record_v1(24);

-- Prices are followed by others and never change (I4): what was billed can be added up again for ever.
create function billing_refuse_price_change() returns trigger language plpgsql as $$
begin
    raise exception 'prices in % are followed by others, never changed: % refused', tg_table_name, tg_op using errcode = 'insufficient_privilege';
end $$;
create trigger prices_stay before update or delete or truncate on billing_priceversion
    for each statement execute function billing_refuse_price_change();
create trigger prices_stay before update or delete or truncate on billing_meterprice
    for each statement execute function billing_refuse_price_change();
revoke update, delete, truncate on billing_priceversion, billing_meterprice from beffroi_app;

-- Gateways hear of new prices and contracts at commit. It only makes them look sooner: an old one is answered `stale` anyway.
create function billing_tell_catalog() returns trigger language plpgsql as $$
begin
    perform pg_notify('beffroi_policy', 'catalog');
    return null;
end $$;
create trigger price_is_told after insert on billing_priceversion for each statement execute function billing_tell_catalog();
create trigger price_is_told after insert on billing_meterprice for each statement execute function billing_tell_catalog();

create function billing_tell_tenant() returns trigger language plpgsql as $$
begin
    perform pg_notify('beffroi_policy', 'tenant:' || coalesce(new.tenant_id, old.tenant_id));
    return null;
end $$;
create trigger contract_is_told after insert or update or delete on billing_contract
    for each row execute function billing_tell_tenant();

-- Working state and sums: the application reads; only the ledger's functions write.
revoke insert, update, delete on billing_budget_period, billing_limit_window, billing_incarnation, billing_hold,
    billing_usage_hour, billing_refusal, billing_refusal_count, billing_idempotency_key from beffroi_app;
grant select on billing_contract, billing_ratecard, billing_priceversion, billing_meterprice, billing_budget, billing_limit,
    billing_hold, billing_incarnation to beffroi_gateway;
