"""azd's hooks in infra/hooks, run with an `az` that only writes down how it is called.

PowerShell is not among what the tests need: its scripts are parsed, and compared with the others as
text.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tree_sitter_powershell
from tree_sitter import Language, Parser

ROOT = Path(__file__).resolve().parents[1]
HOOKS = ROOT / "infra/hooks"
ACCOUNT = "/subscriptions/s/resourceGroups/logs/providers/Microsoft.Storage/storageAccounts"
SOURCES = f"eastus={ACCOUNT}/logse=evgt-x-eastus,west={ACCOUNT}/logsw=evgt-x-west"
DEPLOYED = {
    "AZURE_SUBSCRIPTION_ID": "sub",
    "AZURE_RESOURCE_GROUP": "rg-dev",
    "FLOWLOG_FUNCTION_APP": "func-x",
    "FLOWLOG_STORAGE_ACCOUNT": "stx",
    "FLOWLOG_EVENT_SOURCES": SOURCES,
}
APP = ["--subscription", "sub", "--resource-group", "rg-dev"]
SIGNED_IN = ["account", "show", "--subscription", "sub", "--output", "none"]
KEYS = ["functionapp", "keys", "list", *APP, "--name", "func-x"]
KEYS += ["--query", "systemKeys | keys(@)", "--output", "tsv"]
DEPLOY = ["deployment", "group", "create", *APP, "--name", "flowlog-events"]
DEPLOY += ["--template-file", str(HOOKS / "../events.bicep"), "--parameters"]
DEPLOY += ["functionAppName=func-x", "storageName=stx", f"eventSources={SOURCES}"]
DEPLOY += ["--output", "none"]

STUB = """#!{python} -S
import json, os, sys
folder = os.path.dirname(__file__)
with open(folder + "/calls", "a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
with open(folder + "/answers") as answers:
    todo = json.load(answers)
left = todo.get(sys.argv[1] + " " + sys.argv[2], [])
code, out, err = left.pop(0) if left else (0, "", "")
with open(folder + "/answers", "w") as answers:
    json.dump(todo, answers)
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""
Answers = dict[str, list[tuple[int, str, str]]]
READY = (0, "blobs_extension\n", "")


class Ran:
    """What a hook said, and how it called az."""

    def __init__(self, hook: str, folder: Path, settings: dict[str, str], answers: Answers) -> None:
        stub = folder / "az"
        if not stub.exists():
            stub.write_text(STUB.format(python=sys.executable))
            stub.chmod(0o755)
        (folder / "answers").write_text(json.dumps(answers))
        (folder / "calls").write_text("")
        ran = subprocess.run(
            ["sh", HOOKS / hook],
            env={"PATH": f"{folder}:{os.defpath}", "FLOWLOG_HOOK_WAIT_S": "0", **settings},
            capture_output=True,
            text=True,
            check=False,
        )
        self.code, self.out, self.err = ran.returncode, ran.stdout, ran.stderr
        self.calls: list[Any] = [json.loads(x) for x in (folder / "calls").read_text().splitlines()]


def test_events_are_sent_to_the_app_in_one_deployment_for_all_accounts(tmp_path: Path) -> None:
    ran = Ran("postdeploy.sh", tmp_path, DEPLOYED, {"functionapp keys": [READY]})
    assert (ran.code, ran.err) == (0, "")
    assert ran.calls == [SIGNED_IN, KEYS, DEPLOY]
    assert ran.out == (
        "Events of logse go to func-x as eastus\nEvents of logsw go to func-x as west\n"
    )


def test_a_second_run_does_the_same_again(tmp_path: Path) -> None:
    first = Ran("postdeploy.sh", tmp_path, DEPLOYED, {"functionapp keys": [READY]})
    second = Ran("postdeploy.sh", tmp_path, DEPLOYED, {"functionapp keys": [READY]})
    assert (second.code, second.calls, second.out) == (0, first.calls, first.out)


def test_it_waits_for_the_key_that_the_host_makes_when_it_starts(tmp_path: Path) -> None:
    """An app that is starting has no keys, then others, and at times no answer at all."""
    answers = [(1, "", "ERROR: Bad Gateway\n"), (0, "", ""), (0, "blobs_extension_2\n", ""), READY]
    ran = Ran("postdeploy.sh", tmp_path, DEPLOYED, {"functionapp keys": answers})
    assert ran.calls == [SIGNED_IN, KEYS, KEYS, KEYS, KEYS, DEPLOY]
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("Waiting for func-x to start with the new code\nEvents of")


def test_a_key_that_does_not_come_is_told_with_what_az_said_last(tmp_path: Path) -> None:
    answers: Answers = {"functionapp keys": [(0, "", ""), (3, "", "ERROR: not allowed\n")]}
    ran = Ran("postdeploy.sh", tmp_path, {**DEPLOYED, "FLOWLOG_HOOK_TRIES": "2"}, answers)
    assert (ran.code, ran.calls) == (1, [SIGNED_IN, KEYS, KEYS])
    assert ran.err == (
        "ERROR: not allowed\n"
        "Flowlog: func-x has no key 'blobs_extension' after 2 looks, so its blob triggers have not "
        "started.\n"
        "Flowlog: Its log in Application Insights says why; a wrong setting is the first line "
        "there.\n"
        "Flowlog: Then run 'azd hooks run postdeploy'.\n"
    )


def test_lines_that_end_as_on_windows_are_read_as_well(tmp_path: Path) -> None:
    answers: Answers = {"functionapp keys": [(0, "other\r\nblobs_extension\r\n", "")]}
    assert Ran("postdeploy.sh", tmp_path, DEPLOYED, answers).calls[-1] == DEPLOY


def test_an_app_that_is_late_to_answer_event_grid_is_asked_again(tmp_path: Path) -> None:
    late = (1, "", "ERROR: Webhook validation handshake failed\n")
    answers: Answers = {"functionapp keys": [READY], "deployment group": [late]}
    ran = Ran("postdeploy.sh", tmp_path, DEPLOYED, answers)
    assert (ran.code, ran.calls) == (0, [SIGNED_IN, KEYS, DEPLOY, DEPLOY])


def test_a_deployment_that_keeps_failing_ends_with_what_to_do(tmp_path: Path) -> None:
    answers: Answers = {"functionapp keys": [READY], "deployment group": [(1, "", "why\n")] * 9}
    ran = Ran("postdeploy.sh", tmp_path, DEPLOYED, answers)
    assert (ran.code, ran.calls) == (1, [SIGNED_IN, KEYS, DEPLOY, DEPLOY, DEPLOY])
    assert ran.err.splitlines() == [
        "why",
        "why",
        "why",
        "Flowlog: the event subscriptions could not be made; see above. Until they are, the sweep "
        "forwards",
        "Flowlog: what it finds, minutes late. Then run 'azd hooks run postdeploy'.",
    ]


def test_everything_that_is_not_set_is_named_at_once(tmp_path: Path) -> None:
    settings = {"AZURE_SUBSCRIPTION_ID": "sub", "FLOWLOG_STORAGE_ACCOUNT": "stx"}
    ran = Ran("postdeploy.sh", tmp_path, settings, {})
    assert (ran.code, ran.calls) == (1, [])
    assert ran.err == (
        "Flowlog: not set: AZURE_RESOURCE_GROUP FLOWLOG_FUNCTION_APP FLOWLOG_EVENT_SOURCES. "
        "'azd provision' sets them.\n"
    )


def test_who_is_signed_in_to_azd_alone_is_told_of_az_login(tmp_path: Path) -> None:
    answers: Answers = {"account show": [(1, "", "ERROR: Please run 'az login'\n")]}
    ran = Ran("postdeploy.sh", tmp_path, DEPLOYED, answers)
    assert (ran.code, ran.calls) == (1, [SIGNED_IN])
    assert "cannot use subscription sub. Run 'az login'" in ran.err


def test_without_the_azure_cli_it_says_so(tmp_path: Path) -> None:
    dirname = shutil.which("dirname")
    assert dirname
    (tmp_path / "dirname").symlink_to(dirname)
    sh = subprocess.run(
        ["/bin/sh", HOOKS / "postdeploy.sh"],
        env={"PATH": str(tmp_path), **DEPLOYED},
        capture_output=True,
        text=True,
        check=False,
    )
    assert sh.returncode == 1
    assert "the Azure CLI, 'az', was not found" in sh.stderr


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({}, "no storage account with flow logs is named. Either"),
        ({"FLOWLOG_TRIAL": "false"}, "no storage account with flow logs is named. Either"),
        ({"FLOWLOG_LOG_ACCOUNTS": f"east-us={ACCOUNT}/a"}, "'east-us' in .* is no connection name"),
        ({"FLOWLOG_LOG_ACCOUNTS": f"1st={ACCOUNT}/a"}, "'1st' in .* is no connection name"),
        ({"FLOWLOG_LOG_ACCOUNTS": f"{ACCOUNT}/a"}, "is no connection name"),
        ({"FLOWLOG_LOG_ACCOUNTS": "logs"}, "'logs' is not the id of a storage account"),
        ({"FLOWLOG_LOG_ACCOUNTS": f"a={ACCOUNT}/"}, "is not the id of a storage account"),
        ({"FLOWLOG_LOG_ACCOUNTS": f"a={ACCOUNT}/x,a={ACCOUNT}/y"}, "the name 'a' is there twice"),
        (
            {"FLOWLOG_LOG_ACCOUNTS": f"trial={ACCOUNT}/x", "FLOWLOG_TRIAL": "true"},
            "the name 'trial' is there twice",
        ),
        ({"FLOWLOG_LOG_ACCOUNTS": f"{'a' * 31}={ACCOUNT}/x"}, "is longer than 30 characters"),
    ],
)
def test_a_wrong_list_of_accounts_is_refused_before_anything_is_created(
    tmp_path: Path, settings: dict[str, str], complaint: str
) -> None:
    ran = Ran("preprovision.sh", tmp_path, settings, {})
    assert (ran.code, ran.calls) == (1, [])
    assert re.match(f"Flowlog: .*{complaint}", ran.err)


