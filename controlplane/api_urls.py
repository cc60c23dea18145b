"""Everything below /api/v1/: one line per thing, in the order of the contract."""

from django.urls import path

from alerts import api as alerts
from alerts import api_channels as channels
from budgets import api as budgets
from budgets import api_plans as budget_plans
from budgets import api_requests as limit_requests
from catalog import api_contracts as contracts
from catalog import api_imports as price_imports
from catalog import api_models as models
from catalog import api_names as names
from catalog import api_prices as prices
from dashboards import api_overshoot as overshoot
from dashboards import api_statements as month_statements
from routing import api_comparing as comparing
from routing import api_decide as deciding
from routing import api_drafts as drafts
from routing import api_exports as exports
from routing import api_fleet as fleet
from routing import api_measured as measured
from routing import api_reviews as reviews
from routing import api_s3 as s3
from routing import api_schedules as schedules
from routing import api_serving as serving
from routing import api_switches as switches
from routing import api_versions as versions
from usage import api as usage
from usage import api_attention as attention
from usage import api_checks as checks
from usage import api_corrections as corrections
from usage import api_entries as entries
from usage import api_focus as focus
from usage import api_gateways as gateways
from usage import api_imports as imports
from usage import api_intake as intake
from usage import api_months as months
from usage import api_otlp as otlp
from usage import api_receipts as receipts
from usage import api_savings as savings
from usage import api_statements as statements

