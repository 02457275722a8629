"""Many tenants and keys in an installation of the bench, by SQL: an owner's work, as fast as PostgreSQL writes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from identity import key_format
from identity.keyring import current, keyring_in

KEYS_A_TENANT = 100
# As the tenant that the demo began with: its tier, its rate card, a budget a month.
_TENANTS = """
    with made as (
        insert into identity_tenant (slug, name, time_zone, status, is_demo, policy_version, created_at)
        select 'bench-' || n, 'Bench ' || n, 'Europe/Paris', 'active', true, nextval('policy_version_seq'), now()
        from generate_series(%(first)s::int, %(last)s) n returning id
    ), homes as (
        insert into identity_project (tenant_id, name, cost_centre, status, created_at)
        select id, 'Default', '', 'active', now() from made
    ), budgets as (
        insert into billing_budget (tenant_id, scope, scope_id, period, limit_nano_eur, is_hard, may_lower_output,
            source, is_active, created_at)
        select id, 'tenant', id, 'month', 1000000000000000, true, false, 'set', true, now() from made
    )
    insert into billing_contract (tenant_id, tier_id, rate_card_id, starts_at)
    select made.id, c.tier_id, c.rate_card_id, now()
    from made, (select tier_id, rate_card_id from billing_contract where ends_at is null order by id limit 1) c
"""
_COLUMNS = """tenant_id, project_id, name, lookup, digest, pepper_id, scopes, allowed_models, ip_ranges, origins,
    policy_version, created_at"""
_KEY = f"insert into identity_apikey ({_COLUMNS}) values (%s, %s, 'bench', %s, %s, %s, %s, %s, %s, %s, 0, now())"  # noqa: S608
# Look-ups as made keys have them: ten characters that nobody can foresee. One policy in fifty is a key's own.
_KEYS = f"""
    insert into identity_apikey ({_COLUMNS})
    select p.tenant_id, p.id, 'bench',
        substr(translate(encode(sha256(('look-up ' || n)::bytea), 'base64'), '+/', 'xy'), 1, 10),
        sha256(('digest ' || n)::bytea), 1,
        array['inference'], case when n %% 50 = 0 then array['model-' || n] else '{{}}' end, '{{}}', '{{}}',
        nextval('policy_version_seq'), now()
    from generate_series(%(first)s::int, %(last)s) n
    join (select row_number() over (order by p.id) - 1 as place, p.id, p.tenant_id from identity_project p
          join identity_tenant t on t.id = p.tenant_id where t.slug like 'bench-%%') p on p.place = n %% %(tenants)s
"""  # noqa: S608  # a constant of ours


@dataclass
class Population:
    """What lives in the database behind `url`, the owner's."""

    url: str
    environment: Mapping[str, str]
    keys: int = 0
    tenants: int = 0

    def grow(self, keys: int) -> None:
        """Have so many keys, and a tenant to every hundred of them."""
        with self._quietly() as owner:
            wanted = max(1, keys // KEYS_A_TENANT)
            owner.execute(_TENANTS, {"first": self.tenants + 1, "last": wanted})
            self.tenants = wanted
            owner.execute(_KEYS, {"first": self.keys + 1, "last": keys, "tenants": wanted})
            self.keys = keys
        with psycopg.connect(self.url, autocommit=True) as owner:
            for table in ("identity_apikey", "identity_tenant", "identity_project", "billing_contract"):
                owner.execute(f"vacuum analyze {table}")

    def live_keys(self, count: int) -> list[str]:
        """New keys whose texts are known, of as many tenants as there are."""
        number, pepper = current(keyring_in(self.environment, "BEFFROI_KEY_PEPPERS"))
        texts = []
        with psycopg.connect(self.url) as owner:
            homes = owner.execute(
                "select p.tenant_id, p.id from identity_project p join identity_tenant t on t.id = p.tenant_id"
                " where t.slug like 'bench-%%' order by md5(p.id::text) limit %s",
                [count],
            ).fetchall()
            for place in range(count):
                text, lookup = key_format.make_key()
                parsed = key_format.parse_key(text)
                assert parsed is not None
                home = homes[place % len(homes)]
                digest = key_format.digest(parsed.secret, pepper)
                owner.execute(_KEY, [*home, lookup, digest, number, ["inference"], [], [], []])
                texts.append(text)
        return texts

    @contextmanager
    def _quietly(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """Without a notification a row: half a million at once is no traffic of an installation."""
        with psycopg.connect(self.url) as owner:
            for table in ("identity_apikey", "identity_tenant", "identity_project", "billing_contract"):
                owner.execute(f"alter table {table} disable trigger user")
            yield owner
            owner.execute("set constraints all immediate")
            for table in ("identity_apikey", "identity_tenant", "identity_project", "billing_contract"):
                owner.execute(f"alter table {table} enable trigger user")
