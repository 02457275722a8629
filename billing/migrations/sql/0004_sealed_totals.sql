-- Sealed totals: what the usage records of a closed month add up to, and a digest of every row (I7). They stand in for the rows once
-- these are detached. The owner writes them, once; nobody changes them.

create table billing_sealed_month (
    month date primary key check (extract(day from month) = 1),
    requests bigint not null,
    cost_nano_eur numeric(30) not null,
    uncharged_nano_eur numeric(30) not null,
    digest bytea not null check (octet_length(digest) = 32),
    sealed_at timestamptz not null default now()
);

create table billing_sealed_hour (
    month date not null,
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
    digest bytea not null check (octet_length(digest) = 32),
    primary key (month, hour, tenant_id, project_id, key_id, model_id, mode)
);

create trigger refuse_change before update or delete on billing_sealed_month
    for each row execute function billing_refuse_change();
create trigger refuse_change before update or delete on billing_sealed_hour
    for each row execute function billing_refuse_change();
select billing_make_append_only('billing_sealed_month', false);
select billing_make_append_only('billing_sealed_hour', false);

-- SHA-256 of a record: of PostgreSQL's text of a row of these columns in this order, instants as seconds since 1970. The columns are
-- named so that one more column changes no digest; another list of them is another function.
create function billing_usage_digest_v1(r billing_usage_record) returns bytea language sql stable parallel safe as $$
    select sha256(convert_to(row(
        r.request_id, r.parent_id, r.tenant_id, r.project_id, r.key_id, r.owner, r.model_id, r.model, r.alias, r.pool, r.replica, r.node,
        r.site, r.endpoint, r.door, r.mode, r.contract_id, r.price_version_id,
        r.input_quantity, r.cached_quantity, r.output_quantity, r.reasoning_quantity, r.audio_ms_quantity, r.documents_quantity,
        r.images_quantity, r.input_nano_eur, r.cached_nano_eur, r.output_nano_eur, r.reasoning_nano_eur, r.audio_ms_nano_eur,
        r.documents_nano_eur, r.images_nano_eur, r.cost_nano_eur, r.uncharged_nano_eur, r.kwh_per_million_tokens, r.status, r.http_status,
        r.finish_reason, r.stream, r.max_tokens_asked, r.max_tokens_given, r.guardrail, r.label, r.ttft_ms, r.duration_ms,
        extract(epoch from r.admitted_at), extract(epoch from r.settled_at)
    )::text, 'UTF8'))
$$;
grant execute on function billing_usage_digest_v1 to beffroi_app;
