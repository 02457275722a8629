import pytest
from uuid import uuid4
from billing.clock import database_now
from datetime import timedelta
from django.urls import reverse
from gateway.pools.fleet.managed_pools import Count, Wish, manage_pool
from gateway.pools.fleet_tables import GatewayDemand
from gateway.pools.models import Pool
from tests.support.browser import open_browser, WIDE, NARROW
from tests.support.ledger import make_model, unique
from tests.support.operators import RUNS
from tests.support.people import make_operator
pytestmark = pytest.mark.usefixtures("database", "valkey")
def test_shots():
    name = unique("n")
    pools = []
    for stuck in (False, True):
        pool = manage_pool(model=make_model(), wish=Wish(gpu_memory_mb=10_240, labels={"fleet": name}), count=Count(0, 4, 0), by=RUNS)
        Pool.objects.filter(pk=pool.pk).update(requests_at_once=4, policy="automatic", zero_after_s=900, is_stuck=stuck, asked_at=database_now()-timedelta(minutes=40))
        pools.append(pool)
    GatewayDemand.objects.create(incarnation=uuid4(), model=pools[1].model, waiting=3, at=database_now()+timedelta(seconds=60))
    who = make_operator()
    with open_browser() as browser:
        for i, pool in enumerate(pools):
            for theme, width in (("light", WIDE), ("dark", NARROW)):
                with browser.window(who, theme=theme, width=width) as w:
                    p = w.open(reverse("operator-managed-pool", kwargs={"name": pool.name}))
                    p.wait_for_timeout(500)
                    p.screenshot(path=f"/tmp/wake-{i}-{theme}.png", full_page=False)
                    print(w.offences())
                    if i == 0:
                        p = w.open(reverse("operator-managed-pool-scale", kwargs={"name": pool.name}))
                        p.wait_for_timeout(300)
                        p.screenshot(path=f"/tmp/wake-form-{theme}.png", full_page=True)
                        print(w.offences())
    Pool.objects.filter(pk__in=[p.pk for p in pools]).update(policy="unmanaged", zero_after_s=None, is_stuck=False)
