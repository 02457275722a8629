-- Admits a batch of requests, given as a JSON array of objects with the members of billing_request. One row a request:
--   admitted (detail: standing), settled, stale, key_unknown, key_revoked, key_expired, project_archived, tenant_suspended,
--   no_contract, repeated (detail: request_id), budget or limit (detail: which, its figures, when it frees).
-- Repeated with the same ids it answers the same and moves nothing.
create or replace function admit_v1(p_incarnation uuid, p_batch jsonb) returns table (request_id uuid, verdict text, detail jsonb)
language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
    v_requests billing_request[];
    v_paths billing_path[];
    v_periods bigint[];
    v_limits bigint[];
    v_simple boolean;
    v_request billing_request;
    v_path billing_path;
    v_verdict text;
    v_detail jsonb;
begin
    perform billing_guard_v1(p_incarnation);
    select array_agg(r order by r.position) into v_requests from jsonb_populate_recordset(null::billing_request, p_batch) r;
    select array_agg(p) into v_paths from billing_paths_v1(array(select distinct r.key_id from unnest(v_requests) r)) p;
    perform from unnest(v_paths) p where p.incomplete;
    if found then
        perform billing_open_periods_v1(array(select distinct p.tenant_id from unnest(v_paths) p));
        select array_agg(p) into v_paths from billing_paths_v1(array(select distinct r.key_id from unnest(v_requests) r)) p;
    end if;
    v_periods := array(select distinct unnest(p.period_ids) from unnest(v_paths) p);
    v_limits := array(select distinct unnest(p.limit_ids) from unnest(v_paths) p);
    perform from billing_budget_period where id = any(v_periods) order by id for update;
    perform from billing_limit_window where limit_id = any(v_limits) order by limit_id for update;
    -- now() is when this call began. Whoever turned a window meanwhile, while we waited for its row, began later: counted in it, we would
    -- have been admitted before it began, and beyond what the window before it allowed. So the call begins anew.
    perform from billing_limit_window where limit_id = any(v_limits) and starts_at > now() and starts_at <= clock_timestamp();
    if found then
        raise exception 'a window was turned while this call waited for it' using errcode = 'serialization_failure';
    end if;
    perform from billing_limit_window where limit_id = any(v_limits) and ends_at <= now();
    if found then
        perform billing_turn_windows_v1(v_limits);
    end if;
    select count(distinct r.request_id) = count(*) and bool_and(r.idempotency is null)
            and bool_and(billing_objection_v1(r, p) is null)
            and not exists (select from billing_hold h where h.request_id = any(array_agg(r.request_id)))
        into v_simple from unnest(v_requests) r left join unnest(v_paths) p on p.key_id = r.key_id;
    if v_simple and not exists (select from jsonb_array_elements(p_batch) b where b.value ? 'replay')
            and billing_admit_all_v1(p_incarnation, v_requests, v_paths) then
        return query select r.request_id, 'admitted', s.standing
            from unnest(v_requests) r
            join (select p.key_id, billing_standing_v1(p.limit_ids) as standing from unnest(v_paths) p) s on s.key_id = r.key_id;
        return;
    end if;
    foreach v_request in array v_requests loop
        v_path := null;
        select p.* into v_path from unnest(v_paths) p where p.key_id = v_request.key_id;
        v_detail := null;
        -- What an earlier call did stays done, whatever changed since: its answer may have been lost.
        v_verdict := case when v_path.key_id is null
            or not exists (select from billing_hold h where h.request_id = v_request.request_id)
                and not exists (select from billing_usage_record u where u.request_id = v_request.request_id)
            then billing_objection_v1(v_request, v_path) end;
        if v_verdict is null then
            select o.verdict, o.detail into v_verdict, v_detail from billing_admit_one_v1(p_incarnation, v_request, v_path) o;
            if v_verdict = 'admitted' then
                v_detail := billing_standing_v1(v_path.limit_ids);
            end if;
        end if;
        request_id := v_request.request_id;
        verdict := v_verdict;
        detail := v_detail;
        return next;
    end loop;
end $$;
