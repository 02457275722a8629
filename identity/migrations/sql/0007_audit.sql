-- Beside the audit chain. Checkpoints only grow, like the chain; names may be deleted, when a person is erased, and never changed.
revoke update, delete, truncate on identity_auditcheckpoint from beffroi_app;
revoke update, truncate on identity_auditname from beffroi_app;

alter table identity_auditcheckpoint
    add constraint audit_checkpoint_is_signed check (
        octet_length(hash) = 32 and octet_length(public_key) = 32 and octet_length(signature) = 64 and sequence > 0);
alter table identity_auditname
    add constraint audit_name_has_a_salt check (octet_length(salt) = 32);

create trigger audit_checkpoints_only_grow before update or delete or truncate on identity_auditcheckpoint
    for each statement execute function identity_refuse_change_of_audit();
create trigger audit_names_never_change before update or truncate on identity_auditname
    for each statement execute function identity_refuse_change_of_audit();
