"""The pictures of the console: those that the README shows are there, and every page has one."""

from __future__ import annotations

import re

from django.urls import resolve

from controlplane.bench import addresses
from tests.browser.documented import LARGE, PICTURES, ROOT
from tests.browser.screenshots import CLICKED, PATHS

# Files, what is only sent to, second steps that a form leads to, parts of a page, and pages of one thing whose number
# is another in every house.
NOT_SHOWN = {
    "alert-comment", "alert-resolve", "alert-snooze", "alert-wake", "alerts-act", "attention-tiers",
    "budget-ask", "budget-limit", "budget-retire", "budgets-csv", "budgets-file-check", "budgets-file-confirm",
    "channel-edit", "channel-preview", "channel-retire", "channel-rotate", "channel-switch", "channel-test",
    "deliveries-again", "delivery-again", "exports-focus", "fleet", "gateway-key-new", "gateway-retire", "held-settle",
    "intake-give-up", "intake-receipt", "intake-retry", "intake-retry-all", "key-revoke", "key-rotate",
    "limit-request", "limit-request-approve", "limit-request-refuse", "limit-request-withdraw", "month",
    "month-close", "offering-assign", "offering-facts", "offering-name", "offering-new", "offering-retire",
    "prices-contract", "prices-contract-change", "prices-contract-end", "prices-import-read",
    "prices-import-sample", "prices-import-settle", "prices-import-upload", "reconciliation-csv",
    "reconciliation-upload", "reconciliation-withdraw", "reported-offering", "restatement", "restatement-again",
    "rules", "rules-back", "rules-change", "rules-copying", "rules-default", "rules-draft", "rules-draft-file",
    "rules-file", "rules-fleet-gateway", "rules-form-file", "rules-forms-take", "rules-json", "rules-labels",
    "rules-rebase", "rules-rule", "rules-rule-new", "rules-step", "rules-switch-back", "rules-switches-csv",
    "rules-text", "rules-try-check", "rules-try-documents", "rules-try-rule", "rules-version", "saved-view",
    "saved-view-change", "saved-views", "spend-csv", "spend-xlsx", "statement-csv", "statement-team",
    "statement-use-case", "sums-check-now", "sums-rebuild", "team-assign", "team-claim", "team-named",
    "usage-import-again", "usage-import-confirm", "usage-import-drop", "usage-imports-columns",
    "usage-imports-upload", "use-case-assign", "use-case-claim", "use-case-named",
}  # fmt: skip


def test_every_picture_of_the_readme_is_there_and_is_taken_again():
    shown = re.findall(r"!\[[^]]*\]\(docs/screenshots/([^)]+)\)", (ROOT / "README.md").read_text())

    assert shown
    assert [name for name in shown if not (PICTURES / name).exists()] == []
    assert {name.removesuffix(".png") for name in shown} - LARGE.keys() == set()
    assert {page for page, _ in LARGE.values()} - PATHS.keys() == set()


def test_every_page_is_taken():
    taken = {resolve(path.partition("?")[0]).url_name for path in PATHS.values()}
    taken |= {{"month-statement": "statement"}.get(name, name) for name in CLICKED}

    assert {name for _, name in addresses.routes()} - taken - NOT_SHOWN == set()
