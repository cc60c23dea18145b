"""Addresses of the console's pages. The names of those in the menu are in `context.py`."""

from django.urls import path, register_converter

from dashboards.views import alerts, budgets, catalog, gateways, overview, routing, search, spend, spend_file

register_converter(catalog.OfferingConverter, "offering")

urlpatterns = [
    path("", overview.overview, name="overview"),
    path("spend/", spend.spend, name="spend"),
    path("spend/table.csv", spend_file.download, name="spend-csv"),
    path("search/", search.search, name="search"),
    path("budgets/", budgets.budgets_page, name="budgets"),
    path("budgets/new/", budgets.create, name="budget-new"),
    path("budgets/<int:pk>/", budgets.budget, name="budget"),
    path("budgets/<int:pk>/limits/", budgets.set_limit, name="budget-limit"),
    path("budgets/<int:pk>/retire/", budgets.retire, name="budget-retire"),
    path("alerts/", alerts.alerts_page, name="alerts"),
    path("alerts/<int:pk>/", alerts.alert, name="alert"),
    path("alerts/<int:pk>/acknowledge/", alerts.acknowledge, name="alert-acknowledge"),
    path("alerts/<int:pk>/comments/", alerts.comment, name="alert-comment"),
    path("routing/", routing.routing, name="routing"),
    path("catalog/", catalog.catalog_page, name="catalog"),
    path("catalog/<offering:name>/", catalog.offering, name="offering"),
    path("gateways/", gateways.gateways_page, name="gateways"),
    path("gateways/new/", gateways.connect, name="gateway-new"),
    path("gateways/<int:pk>/", gateways.gateway, name="gateway"),
    path("gateways/<int:pk>/keys/", gateways.make_key, name="gateway-key-new"),
    path("gateways/<int:pk>/retire/", gateways.retire, name="gateway-retire"),
    path("gateways/keys/<int:pk>/rotate/", gateways.rotate_key, name="key-rotate"),
    path("gateways/keys/<int:pk>/revoke/", gateways.revoke_key, name="key-revoke"),
]
