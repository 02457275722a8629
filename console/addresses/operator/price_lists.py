"""Addresses of the operator's price lists."""

from django.urls import URLPattern, path

from console.views.operator import price_files, price_lists, prices

_LIST = "price-lists/<int:list_id>"
_MODEL = f"{_LIST}/models/<int:model_id>"

urlpatterns: list[URLPattern] = [
    path("price-lists", price_lists.price_lists_page, name="operator-price-lists"),
    path("new-price-list", price_lists.price_list_new, name="operator-price-list-new"),
    path(_LIST, price_lists.price_list_page, name="operator-price-list"),
    path(f"{_LIST}/add", prices.price_add, name="operator-price-add"),
    path(f"{_LIST}/import", price_files.price_list_import, name="operator-price-list-import"),
    path(f"{_LIST}/export", price_files.price_list_export, name="operator-price-list-export"),
    path(_MODEL, prices.price_history, name="operator-price-history"),
    path(f"{_MODEL}/change", prices.price_change, name="operator-price-change"),
    path(f"{_LIST}/withdraw/<int:version_id>", prices.price_withdraw, name="operator-price-withdraw"),
]
