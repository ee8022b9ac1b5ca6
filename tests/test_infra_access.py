"""infra/: who may do what, what is closed to whom, and what is written down about it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from infra_deploy import SUBSCRIPTION, Deployment
from infra_made import FILES, GROUP, INFRA, PRIVATE, TWO, app_of, main, state_of

README = (INFRA / "README.md").read_text(encoding="utf-8")

# As published: learn.microsoft.com, "Azure built-in roles".
PUBLISHED_ROLES = {
    "Monitoring Metrics Publisher": "3913510d-42f4-4e42-8a64-420c390055eb",
    "Storage Blob Data Contributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    "Storage Blob Data Owner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "Storage Blob Data Reader": "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
    "Storage Queue Data Contributor": "974c5e8b-45b9-4653-ba55-5f855dd0fe88",
    "Storage Table Data Contributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
}


def test_the_ids_of_roles_are_the_published_ones() -> None:
    assert json.loads((INFRA / "roles.json").read_text()) == PUBLISHED_ROLES


def assigned(made: Deployment) -> set[tuple[str, str, str]]:
    """Who, may what, where (the last part of it)."""
    roles = {id_: role for role, id_ in PUBLISHED_ROLES.items()}
    return {
        (
            one.body["properties"]["principalId"].split(".")[0],
            roles[one.body["properties"]["roleDefinitionId"].rpartition("/")[2]],
            one.id.split("/providers/Microsoft.Authorization/")[0].rpartition("/")[2],
        )
        for one in made.of("Microsoft.Authorization/roleAssignments")
    }


def test_the_readme_names_every_role_that_is_assigned() -> None:
    (table,) = re.findall(r"### Who may what\n(.*?)\n\n[A-Z]", README, re.DOTALL)
    named = set(re.findall(r"\| ((?:Storage|Monitoring)[\w ]+?) \|", table))
    assert named == {role for _, role, _ in assigned(main(**PRIVATE))}


def test_nobody_may_more_than_is_needed() -> None:
    made = main(**TWO)
    token = state_of(made)[-13:]
    assert assigned(made) == {
        (f"id-flowlog-{token}", "Storage Blob Data Owner", state_of(made)),
        (f"id-flowlog-{token}", "Storage Queue Data Contributor", state_of(made)),
        (f"id-flowlog-{token}", "Storage Table Data Contributor", state_of(made)),
        (f"id-flowlog-{token}", "Monitoring Metrics Publisher", f"appi-flowlog-{token}"),
        (f"id-flowlog-{token}", "Monitoring Metrics Publisher", f"dcr-flowlog-{token}"),
        (f"id-flowlog-{token}", "Storage Blob Data Reader", "logse"),
        (f"id-flowlog-{token}", "Storage Queue Data Contributor", "logse"),
        (f"id-flowlog-{token}", "Storage Blob Data Reader", "logsw"),
        (f"id-flowlog-{token}", "Storage Queue Data Contributor", "logsw"),
        (f"evgt-{token}-eastus", "Storage Blob Data Contributor", "flowlog-event-dead-letters"),
        ("their-topic", "Storage Blob Data Contributor", "flowlog-event-dead-letters"),
    }


def test_the_trial_has_a_flow_log_written_by_an_identity_of_its_own() -> None:
    made = main(trial=True)
    token = state_of(made)[-13:]
    account = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/stflowtrial{token}"
    assert (
        f"id-flowlog-trial-{token}",
        "Storage Blob Data Contributor",
        f"stflowtrial{token}",
    ) in assigned(made)
    (flow_log,) = made.of("Microsoft.Network/networkWatchers/flowLogs")
    assert flow_log.id == (
        f"{SUBSCRIPTION}/resourceGroups/NetworkWatcherRG/providers/Microsoft.Network/"
        f"networkWatchers/NetworkWatcher_westeurope/flowLogs/flowlog-trial-{token}"
    )
    assert flow_log.body["properties"]["storageId"] == account
    assert made.outputs["FLOWLOG_EVENT_SOURCES"] == f"trial={account}=evgt-{token}-trial"


@pytest.mark.parametrize("private", [False, True])
def test_storage_takes_tokens_over_tls_and_nothing_else(private: bool) -> None:
    accounts = main(trial=True, privateNetwork=private).of("Microsoft.Storage/storageAccounts")
    assert len(accounts) == 2
    for account in accounts:
        assert re.fullmatch("[a-z0-9]{3,24}", account.name)
        assert account.body["properties"] == {
            "accessTier": "Hot",
            "allowBlobPublicAccess": False,
            "allowCrossTenantReplication": False,
            "allowSharedKeyAccess": False,
            "defaultToOAuthAuthentication": True,
            "minimumTlsVersion": "TLS1_2",
            "supportsHttpsTrafficOnly": True,
            "publicNetworkAccess": "Disabled" if private else "Enabled",
            "networkAcls": {
                "bypass": "AzureServices",
                "defaultAction": "Deny" if private else "Allow",
            },
        }


def test_the_app_is_called_by_event_grid_over_tls_and_by_nobody_else() -> None:
    made = main(**TWO)
    app = app_of(made)
    site = app["siteConfig"]
    assert (app["httpsOnly"], site["minTlsVersion"], site["scmMinTlsVersion"]) == (
        True,
        "1.2",
        "1.2",
    )
    assert [rule["ipAddress"] for rule in site["ipSecurityRestrictions"]] == ["AzureEventGrid"]
    assert site["ipSecurityRestrictionsDefaultAction"] == "Deny"
    passwords = made.of("Microsoft.Web/sites/basicPublishingCredentialsPolicies")
    assert {one.name: one.body["properties"]["allow"] for one in passwords} == {
        "ftp": False,
        "scm": False,
    }
    scale = app["functionAppConfig"]
    assert scale["runtime"] == {"name": "python", "version": "3.13"}
    assert scale["scaleAndConcurrency"] == {"instanceMemoryMB": 2048, "maximumInstanceCount": 40}


def test_flex_consumption_is_given_no_setting_that_it_refuses() -> None:
    """Azure answers with error 51021, in some regions; the names are from its message."""
    refused = {
        "alwaysOn",
        "ftpsState",
        "functionsRuntimeScaleMonitoringEnabled",
        "linuxFxVersion",
        "netFrameworkVersion",
        "preWarmedInstanceCount",
        "use32BitWorkerProcess",
    }
    assert app_of(main(**TWO))["siteConfig"].keys() & refused == set()


def test_no_key_is_written_down_anywhere() -> None:
    """The one that is needed, in an event subscription's address, is looked up by Azure."""
    with_keys = [p.name for p in FILES if re.search(r"list\w+\(", p.read_text(), re.IGNORECASE)]
    assert with_keys == ["event-subscriptions.bicep"]
    secret = re.compile("AccountKey|SharedAccessSignature|InstrumentationKey=", re.IGNORECASE)
    assert [p.name for p in FILES if secret.search(p.read_text())] == []


