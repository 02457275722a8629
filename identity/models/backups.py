"""Backups that the operator's own script made and told of."""

from django.db import models


class Backup(models.Model):
    """One backup; told by `identity/backups.py`. `made_at`: when it was whole."""

    made_at = models.DateTimeField(db_index=True)
    size_bytes = models.BigIntegerField()
    noted_at = models.DateTimeField(auto_now_add=True)
