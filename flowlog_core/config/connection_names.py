"""Which names the Functions host can use for a connection, and which settings it then reads.

The host looks up the connection `X` as `AzureWebJobsX` first, then as `X`, and each of them under
`ConnectionStrings` before it looks among the other settings (`GetWebJobsConnectionStringSection` in
sdk/extensions/Microsoft.Azure.WebJobs.Extensions.Clients/src/Shared of Azure/azure-sdk-for-net). A
wrong account found that way is not reported: its events are dropped at Debug level. Names and
settings are compared without regard to case, and `__` separates the sections of a setting's name.

Used by the app's settings and by azd's hooks, so it imports nothing else of this package.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

_PREFIX = "AzureWebJobs"
_STRINGS = "ConnectionStrings"
# How App Service hands over what is set as a connection string, see
# https://learn.microsoft.com/azure/app-service/configure-common#configure-connection-strings
_APP_SERVICE = ("CUSTOMCONNSTR_", "SQLAZURECONNSTR_", "SQLCONNSTR_", "MYSQLCONNSTR_")


def is_connection_name(name: str) -> bool:
    """Whether `name` is letters, digits and `_`, a letter first."""
    return re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name) is not None


def breaks_sections(name: str) -> bool:
    """Whether settings such as `{name}__blobServiceUri` are cut at the wrong place.

    Concerns the identity form alone, in which a name is followed by `__` and a property.
    """
    return "__" in name or name.endswith("_")


def read_instead(name: str, settings: Collection[str]) -> str | None:
    """Which of `settings` (their names) the host reads before the setting `name`, if any."""
    first = [f"{_STRINGS}__{_PREFIX}{name}", f"{_PREFIX}{name}", f"{_STRINGS}__{name}"]
    first += [f"{prefix}{one}" for one in (f"{_PREFIX}{name}", name) for prefix in _APP_SERVICE]
    by_lower = {setting.lower().replace(":", "__"): setting for setting in sorted(settings)}
    for wanted in map(str.lower, first):
        for lower, setting in by_lower.items():
            if lower == wanted or lower.startswith(f"{wanted}__"):
                return setting
    return None


def same_but_for_case(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of names that the host takes for one: it refuses the functions of both."""
    seen: dict[str, str] = {}
    pairs = []
    for name in names:
        first = seen.setdefault(name.lower(), name)
        if first != name:
            pairs.append((first, name))
    return pairs
