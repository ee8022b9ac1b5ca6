"""The list of log accounts: what is valid, and that the template reads it in the same way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from infra_snapshot import OURS, main, settings_of

from infra.hooks.accounts import LogAccount, Refused, parse_accounts, read_event_sources
from infra.hooks.host_names import taken_by_host

SUBSCRIPTION = "5b4b650e-28b9-4790-b3ab-ddbd88d727c4"
STORAGE = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/logs/providers/Microsoft.Storage/storageAccounts"
)
EAST = LogAccount("east", SUBSCRIPTION, "logs", "logse")
WEST = LogAccount("west_2", SUBSCRIPTION, "Logs.(West)-1", "logsw", "their-topic")


@pytest.mark.parametrize(
    ("text", "accounts"),
    [
        ("", ()),
        ("  ", ()),
        (f"east={STORAGE}/logse", (EAST,)),
        (f" east = {STORAGE}/logse , west_2={WEST.id}=their-topic", (EAST, WEST)),
        # As Azure Resource Manager returns ids at times, see azure_stand_in.topic.
        (f"east={STORAGE}/logse".lower(), (EAST,)),
        (f"east={STORAGE}/LOGSE".upper().replace("EAST", "east", 1), (EAST,)),
    ],
)
def test_a_list_is_read(text: str, accounts: tuple[LogAccount, ...]) -> None:
    found = parse_accounts(text)
    assert [account.id.lower() for account in found] == [account.id.lower() for account in accounts]
    assert [(a.name, a.account, a.topic) for a in found] == [
        (a.name, a.account, a.topic) for a in accounts
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (f"east={STORAGE}/logse,", "there is a comma too many at the end. Remove it."),
        (f",east={STORAGE}/logse", "there is a comma too many at the beginning. Remove it."),
        (
            f"east={STORAGE}/logse,,west={STORAGE}/logsw",
            "there is a comma too many between two accounts. Remove it.",
        ),
        (f"east={STORAGE}/logse,\nwest={STORAGE}/logsw", "contains a line break or a tab."),
        (f"east=\t{STORAGE}/logse", "contains a line break or a tab."),
        (f"east={STORAGE}/logse\r", "contains a line break or a tab."),
        (
            f"west={STORAGE}/logse,WEST={STORAGE}/logsw",
            "'west' and 'WEST' are one name to the Functions host, which ignores case.",
        ),
        (
            f"west={STORAGE}/logse,west={STORAGE}/logsw",
            "'west' and 'west' are one name to the Functions host",
        ),
        (
            f"a={STORAGE}/logse,b={STORAGE.lower()}/logse",
            "'a' and 'b' are the same account, logse, and Flowlog tells accounts apart by "
            "their names.",
        ),
        (
            f"x={STORAGE}/logse/blobServices/default",
            "goes beyond the storage account. Leave out '/blobServices/default' at the end.",
        ),
        (f"x={STORAGE}/logse/", "goes beyond the storage account. Leave out '/' at the end."),
        (f"x={STORAGE}/logse=", "ends in '='. Remove it"),
        (f"x={STORAGE}/logse=a b", "'a b' is not the name of a system topic."),
        (f"x={STORAGE}/logse=t=u", "is not an account. Write NAME=RESOURCE_ID"),
        (f"a__b={STORAGE}/logse", "the name 'a__b' contains __ or ends in _"),
        (f"a_={STORAGE}/logse", "the name 'a_' contains __ or ends in _"),
        (f"Storage={STORAGE}/logse", "reads its own setting AzureWebJobsStorage first"),
        (f"dashboard={STORAGE}/logse", "reads its own setting AzureWebJobsdashboard first"),
        (f"FeatureFlags={STORAGE}/logse", "AzureWebJobsFeatureFlags first"),
        (f"AzureWebJobsStorage={STORAGE}/logse", "begins like a setting of the Functions host"),
        (f"FLOWLOG_x={STORAGE}/logse", "begins like a setting of the Functions host or of Flowlog"),
        (f"east-us={STORAGE}/logse", "cannot be the name of a connection."),
        (f"1st={STORAGE}/logse", "cannot be the name of a connection."),
        (f"{STORAGE}/logse", "is not an account. Write NAME=RESOURCE_ID"),
        (f"={STORAGE}/logse", "cannot be the name of a connection."),
        ("x=logse", "'logse' is not the resource id of a storage account; 'az storage account"),
        (f"x={STORAGE}/", "is not the resource id of a storage account"),
        (f"x={STORAGE}/Lo-gs", "is not the resource id of a storage account"),
        (f"x={STORAGE}/logse".replace("/logs/", "/lo gs/"), "is not the resource id"),
        (f"x={STORAGE}/logse".replace(SUBSCRIPTION, "mine"), "is not the resource id"),
        (f"x={STORAGE}/logse".replace("/logs/", "/logs./"), "no resource group ends in a full"),
        (f"{'a' * 31}={STORAGE}/logse", "is longer than 30 characters. Shorten it."),
    ],
)
def test_what_would_fail_double_or_mislead_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_accounts(text)
    assert len(refused.value.lines) == 1, refused.value.lines
    assert refused.value.lines[0].startswith("FLOWLOG_LOG_ACCOUNTS")
    assert complaint in refused.value.lines[0]


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(Refused) as refused:
        parse_accounts(f"Storage={STORAGE}/logse,x=y,x_={STORAGE}/logsw,")
    assert len(refused.value.lines) == 4


@pytest.mark.parametrize("name", ["trial", "Trial"])
def test_the_name_of_the_trials_account_is_taken_while_there_is_a_trial(name: str) -> None:
    text = f"{name}={STORAGE}/logse"
    assert parse_accounts(text)[0].name == name
    with pytest.raises(Refused, match="belongs to the account of FLOWLOG_TRIAL"):
        parse_accounts(text, trial=True)


@given(st.text("aA_=,/ .xs1-\t\né" + STORAGE, max_size=80))
def test_whatever_is_written_is_read_or_refused_with_a_reason(text: str) -> None:
    try:
        accounts = parse_accounts(text)
    except Refused as refused:
        reasons = refused.lines
    else:
        assert parse_accounts(",".join(account.text for account in accounts)) == accounts
        return
    assert reasons
    assert all(reason.startswith("FLOWLOG_LOG_ACCOUNTS") for reason in reasons)


def test_what_the_template_puts_out_is_read_with_its_topics() -> None:
    text = f"Storage={STORAGE}/logse=evgt-x-Storage,{WEST.text}"
    assert [account.text for account in read_event_sources(text)] == text.split(",")
    assert read_event_sources("") == ()
    with pytest.raises(Refused, match="Run 'azd provision'"):
        read_event_sources(f"a={STORAGE}/logse")


LONGEST = "a" * 30


def test_the_template_makes_of_each_entry_what_was_read() -> None:
    """By Microsoft's own evaluation, `bicep snapshot`."""
    listed = (
        f"east={STORAGE.lower()}/logse, west_2={WEST.id}=their-topic,{LONGEST}={STORAGE}/longest"
    )
    accounts = parse_accounts(listed.replace(SUBSCRIPTION, OURS))
    template = main(logAccounts=",".join(account.text for account in accounts))
    east, _, longest = accounts
    made = sorted(
        (topic.name, topic.body["properties"]["source"].lower())
        for topic in template.of("Microsoft.EventGrid/systemTopics")
    )
    token = made[0][0].split("-")[1]
    assert made == [
        (f"evgt-{token}-{LONGEST}", longest.id.lower()),
        (f"evgt-{token}-east", east.id.lower()),
    ]
    assert all(3 <= len(name) <= 50 for name, _ in made)  # Azure's limits for a system topic
    settings = settings_of(template)
    assert settings["FLOWLOG_SOURCES"] == f"east,west_2,{LONGEST}"
    assert [settings[f"{a.name}__blobServiceUri"] for a in accounts] == [
        f"https://{a.account}.blob.core.windows.net" for a in accounts
    ]
    alerts = template.of("Microsoft.Insights/metricAlerts")
    assert [accounts[1].topic_id] in [alert.body["properties"]["scopes"] for alert in alerts]


# https://learn.microsoft.com/azure/azure-functions/functions-app-settings
@pytest.mark.parametrize(
    "setting",
    [
        "AzureWebJobsStorage",
        "AzureWebJobsDashboard",
        "AzureWebJobsFeatureFlags",
        "AzureWebJobsSecretStorageType",
        "AzureWebJobsSecretStorageSas",
        "AzureWebJobsSecretStorageKeyVaultUri",
        "AzureWebJobsSecretStorageKeyVaultClientId",
        "AzureWebJobsSecretStorageKeyVaultClientSecret",
        "AzureWebJobsSecretStorageKeyVaultTenantId",
        "AzureWebJobsDisableHomepage",
        "AzureWebJobsDotNetReleaseCompilation",
        "AzureWebJobsKubernetesSecretName",
    ],
)
def test_the_documented_settings_of_the_host_take_a_name(setting: str) -> None:
    name = setting.removeprefix("AzureWebJobs")
    assert taken_by_host(name) == setting
    assert taken_by_host(name.upper()) == f"AzureWebJobs{name.upper()}"
    assert taken_by_host(f"{name}2") is None