urlpatterns = [
    path("usage/events", intake.UsageEventsApi.as_view(), name="api-usage-events"),
    path("usage/litellm", intake.UsageLiteLLMApi.as_view(), name="api-usage-litellm"),
    path("usage/otlp/v1/traces", otlp.OtlpTracesApi.as_view(), name="api-usage-otlp-traces"),
    path("usage/otlp/v1/metrics", otlp.OtlpMetricsApi.as_view(), name="api-usage-otlp-metrics"),
    path("usage/otlp/v1/logs", otlp.OtlpLogsApi.as_view(), name="api-usage-otlp-logs"),
    path("usage/receipts/<int:receipt_id>", intake.ReceiptApi.as_view(), name="api-receipt"),
    path("usage/receipts", receipts.ReceiptsApi.as_view(), name="api-receipts"),
    path("usage/receipts/<int:receipt_id>/retry", receipts.ReceiptRetryApi.as_view(), name="api-receipt-retry"),
    path("usage/receipts/<int:receipt_id>/give-up", receipts.ReceiptGiveUpApi.as_view(), name="api-receipt-give-up"),
    path("usage/held", receipts.HeldApi.as_view(), name="api-held"),
    path("usage/held/<int:pk>/settle", receipts.HeldSettleApi.as_view(), name="api-held-settle"),
    path("usage/imports", imports.UsageImportsApi.as_view(), name="api-usage-imports"),
    path("usage/imports/<int:pk>", imports.UsageImportApi.as_view(), name="api-usage-import"),
    path("usage/imports/<int:pk>/confirm", imports.UsageImportConfirmApi.as_view(), name="api-usage-import-confirm"),
    path("usage/imports/<int:pk>/drop", imports.UsageImportDropApi.as_view(), name="api-usage-import-drop"),
    path("usage/imports/<int:pk>/again", imports.UsageImportAgainApi.as_view(), name="api-usage-import-again"),
    path("spend", usage.SpendApi.as_view(), name="api-spend"),
    path("exports/focus", focus.FocusExportApi.as_view(), name="api-exports-focus"),
    path("spend/queries/<int:pk>", usage.SpendQueryApi.as_view(), name="api-spend-query"),
    path("entries", entries.EntriesApi.as_view(), name="api-entries"),
    path("events/<path:event_id>", entries.EventApi.as_view(), name="api-event"),
    path("savings", savings.SavingsApi.as_view(), name="api-savings"),
    path("reported-costs", attention.ReportedCostsApi.as_view(), name="api-reported-costs"),
    path("attention", attention.AttentionApi.as_view(), name="api-attention"),
    path("gateways", gateways.GatewaysApi.as_view(), name="api-gateways"),
    path("gateways/<int:pk>", gateways.GatewayApi.as_view(), name="api-gateway"),
    path("budgets", budgets.BudgetsApi.as_view(), name="api-budgets"),
    path("budgets/<int:pk>", budgets.BudgetApi.as_view(), name="api-budget"),
    path("budgets/<int:pk>/overshoot", overshoot.BudgetOvershootApi.as_view(), name="api-budget-overshoot"),
    path("budgets/<int:pk>/limits", budgets.BudgetLimitsApi.as_view(), name="api-budget-limits"),
    path("budgets/<int:pk>/plan", budget_plans.BudgetPlanApi.as_view(), name="api-budget-plan"),
    path("budgets/<int:pk>/requests", limit_requests.BudgetRequestsApi.as_view(), name="api-budget-requests"),
    path("budgets/file", budget_plans.BudgetFileApi.as_view(), name="api-budgets-file"),
    path("budgets/requests", limit_requests.LimitRequestsApi.as_view(), name="api-limit-requests"),
    path("budgets/requests/<int:pk>", limit_requests.LimitRequestApi.as_view(), name="api-limit-request"),
    path(
        "budgets/requests/<int:pk>/approve",
        limit_requests.LimitRequestApproveApi.as_view(),
        name="api-limit-request-approve",
    ),
    path(
        "budgets/requests/<int:pk>/refuse",
        limit_requests.LimitRequestRefuseApi.as_view(),
        name="api-limit-request-refuse",
    ),
    path(
        "budgets/requests/<int:pk>/withdraw",
        limit_requests.LimitRequestWithdrawApi.as_view(),
        name="api-limit-request-withdraw",
    ),
    path("use-cases", names.UseCasesApi.as_view(), name="api-use-cases"),
    path("use-cases/<int:pk>", names.UseCaseApi.as_view(), name="api-use-case"),
    path("use-cases/<int:pk>/claim", names.UseCaseClaimApi.as_view(), name="api-use-case-claim"),
    path("use-cases/<int:pk>/merge", names.UseCaseMergeApi.as_view(), name="api-use-case-merge"),
    path("teams", names.TeamsApi.as_view(), name="api-teams"),
    path("teams/<int:pk>", names.TeamApi.as_view(), name="api-team"),
    path("teams/<int:pk>/merge", names.TeamMergeApi.as_view(), name="api-team-merge"),
    path("models", models.ModelsApi.as_view(), name="api-models"),
    path("models/<int:pk>", models.ModelApi.as_view(), name="api-model"),
    path("models/<int:pk>/aliases", models.ModelAliasesApi.as_view(), name="api-model-aliases"),
    path("models/<int:pk>/merge", models.ModelMergeApi.as_view(), name="api-model-merge"),
    path("prices", prices.PricesApi.as_view(), name="api-prices"),
    path("price-imports", price_imports.PriceImportsApi.as_view(), name="api-price-imports"),
    path("price-imports/<int:pk>", price_imports.PriceImportApi.as_view(), name="api-price-import"),
    path("price-proposals", price_imports.PriceProposalsApi.as_view(), name="api-price-proposals"),
    path("price-proposals/accept", price_imports.PriceProposalsAcceptApi.as_view(), name="api-price-proposals-accept"),
    path("price-proposals/reject", price_imports.PriceProposalsRejectApi.as_view(), name="api-price-proposals-reject"),
    path("contracts", contracts.ContractsApi.as_view(), name="api-contracts"),
    path("contracts/<int:pk>/end", contracts.ContractEndApi.as_view(), name="api-contract-end"),
    path("hour-windows", contracts.HourWindowsApi.as_view(), name="api-hour-windows"),
    path("months", months.MonthsApi.as_view(), name="api-months"),
    path("months/<str:month>", months.MonthApi.as_view(), name="api-month"),
    path("months/<str:month>/close", months.MonthCloseApi.as_view(), name="api-month-close"),
    path("months/<str:month>/statement", month_statements.MonthStatementApi.as_view(), name="api-month-statement"),
    path("statements", statements.StatementsApi.as_view(), name="api-statements"),
    path("statements/<int:pk>", statements.StatementApi.as_view(), name="api-statement"),
    path("statements/<int:pk>/withdraw", statements.StatementWithdrawApi.as_view(), name="api-statement-withdraw"),
    path("checks", checks.ChecksApi.as_view(), name="api-checks"),
    path("checks/<int:pk>", checks.CheckApi.as_view(), name="api-check"),
    path("reconciliation", statements.ReconciliationApi.as_view(), name="api-reconciliation"),
    path("corrections", corrections.CorrectionsApi.as_view(), name="api-corrections"),
    path("corrections/preview", corrections.CorrectionPreviewApi.as_view(), name="api-correction-preview"),
    path("corrections/<str:key>", corrections.CorrectionApi.as_view(), name="api-correction"),
    path("corrections/<str:key>/again", corrections.CorrectionAgainApi.as_view(), name="api-correction-again"),
    path("alerts", alerts.AlertsApi.as_view(), name="api-alerts"),
    path("alerts/<int:pk>", alerts.AlertApi.as_view(), name="api-alert"),
    path("alerts/<int:pk>/acknowledge", alerts.AlertAcknowledgeApi.as_view(), name="api-alert-acknowledge"),
    path("alerts/<int:pk>/snooze", alerts.AlertSnoozeApi.as_view(), name="api-alert-snooze"),
    path("alerts/<int:pk>/resolve", alerts.AlertResolveApi.as_view(), name="api-alert-resolve"),
    path("alerts/<int:pk>/comments", alerts.AlertCommentsApi.as_view(), name="api-alert-comments"),
    path(
        "alerts/<int:pk>/deliveries/<int:delivery>/retry", alerts.DeliveryRetryApi.as_view(), name="api-delivery-retry"
    ),
    path("channels", channels.ChannelsApi.as_view(), name="api-channels"),
    path("channels/<int:pk>", channels.ChannelApi.as_view(), name="api-channel"),
    path("channels/<int:pk>/rotate-secret", channels.ChannelSecretApi.as_view(), name="api-channel-secret"),
    path("channels/<int:pk>/test", channels.ChannelTestApi.as_view(), name="api-channel-test"),
    path("rules/<str:environment>", serving.RulesApi.as_view(), name="api-rules"),
    # Not under rules/, where it would hide an environment of that name.
    path("signing-key", serving.SigningKeyApi.as_view(), name="api-signing-key"),
    path("s3-secret", s3.S3SecretApi.as_view(), name="api-s3-secret"),
    path("rules/<str:environment>/export", exports.RulesExportApi.as_view(), name="api-rules-export"),
    path("rules/<str:environment>/versions", versions.VersionsApi.as_view(), name="api-rules-versions"),
    path("rules/<str:environment>/versions/<int:number>", versions.VersionApi.as_view(), name="api-rules-version"),
    path("rules/<str:environment>/orders", measured.OrdersApi.as_view(), name="api-rules-orders"),
    path("rules/<str:environment>/hits", measured.HitsApi.as_view(), name="api-rules-hits"),
    path("rules/<str:environment>/fleet", fleet.FleetApi.as_view(), name="api-fleet"),
    path("rules/<str:environment>/fleet/instances", fleet.FleetInstancesApi.as_view(), name="api-fleet-instances"),
    path("rules/<str:environment>/decide", deciding.DecideApi.as_view(), name="api-rules-decide"),
    path("rules/<str:environment>/drafts", drafts.DraftsApi.as_view(), name="api-drafts"),
    path("rules/<str:environment>/drafts/<int:pk>", drafts.DraftApi.as_view(), name="api-draft"),
    path("rules/<str:environment>/drafts/<int:pk>/rebase", drafts.DraftRebaseApi.as_view(), name="api-draft-rebase"),
    path("rules/<str:environment>/drafts/<int:pk>/submit", drafts.DraftSubmitApi.as_view(), name="api-draft-submit"),
    path(
        "rules/<str:environment>/drafts/<int:pk>/approve",
        drafts.DraftApproveApi.as_view(),
        name="api-draft-approve",
    ),
    path("rules/<str:environment>/drafts/<int:pk>/reject", drafts.DraftRejectApi.as_view(), name="api-draft-reject"),
    path(
        "rules/<str:environment>/drafts/<int:pk>/withdraw",
        drafts.DraftWithdrawApi.as_view(),
        name="api-draft-withdraw",
    ),
    path(
        "rules/<str:environment>/drafts/<int:pk>/publish",
        drafts.DraftPublishApi.as_view(),
        name="api-draft-publish",
    ),
    path(
        "rules/<str:environment>/drafts/<int:pk>/schedule",
        schedules.DraftScheduleApi.as_view(),
        name="api-draft-schedule",
    ),
    path(
        "rules/<str:environment>/drafts/<int:pk>/schedule/move",
        schedules.DraftScheduleMoveApi.as_view(),
        name="api-draft-schedule-move",
    ),
    path(
        "rules/<str:environment>/drafts/<int:pk>/schedule/cancel",
        schedules.DraftScheduleCancelApi.as_view(),
        name="api-draft-schedule-cancel",
    ),
    path("rules/<str:environment>/schedules", schedules.SchedulesApi.as_view(), name="api-schedules"),
    path("rules/<str:environment>/reviews", reviews.ReviewsApi.as_view(), name="api-reviews"),
    path("rules/<str:environment>/reviews/confirm", reviews.ReviewsConfirmApi.as_view(), name="api-reviews-confirm"),
    path("rules/<str:environment>/compare", comparing.CompareApi.as_view(), name="api-rules-compare"),
    path("rules/<str:environment>/rollback", versions.RollbackApi.as_view(), name="api-rules-rollback"),
    path("switches", switches.SwitchesApi.as_view(), name="api-switches"),
    path("switches/<int:pk>", switches.SwitchApi.as_view(), name="api-switch"),
]
