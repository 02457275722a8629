-- What PostgreSQL itself holds about identity, whoever writes: versions that rise, an audit chain that only grows, sound keys.

-- 1. Policy versions. A gateway decides on a snapshot and shows the versions it saw; the ledger refuses an older one. So every change
-- of a key, a tenant or one of its projects raises a version, from one sequence, in the change's own transaction. PostgreSQL
-- locks the row before it runs a BEFORE UPDATE trigger: two changes of one row cannot get their numbers the wrong way round.
-- The notification is delivered at commit; it only makes gateways look sooner.
create sequence policy_version_seq;
grant usage, select on sequence policy_version_seq to beffroi_app;

create function identity_raise_policy_version() returns trigger language plpgsql as $$
begin
    new.policy_version := nextval('policy_version_seq');
    perform pg_notify('beffroi_policy', tg_argv[0] || ':' || new.id);
    return new;
end $$;

create function identity_raise_policy_version_of_tenant() returns trigger language plpgsql as $$
begin
    update identity_tenant set policy_version = nextval('policy_version_seq') where id = new.tenant_id;
    if tg_op = 'UPDATE' and old.tenant_id <> new.tenant_id then
        raise exception 'a project stays with its tenant' using errcode = 'integrity_constraint_violation';
    end if;
    perform pg_notify('beffroi_policy', 'project:' || new.id);
    return null;
end $$;

create function identity_notify_of_deleted_key() returns trigger language plpgsql as $$
begin
    perform pg_notify('beffroi_policy', 'key:' || old.id);
    return null;
end $$;

create trigger policy_version_rises before insert on identity_apikey
    for each row execute function identity_raise_policy_version('key');
create trigger policy_version_rises_with_changes before update on identity_apikey
    for each row when (old.* is distinct from new.*) execute function identity_raise_policy_version('key');
create trigger deleted_key_is_told after delete on identity_apikey
    for each row execute function identity_notify_of_deleted_key();
create trigger policy_version_rises before insert on identity_tenant
    for each row execute function identity_raise_policy_version('tenant');
create trigger policy_version_rises_with_changes before update on identity_tenant
    for each row when (old.* is distinct from new.*) execute function identity_raise_policy_version('tenant');
create trigger policy_version_of_tenant_rises after insert on identity_project
    for each row execute function identity_raise_policy_version_of_tenant();
create trigger policy_version_of_tenant_rises_with_changes after update on identity_project
    for each row when (old.* is distinct from new.*) execute function identity_raise_policy_version_of_tenant();

-- 2. What gateways read. All columns: they verify keys themselves.
grant select on identity_tenant, identity_project, identity_apikey to beffroi_gateway;

-- 3. Digests are digests, and a key's project is its tenant's (I6).
alter table identity_apikey
    add constraint api_key_digest_is_a_digest check (octet_length(digest) = 32),
    add constraint api_key_is_in_a_project_of_its_tenant
        foreign key (project_id, tenant_id) references identity_project (id, tenant_id);
alter table identity_signinlink add constraint sign_in_link_digest_is_a_digest check (octet_length(digest) = 32);
alter table identity_auditevent
    add constraint audit_event_hashes_are_hashes check (octet_length(hash) = 32 and octet_length(previous_hash) = 32),
    add constraint audit_sequence_begins_at_one check (sequence > 0);
alter table identity_audithead add constraint audit_head_hash_is_a_hash check (octet_length(hash) = 32);

-- 4. The audit chain only grows (I7). The application has no right to change it, and a trigger stops everybody else, the owner included:
-- who wants to rewrite history must first take the trigger away.
revoke update, delete, truncate on identity_auditevent from beffroi_app;
revoke delete, truncate on identity_audithead from beffroi_app;

create function identity_refuse_change_of_audit() returns trigger language plpgsql as $$
begin
    raise exception 'the audit chain only grows: % refused', tg_op using errcode = 'insufficient_privilege';
end $$;
create trigger audit_chain_only_grows before update or delete or truncate on identity_auditevent
    for each statement execute function identity_refuse_change_of_audit();
create trigger audit_head_stays before delete or truncate on identity_audithead
    for each statement execute function identity_refuse_change_of_audit();
