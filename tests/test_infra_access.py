"""infra/: roles, network access and diagnostic settings, and their documentation."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from infra_snapshot import (
    FILES,
    GROUP,
    INFRA,
    PRIVATE,
    QUEUED,
    SUBSCRIPTION,
    TIMED,
    TWO,
    Snapshot,
    app_of,
    main,
    state_of,
)

README = (INFRA / "README.md").read_text(encoding="utf-8")

# The file says from where it is.
PUBLISHED_ROLES = {
    role["roleName"]: role["name"]
    for role in json.loads(
        (Path(__file__).parent / "azure/builtin-roles.json").read_text(encoding="utf-8")
    )["roles"]
}


def test_the_ids_of_roles_are_the_published_ones() -> None:
    roles = json.loads((INFRA / "roles.json").read_text(encoding="utf-8"))
    assert roles == {name: PUBLISHED_ROLES.get(name) for name in roles}


def test_every_role_in_the_list_is_assigned() -> None:
    used = {
        role
        for made in (
            main(**PRIVATE),
            main(**TWO, logBlobRole="Owner"),
            main(**TWO, sink="eventhub"),
            main(**QUEUED),
        )
        for _, role, _ in assigned(made)
    }
    assert used == json.loads((INFRA / "roles.json").read_text(encoding="utf-8")).keys()


def assigned(made: Snapshot) -> set[tuple[str, str, str]]:
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
    named = set(re.findall(r"\| ((?:Azure|Storage|Monitoring)[\w ]+?) \|", table))
    deployed = (main(**PRIVATE), main(**QUEUED), main(**TWO, sink="eventhub"))
    assert named == {role for made in deployed for _, role, _ in assigned(made)}


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
        (f"evgt-{token}-eastus", "Storage Blob Data Contributor", state_of(made)),
        ("their-topic", "Storage Blob Data Contributor", state_of(made)),
    }


@pytest.mark.parametrize("parameters", [QUEUED, TIMED], ids=["EventQueue", "Timer"])
def test_without_a_blob_trigger_log_accounts_are_read_and_nothing_else(
    parameters: dict[str, Any],
) -> None:
    made = main(**parameters)
    token = state_of(made)[-13:]
    identity = f"id-flowlog-{token}"
    found = assigned(made)
    assert {one for one in found if one[2].startswith("logs")} == {
        (identity, "Storage Blob Data Reader", "logse"),
        (identity, "Storage Blob Data Reader", "logsw"),
    }
    topics = [f"evgt-{token}-eastus", "their-topic"] if parameters is QUEUED else []
    assert {one for one in found if one[0] != identity} == {
        (topic, role, where)
        for topic in topics
        for role, where in (
            ("Storage Queue Data Message Sender", "flowlog-events"),
            ("Storage Blob Data Contributor", state_of(made)),
        )
    }


def test_the_app_can_be_closed_to_the_public_network() -> None:
    """With eventGridOnly, which is for the blob trigger, nothing more is closed or opened."""
    assert app_of(main(**TWO))["publicNetworkAccess"] == "Enabled"
    closed = app_of(main(**QUEUED, publicAccess=False, eventGridOnly=True))
    assert closed["publicNetworkAccess"] == "Disabled"
    assert closed["siteConfig"]["ipSecurityRestrictions"] == []


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


@pytest.mark.parametrize("private", [False, True])
def test_an_event_hub_takes_tokens_over_tls_and_nothing_else(private: bool) -> None:
    made = main(**TWO, sink="eventhub", privateNetwork=private)
    (namespace,) = made.of("Microsoft.EventHub/namespaces")
    properties = namespace.body["properties"]
    assert (properties["disableLocalAuth"], properties["minimumTlsVersion"]) == (True, "1.2")
    assert properties["publicNetworkAccess"] == ("Disabled" if private else "Enabled")
    token = state_of(made)[-13:]
    role = "Azure Event Hubs Data Sender"
    assert (f"id-flowlog-{token}", role, "flowlog-records") in assigned(made)
    endpoints = {one.name for one in made.of("Microsoft.Network/privateEndpoints")}
    zones = {one.name for one in made.of("Microsoft.Network/privateDnsZones")}
    # learn.microsoft.com, "Azure Private Endpoint private DNS zone values"
    assert (f"pep-{namespace.name}-namespace" in endpoints) == private
    assert ("privatelink.servicebus.windows.net" in zones) == private


def test_the_app_is_called_over_tls_and_deployed_with_a_token_alone() -> None:
    made = main(**TWO)
    app = app_of(made)
    site = app["siteConfig"]
    assert (app["httpsOnly"], site["minTlsVersion"], site["scmMinTlsVersion"]) == (
        True,
        "1.2",
        "1.2",
    )
    passwords = made.of("Microsoft.Web/sites/basicPublishingCredentialsPolicies")
    assert {one.name: one.body["properties"]["allow"] for one in passwords} == {"scm": False}
    scale = app["functionAppConfig"]
    assert scale["runtime"] == {"name": "python", "version": "3.13"}
    assert scale["scaleAndConcurrency"] == {"instanceMemoryMB": 2048, "maximumInstanceCount": 40}


def test_other_callers_than_event_grid_are_turned_away_only_on_request() -> None:
    """Whether the validation handshake passes a Deny is not known, so that comes second."""
    site = app_of(main(**TWO))["siteConfig"]
    assert site["ipSecurityRestrictions"] == []
    assert site["ipSecurityRestrictionsDefaultAction"] == "Allow"
    site = app_of(main(**TWO, eventGridOnly=True))["siteConfig"]
    assert [rule["ipAddress"] for rule in site["ipSecurityRestrictions"]] == ["AzureEventGrid"]
    assert site["ipSecurityRestrictionsDefaultAction"] == "Deny"


@pytest.mark.parametrize(("days", "enabled", "written"), [(90, True, 90), (0, False, 1)])
def test_dead_letters_are_deleted_after_so_many_days(
    days: int, enabled: bool, written: int
) -> None:
    """They hold IP addresses. 0 switches the rule off; a deployment would not remove it."""
    made = main(**TWO, **({} if days == 90 else {"deadLetterDays": days}))
    (policy,) = made.of("Microsoft.Storage/storageAccounts/managementPolicies")
    (rule,) = policy.body["properties"]["policy"]["rules"]
    assert rule["enabled"] == enabled
    assert rule["definition"]["filters"] == {
        "blobTypes": ["blockBlob"],
        "prefixMatch": ["flowlog-dead-letters/", "flowlog-event-dead-letters/"],
    }
    assert rule["definition"]["actions"] == {
        "baseBlob": {"delete": {"daysAfterModificationGreaterThan": written}}
    }


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
    queued = main(**{**PRIVATE, "trigger": "EventQueue"})
    without = {one.name for one in queued.of("Microsoft.Network/privateEndpoints")}
    assert endpoints - without == {
        f"pep-{account}-queue" for account in ("logse", "logsw", f"stflowtrial{token}")
    }
    assert app_of(made)["virtualNetworkSubnetId"].endswith("/subnets/app")
    assert app_of(main(**TWO)).get("virtualNetworkSubnetId") is None


def test_storage_and_topics_have_diagnostic_settings() -> None:
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
