-- When keys were last used. A table of its own without triggers: a use moves no policy version and notifies nobody.

alter table identity_apikey
    add constraint api_key_previous_digest_is_a_digest check (octet_length(previous_digest) = 32) not valid;

-- Every active key is written about once a minute: room on its page lets the new row lie beside the old one, without touching the index.
alter table identity_keyuse set (fillfactor = 70);

-- Writes when keys were used: [{"key_id": 1, "secret": "<the first 16 hex digits of the digest that fitted>", "at": <Unix seconds>}, ...].
-- By the digest, not by "this secret" or "the one before": so that a use that is told after a rotation counts for the secret that it was.
-- What is later stays, and nothing is later than now. A row that somebody else writes right now is skipped: the next minute tells it again,
-- and whoever tells of uses must never hold up those who rotate or each other.
create function touch_keys_v1(p_uses jsonb) returns void
language plpgsql security definer set search_path = public, pg_temp set lock_timeout = '500ms' as $$
begin
    insert into identity_keyuse (key_id)
        select k.id from identity_apikey k
        where k.id in (select u.key_id from jsonb_to_recordset(p_uses) u (key_id bigint))
            and not exists (select from identity_keyuse x where x.key_id = k.id)
        order by k.id
        on conflict do nothing;
    with used as materialized (
        select k.id,
            max(u.at) filter (where u.secret = encode(substr(k.digest, 1, 8), 'hex')) as last,
            max(u.at) filter (where u.secret = encode(substr(k.previous_digest, 1, 8), 'hex')) as previous_last
        from (
            select key_id, secret, least(at, extract(epoch from now())::double precision) as at
            from jsonb_to_recordset(p_uses) t (key_id bigint, secret text, at double precision)
        ) u
        join identity_apikey k on k.id = u.key_id
        group by k.id
    ), free as materialized (
        select x.key_id from identity_keyuse x where x.key_id in (select id from used) order by x.key_id for update skip locked
    )
    update identity_keyuse x set
        last_used_at = greatest(x.last_used_at, to_timestamp(u.last)),
        previous_last_used_at = greatest(x.previous_last_used_at, to_timestamp(u.previous_last))
    from free join used u on u.id = free.key_id
    where x.key_id = free.key_id;
end $$;
grant execute on function touch_keys_v1(jsonb) to beffroi_gateway, beffroi_app;
