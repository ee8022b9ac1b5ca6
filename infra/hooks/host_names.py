"""Names that no connection may have, as the Functions host would read a setting of its own."""

from __future__ import annotations

HOST_NAMES = frozenset(
    {
        "storage",
        "dashboard",
        "env",
        "scriptroot",
        "featureflags",
        "disablehomepage",
        "dotnetreleasecompilation",
        "configurationsection",
        "kubernetessecretname",
        "secretstoragetype",
        "secretstoragesas",
        "secretstoragekeyvaulturi",
        "secretstoragekeyvaultclientid",
        "secretstoragekeyvaultclientsecret",
        "secretstoragekeyvaulttenantid",
    }
)
"""Lower case: each `AzureWebJobs…` setting that the host reads for itself, without the prefix.

From EnvironmentSettingNames.cs in src/WebJobs.Script/Environment of Azure/azure-functions-host
(89dc438d); ConfigurationSection, Dashboard and Env are the WebJobs SDK's.
"""


def taken_by_host(name: str) -> str | None:
    """The setting of the host's own that it would read instead of the connection `name`."""
    return f"AzureWebJobs{name}" if name.lower() in HOST_NAMES else None
