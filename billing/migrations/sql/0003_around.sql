-- What surrounds the two calls, without the deadlocks that it could have with them.

-- Writes what running streams last reported into their holds: what a lost gateway's requests are charged (I2 d). A hold that is being settled
-- right now needs no checkpoint, so nobody is waited for.
create or replace function checkpoint_v1(p_incarnation uuid, p_batch jsonb) returns int
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_count int;
begin
    perform billing_begin_call_v2(p_incarnation);
    with free as materialized (
        select h.request_id from billing_hold h
        where h.request_id = any(array(select k::uuid from jsonb_object_keys(p_batch) k)) and h.incarnation = p_incarnation
        for update skip locked
    )
    update billing_hold h set checkpoint = p_batch -> h.request_id::text from free where h.request_id = free.request_id;
    get diagnostics v_count = row_count;
    return v_count;
end $$;

-- Fences the incarnations silent for p_silence, none in the first p_grace after PostgreSQL started. Answers how many. One sweeper at a
-- time; the lock lasts for the call only, since a sweeper that is stopped while it held it would keep itself from being fenced.
create or replace function fence_silent_v1(p_silence interval, p_grace interval) returns int
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_silent record;
    v_fenced int := 0;
begin
    if pg_postmaster_start_time() > now() - p_grace or not pg_try_advisory_xact_lock(7302) then
        return 0;
    end if;
    for v_silent in
        select id, number from billing_incarnation where fenced_at is null and heartbeat_at < now() - p_silence order by number
    loop
        perform pg_advisory_xact_lock(7301, v_silent.number); -- calls of before this migration
        perform pg_advisory_xact_lock(uuid_hash_extended(v_silent.id, 7301));
        update billing_incarnation set fenced_at = clock_timestamp()
            where id = v_silent.id and fenced_at is null and heartbeat_at < now() - p_silence;
        if found then
            v_fenced := v_fenced + 1;
        end if;
    end loop;
    return v_fenced;
end $$;

-- Housekeeping: makes partitions ahead, keeps the last p_kept refusals a key, forgets idempotency keys after p_memory and fenced incarnations
-- without holds after a day. One at a time: who comes second does nothing. After making a partition it ends at once: that locked the usage
-- records, and who waits for them may hold what would be deleted next.
create or replace function tidy_v1(p_kept int, p_memory interval) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if not pg_try_advisory_xact_lock(7303) or billing_prolong_usage_record_v1(24) > 0 then
        return;
    end if;
    delete from billing_refusal r using (
        select request_id from (
            select request_id, row_number() over (partition by key_id order by at desc, request_id desc) as place from billing_refusal
        ) numbered where place > p_kept
    ) old where r.request_id = old.request_id;
    delete from billing_idempotency_key where created_at < now() - p_memory;
    delete from billing_incarnation i where i.fenced_at < now() - interval '1 day'
        and not exists (select from billing_hold h where h.incarnation = i.id);
end $$;
