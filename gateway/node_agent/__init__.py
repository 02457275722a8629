"""The process of ours on a GPU machine: it makes of the machine what the platform's assignment says, and reports.

A Celery worker with a queue of its own (`broker.py`) beside a loop (`agent.py`) that fetches weights, starts, watches
and stops engines until they are as assigned. It holds neither the database's nor the platform's secrets, and no Django
is in it. `docs/nodes.md` tells operators about it.
"""
