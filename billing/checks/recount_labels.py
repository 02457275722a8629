"""The queries that add labelled records up again, written apart from the function that adds to their sums."""

# ruff: noqa: S608  # names of PostgreSQL's catalog and ours

_LABEL_KEYS = "hour, tenant_id, project_id, model_id, label"
_LABEL_SUMS = ("requests", "failed_requests", "input_tokens", "output_tokens", "cost_nano_eur")
LABELS = f"""
    select {_LABEL_KEYS}, {", ".join(f"coalesce({t}.{name}, 0)" for t in "ru" for name in _LABEL_SUMS)}
    from (
        select {_LABEL_KEYS}, {", ".join(f"sum({name}) as {name}" for name in _LABEL_SUMS)}
        from recounted_label group by {_LABEL_KEYS}
    ) r full join billing_usage_label u using ({_LABEL_KEYS})
    where ({", ".join(f"r.{name}" for name in _LABEL_SUMS)})
        is distinct from ({", ".join(f"u.{name}" for name in _LABEL_SUMS)})
"""


def add_labels(partition: str) -> str:
    """Adds the partition's labelled records up by hour and label, into `recounted_label`."""
    return f"""
        insert into recounted_label
        select date_trunc('hour', admitted_at, 'UTC'), tenant_id, project_id, model_id, label, count(*),
            count(*) filter (where http_status >= 400), sum(input_quantity + cached_quantity),
            sum(output_quantity + reasoning_quantity), sum(cost_nano_eur)
        from {partition} where label <> '' group by 1, 2, 3, 4, 5
    """
