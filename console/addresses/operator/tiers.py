"""Addresses of the operator's tiers."""

from django.urls import URLPattern, path

from console.views.operator import tiers

_TIER = "tiers/<slug:code>"

urlpatterns: list[URLPattern] = [
    path("tiers", tiers.tiers, name="operator-tiers"),
    path("new-tier", tiers.tier_new, name="operator-tier-new"),
    path(_TIER, tiers.tier, name="operator-tier"),
    path(f"{_TIER}/change", tiers.tier_change, name="operator-tier-change"),
    path(f"{_TIER}/withdraw", tiers.tier_offer, {"is_offered": False}, name="operator-tier-withdraw"),
    path(f"{_TIER}/offer", tiers.tier_offer, {"is_offered": True}, name="operator-tier-offer"),
    path(f"{_TIER}/renew", tiers.tier_renew, name="operator-tier-renew"),
]
