"""Whether the records of a period are still kept one by one: those of a closed month may have been let go, sealed."""

from django.db import connection

from billing.exports.rows.source import NotKept, Scope

_LET_GO = """
    select exists (
        select from billing_sealed_month s
        where s.month >= date_trunc('month', %(since)s at time zone 'UTC')::date
            and s.month < %(until)s at time zone 'UTC'
            and not exists (
                select from pg_inherits i join pg_class c on c.oid = i.inhrelid
                where i.inhparent = 'billing_usage_record'::regclass
                    and c.relname = 'billing_usage_record_' || to_char(s.month, 'YYYY_MM')
            )
            and exists (
                select from billing_usage_hour u where u.tenant_id = %(tenant)s
                    and u.hour >= greatest(%(since)s, s.month::timestamp at time zone 'UTC')
                    and u.hour < least(%(until)s, (s.month + interval '1 month') at time zone 'UTC')
            )
    )
"""


def require_records(scope: Scope) -> None:
    """Raises `NotKept` where the tenant had requests in a month whose records are gone."""
    with connection.cursor() as cursor:
        cursor.execute(_LET_GO, scope.parameters())
        if cursor.fetchone()[0]:
            raise NotKept
