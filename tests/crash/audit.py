"""Who changed what in the ledger, and when: triggers in the campaign's own database, written in the same transaction.

Each life of a gateway says in its connections which one it is (the setting `crash.life`), so that a change can be laid
at the door of a process; the product itself knows nothing of this.
"""

from typing import Any

import psycopg

_TABLES = """
create table crash_log (
    id bigint generated always as identity primary key, at timestamptz not null default clock_timestamp(),
    life int not null, what text not null, request_id uuid, told jsonb not null
);
create function crash_note(what text, request_id uuid, told jsonb) returns void language sql as $$
    insert into crash_log (life, what, request_id, told)
    values (coalesce(nullif(current_setting('crash.life', true), '')::int, 0), what, request_id, told)
$$;
create function crash_note_hold() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' then
        perform crash_note('released', old.request_id, '{}');
    elsif tg_op = 'INSERT' then
        perform crash_note('held', new.request_id,
            jsonb_build_object('amount', new.amount_nano_eur, 'label', new.description ->> 'label'));
    else
        perform crash_note('checkpoint', new.request_id, coalesce(new.checkpoint, '{}'));
    end if;
    return null;
end $$;
create trigger crash_note after insert or update or delete on billing_hold
    for each row execute function crash_note_hold();
create function crash_note_record() returns trigger language plpgsql as $$
begin
    perform crash_note('recorded', new.request_id, '{}');
    return null;
end $$;
create trigger crash_note after insert on billing_usage_record for each row execute function crash_note_record();
create function crash_note_incarnation() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        perform crash_note('began', new.id, jsonb_build_object('pid', new.pid));
    elsif old.fenced_at is null and new.fenced_at is not null then
        perform crash_note('fenced', new.id, jsonb_build_object('at', extract(epoch from new.fenced_at)));
    elsif old.fenced_at is not null then
        perform crash_note('beat of the fenced', new.id, '{}');
    elsif old.heartbeat_at < new.heartbeat_at then
        perform crash_note('beat', new.id, '{}');
    end if;
    return null;
end $$;
create trigger crash_note after insert or update on billing_incarnation
    for each row execute function crash_note_incarnation();
"""


def install(owner_url: str) -> None:
    """Begin to write everything down."""
    with psycopg.connect(owner_url) as owner:
        owner.execute(_TABLES)


def log_since(connection: psycopg.Connection[Any], last: int) -> list[tuple[Any, ...]]:
    """Rows (id, at, life, what, request_id, told) behind an id; `at` in Unix seconds.

    An id may become visible after a larger one: whoever follows asks again from a little before.
    """
    query = "select id, extract(epoch from at)::float8, life, what, request_id, told from crash_log where id > %s"
    return connection.execute(query + " order by id", [last]).fetchall()
