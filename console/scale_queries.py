"""The statements behind `console/scale.py`."""

# Three in five are asked with; of the others some were revoked or have expired, so that no record is younger than that.
KEYS = """
    insert into identity_apikey (tenant_id, project_id, owner_id, responsible_id, created_by_id, name, lookup, digest,
        pepper_id, scopes, allowed_models, ip_ranges, origins, policy_version, created_at, expires_at, revoked_at,
        blocked_at, blocked_reason, previous_digest, previous_pepper_id, previous_ends_at, rotated_at)
    select %(tenant)s, p.id, case when n %% 5 = 0 then o.person_id end, case when n %% 5 > 0 then o.person_id end,
        o.person_id,
        (array['Assistant', 'Guichet', 'Poste', 'Traduction', 'Résumé', 'Indexation', 'Capteur', 'Veille'])[n %% 8 + 1]
            || ' ' || lpad((n %% 90000)::text, 5, '0'),
        substr(translate(encode(sha256((%(slug)s || ' look-up ' || n)::bytea), 'base64'), '+/', 'xy'), 1, 10),
        sha256((%(slug)s || ' digest ' || n || random())::bytea), %(pepper)s, array['inference'], '{}', '{}', '{}',
        nextval('policy_version_seq'), %(since)s::timestamptz - interval '1 day' * (random() * 300),
        case when is_idle and n %% 10 = 3 then now() - interval '1 day' * (1 + n %% 200)
            when n %% 50 = 7 then now() + interval '1 day' * (1 + n %% 13)
            when n %% 3 = 0 then now() + interval '1 day' * (30 + n %% 300) end,
        case when is_idle and n %% 10 = 4 then now() - interval '1 day' * (n %% 200) end,
        case when n %% 20011 = 5 then now() - interval '3 days' end,
        case when n %% 20011 = 5 then 'It leaked.' else '' end,
        case when rotates then sha256(('before ' || n || random())::bytea) end, case when rotates then %(pepper)s end,
        case when rotates then now() + interval '1 day' * (1 + n %% 6) end,
        case when rotates then now() - interval '2 hours' end
    from (select n, n %% 5 in (3, 4) as is_idle, n %% 401 = 6 as rotates from generate_series(1, %(keys)s) n) x
    join (select row_number() over (order by id) - 1 as place, id from identity_project where tenant_id = %(tenant)s) p
        on p.place = n %% (select count(*) from identity_project where tenant_id = %(tenant)s)
    join (select row_number() over (order by person_id) - 1 as place, person_id from identity_membership
          where tenant_id = %(tenant)s and role = 'developer') o on o.place = n %% (
        select count(*) from identity_membership where tenant_id = %(tenant)s and role = 'developer')
"""
SOURCES = """
    insert into past_source (key_id, project_id, owner, model, endpoint, prompt, answer, documents, reasoning,
        since, until)
    select k.id, k.project_id, o.pseudonym,
        (array['gpt-oss:120b', 'qwen3.6:35b', 'mistral-small4:119b', 'bge-m3:567m', 'ministral-3:8b',
            'gpt-oss:120b', 'devstral-small-2:24b', 'gemma4:31b'])[k.id %% 8 + 1],
        case k.id %% 8 when 3 then '/v1/embeddings' else '/v1/chat/completions' end,
        600 + (k.id * 7919) %% 5000, case k.id %% 8 when 3 then 0 else 80 + (k.id * 104729) %% 700 end, 0,
        case k.id %% 8 when 0 then 20 else 0 end, %(since)s, %(until)s
    from identity_apikey k left join identity_person o on o.id = k.owner_id
    where k.tenant_id = %(tenant)s and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
        and ('x' || substr(md5(k.lookup), 1, 4))::bit(16)::int < 65536 * 0.68
    order by md5(k.lookup)
"""

# Rollups say the hour; within it any minute will do, but no later one than now.
USES = """
    insert into identity_keyuse (key_id, last_used_at)
    select key_id, least(max(hour) + interval '1 minute' * (key_id %% 60), now() - interval '1 second')
    from billing_usage_hour where tenant_id = %(tenant)s group by key_id
    on conflict (key_id) do update set last_used_at = greatest(identity_keyuse.last_used_at, excluded.last_used_at)
"""
# As autovacuum would, in its time: afterwards indexes answer without their tables.
TIDY = (
    "identity_apikey", "identity_keyuse", "identity_project", "identity_person", "identity_membership",
    "billing_usage_record", "billing_usage_hour", "billing_usage_day", "billing_refusal", "billing_refusal_count",
    "billing_budget", "billing_budget_period",
)  # fmt: skip