def test_in_a_private_network_every_account_has_its_endpoints() -> None:
    made = main(**PRIVATE)
    token = state_of(made)[-13:]
    endpoints = {one.name for one in made.of("Microsoft.Network/privateEndpoints")}
    assert endpoints == {
        *(f"pep-{state_of(made)}-{service}" for service in ("blob", "queue", "table")),
        *(
            f"pep-{account}-{service}"
            for account in ("logse", "logsw", f"stflowtrial{token}")
            for service in ("blob", "queue")
        ),
    }
    groups = made.of("Microsoft.Network/privateEndpoints/privateDnsZoneGroups")
    assert len(groups) == len(endpoints)
    assert app_of(made)["virtualNetworkSubnetId"].endswith("/subnets/app")
    assert app_of(main(**TWO))["virtualNetworkSubnetId"] is None


def test_whoever_moves_data_has_diagnostic_settings() -> None:
    made = main(**TWO)
    watched = {
        one.id.partition("/providers/Microsoft.Insights/diag")[0].rpartition("/providers/")[2]
        for one in made.of("Microsoft.Insights/diagnosticSettings")
    }
    token, storage = state_of(made)[-13:], f"Microsoft.Storage/storageAccounts/{state_of(made)}"
    assert watched == {
        f"Microsoft.Web/sites/{made.outputs['FLOWLOG_FUNCTION_APP']}",
        f"Microsoft.EventGrid/systemTopics/evgt-{token}-eastus",
        *(f"{storage}/{service}Services/default" for service in ("blob", "queue", "table")),
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_skipped_policy_has_its_reason(path: Path) -> None:
    skips = re.findall(r"checkov:skip=(.*)", path.read_text())
    assert [skip for skip in skips if not re.fullmatch(r"CKV2?_AZURE_\d+: \w.{15,}", skip)] == []
