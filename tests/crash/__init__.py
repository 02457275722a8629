"""The crash campaign: everything that can die dies, at named points, under load; then every bill is compared.

What runs is what an installation runs, each a process of its own: PostgreSQL with fsync on, Valkey, Django behind the
gateways, the Celery worker with its clock, engines (simulated ones: they keep a journal of each token before they send
it), and three gateways. Two of them share a listening socket and are struck; the third one is harmed by nobody, and a
stream of ten minutes (or as long as the campaign) goes through it while PostgreSQL, the other engines, Django and the
worker fall around it. `keeper.py` starts again what ended, with the supervisor's own services.

A round (`plan.py`) is a point, a victim and a way, chosen by a seed that is printed and can be given. Points are hit
exactly: `armed_gateway.py` is the gateway with its functions wrapped from outside, which sends the signal when it comes
to the point; where a commit's answer must not arrive, `postgres_proxy.py` keeps it. A campaign in which a point was
never hit fails.

After each round, and at the end, `books.py` re-adds the ledger in one snapshot (conservation and cap on every budget,
holds, rollups, requests at once), and `rules.py` judges every request that is over: what its client saw, what engines
journalled and what the ledger's own log (`audit.py`: triggers in the campaign's database) says, against a table of rule
I2. At every look each request that an engine's journal names is held or recorded; a fenced gateway has changed nothing;
no hold outlives its gateway for longer than three times the silence.

Times. The gateways run with limits of an eighth or so of the product's (`world.SCALED`: silence 3 s instead of 20 s),
so that a round takes seconds. "No hold without a live owner is older than 60 s" therefore means 9 s and a little here,
counted from the last outage of PostgreSQL; a campaign of five minutes or more ends with a round at the product's own
limits (`real_limits.py`), where it means 60 s from the moment at which the gateway was killed.
"""
