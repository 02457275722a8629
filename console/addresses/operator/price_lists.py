"""Addresses of the operator's price lists."""

from django.urls import URLPattern, path

from console.views.operator import price_lists

urlpatterns: list[URLPattern] = [
    path("price-lists", price_lists.price_lists_page, name="operator-price-lists"),
    path("new-price-list", price_lists.price_list_new, name="operator-price-list-new"),
    path("price-lists/<int:list_id>", price_lists.price_list_page, name="operator-price-list"),
]
