r"""Find what stops flow logs from being forwarded, and say what to do about it.

Without --azure: checks the settings, whether each account can be reached and allows what Flowlog
needs, queues, tables and containers, the clock, whether events arrive, and whether the trigger fits
the plan. Run it with the app's settings, and, if they use an identity, where that identity is
available. It takes half a minute at most, and creates nothing without --fix.

With --azure: checks the deployment in Azure with your `az login`: event subscriptions, functions,
roles, network rules, app settings, deliveries and sweeps. It finds the deployment by the values of
the azd environment, or by --subscription, --resource-group and --app. It changes nothing.

What your login cannot see is reported as not checked.

Exit code: 0 no faults (there may be warnings); 1 faults; 2 it could not start, see the message.

Examples:
  flowlog doctor --settings local.settings.json
  flowlog doctor --azure
  flowlog doctor --azure --subscription ID --resource-group rg-flows \
      --app func-flowlog-abc
  flowlog doctor --output json | jq '.findings[] | select(.level != "ok")'
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from flowlog_core.cli.environment import add_settings_argument, environment_of
from flowlog_core.cli.options import add_output_argument, shows_progress
from flowlog_core.cli.terminal import ProgressLine, columns_of, is_coloured, printable
from flowlog_core.config.checks import Finding
from flowlog_core.config.settings import Settings
from flowlog_core.doctor.azure.arm import CLOUDS, Arm
from flowlog_core.doctor.azure.deployment import Deployment, azd_values
from flowlog_core.doctor.azure.examine import examine_azure
from flowlog_core.doctor.examine import examine
from flowlog_core.doctor.installation import Installation
from flowlog_core.doctor.report import Told, count, to_json, write
from flowlog_core.errors import SettingsError

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

_WIDEST = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `flowlog doctor`."""
    add_settings_argument(parser)
    parser.add_argument(
        "--fix",
        action="store_true",
        help="create Flowlog's own queue, tables and container if they are missing",
    )
    parser.add_argument(
        "--azure",
        action="store_true",
        help="check the deployment in Azure, with your `az login`",
    )
    azure = parser.add_argument_group("with --azure, where there is no azd environment")
    azure.add_argument("--subscription", metavar="ID", help="the subscription of the app")
    azure.add_argument("--resource-group", metavar="NAME", help="the resource group of the app")
    azure.add_argument("--app", metavar="NAME", help="the function app")
    azure.add_argument(
        "--cloud",
        choices=tuple(CLOUDS),
        default="AzureCloud",
        help="which Azure cloud (default AzureCloud)",
    )
    add_output_argument(parser, "table", ("table", "json"))
    parser.add_argument(
        "--json", action="store_const", const="json", dest="output", help=argparse.SUPPRESS
    )


def run(options: argparse.Namespace) -> int:
    """Examine and print. Returns the exit code."""
    if not options.verbose:  # the findings explain what the SDK would log
        logging.getLogger("azure").setLevel(logging.CRITICAL)
    if options.azure:
        return _run_azure(options)
    could_start = True
    line = ProgressLine(is_wanted=shows_progress(options))
    line.show("Checking. This takes half a minute at most …")
    try:
        environment = environment_of(options)
        settings = Settings.from_environment(environment)
        told = _told_by(settings, environment, may_create=options.fix)
    except SettingsError as error:
        told = [Told("Settings", Finding("fault", fault)) for fault in error.faults]
        could_start = False
    except (OSError, ValueError) as error:
        told = [Told("Settings", Finding("fault", str(error), "Name a local.settings.json"))]
        could_start = False
    finally:
        line.clear()
    _print(told, options=options)
    return 2 if not could_start else 1 if count(told, "fault") else 0


def _run_azure(options: argparse.Namespace) -> int:
    arguments = {
        "AZURE_SUBSCRIPTION_ID": options.subscription,
        "AZURE_RESOURCE_GROUP": options.resource_group,
        "FLOWLOG_FUNCTION_APP": options.app,
    }
    try:
        deployment = Deployment.find(arguments, {**azd_values(Path.cwd()), **os.environ})
    except SettingsError as error:
        _print([Told("Deployment", Finding("fault", fault)) for fault in error.faults],
               options=options)  # fmt: skip
        return 2
    line = ProgressLine(is_wanted=shows_progress(options))
    line.show(f"Checking {deployment.app} …")
    try:
        told = examine_azure(Arm(CLOUDS[options.cloud], caller_credential()), deployment)
    finally:
        line.clear()
    _print(told, options=options)
    return 1 if count(told, "fault") else 0


def caller_credential() -> TokenCredential:
    """The login of `az login`, or of `azd auth login` where there is none."""
    from azure.identity import (  # noqa: PLC0415 - it takes a quarter of a second
        AzureCliCredential,
        AzureDeveloperCliCredential,
        ChainedTokenCredential,
    )

    return ChainedTokenCredential(AzureCliCredential(), AzureDeveloperCliCredential())


def _print(told: list[Told], *, options: argparse.Namespace) -> None:
    if options.output == "json":
        print(to_json(told))
    else:
        width = columns_of(sys.stdout)
        write(
            [one for one in told if one.finding.level != "ok"] if options.quiet else told,
            sys.stdout,
            printable,
            is_coloured=is_coloured(sys.stdout),
            width=width and min(width, _WIDEST),
        )


def _told_by(settings: Settings, environment: dict[str, str], *, may_create: bool) -> list[Told]:
    try:
        installation = Installation.of(settings, environment, may_create=may_create)
    except ValueError as error:  # of the SDK, about a connection string; it quotes no secret
        to_do = "Copy the connection string again from the storage account's access keys"
        return [Told("Settings", Finding("fault", f"A connection cannot be used: {error}", to_do))]
    try:
        return examine(installation)
    finally:
        installation.service.close()