@pytest.mark.parametrize(
    "settings",
    [
        {"FLOWLOG_TRIAL": "true"},
        {"FLOWLOG_LOG_ACCOUNTS": f"a={ACCOUNT}/x, b_2={ACCOUNT}/y=their-topic"},
        {"FLOWLOG_LOG_ACCOUNTS": f"a={ACCOUNT}/x", "FLOWLOG_TRIAL": "true"},
    ],
)
def test_a_right_list_of_accounts_passes_in_silence(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    ran = Ran("preprovision.sh", tmp_path, settings, {})
    assert (ran.code, ran.out, ran.err, ran.calls) == (0, "", "", [])


def test_a_private_network_has_its_provider_registered(tmp_path: Path) -> None:
    settings = {
        "FLOWLOG_TRIAL": "true",
        "FLOWLOG_PRIVATE_NETWORK": "true",
        "AZURE_SUBSCRIPTION_ID": "sub",
    }
    register = "provider register --subscription sub --namespace Microsoft.App --wait --output none"
    assert Ran("preprovision.sh", tmp_path, settings, {}).calls == [register.split()]


def alike(name: str) -> str:
    """A script with the variables of both shells written in one way, and without its comments."""
    text = re.sub(r"^ *#.*$", "", (HOOKS / name).read_text(), flags=re.MULTILINE)
    text = re.sub(r"\$env:(\w+)", r"$\1", text)
    return text.replace("$PSScriptRoot", "$here")


def az_calls(name: str) -> list[list[str]]:
    """How a script calls az, other than in what it says."""
    call = r"\b(az (?:account|deployment|functionapp|provider) .*?)(?:;| \|\||\) &&|$)"
    return [shlex.split(found) for found in re.findall(call, alike(name), re.MULTILINE)]


def complaints(name: str) -> list[str]:
    """What a script says when it gives up."""
    said = re.findall(r"""(?:"(.*?)"|'(.*?)')(?=[;,)\s}])""", alike(name))
    return [a or b for a, b in said if len((a + b).split()) > 4 and "Events of" not in a + b]


@pytest.mark.parametrize("hook", ["preprovision", "postdeploy"])
def test_both_shells_call_az_alike(hook: str) -> None:
    posix = az_calls(f"{hook}.sh")
    assert posix == az_calls(f"{hook}.ps1")
    assert [call[:4] for call in posix] == {
        "preprovision": [["az", "provider", "register", "--subscription"]],
        "postdeploy": [
            ["az", "account", "show", "--subscription"],
            ["az", "functionapp", "keys", "list"],
            ["az", "deployment", "group", "create"],
        ],
    }[hook]


@pytest.mark.parametrize("hook", ["preprovision", "postdeploy"])
def test_both_shells_say_the_same_when_they_give_up(hook: str) -> None:
    posix, windows = complaints(f"{hook}.sh"), complaints(f"{hook}.ps1")
    assert posix == windows
    assert len(posix) >= 4


POWERSHELL = Parser(Language(tree_sitter_powershell.language()))


@pytest.mark.parametrize("script", sorted(HOOKS.glob("*.ps1")), ids=lambda path: path.stem)
def test_powershell_could_read_its_scripts(script: Path) -> None:
    text = script.read_bytes()
    assert not POWERSHELL.parse(text).root_node.has_error
    assert POWERSHELL.parse(text + b"if ($true) {").root_node.has_error


def test_azd_finds_the_hooks_and_may_run_them() -> None:
    named = re.findall(r"run: (\S+)", (ROOT / "azure.yaml").read_text())
    assert sorted(named) == sorted(str(p.relative_to(ROOT)) for p in HOOKS.iterdir())
    assert [n for n in named if n.endswith(".sh") and not os.access(ROOT / n, os.X_OK)] == []
