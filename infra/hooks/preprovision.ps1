# Before anything is created: is it said which logs to forward, and in a way that can be read?
# The same as preprovision.sh, line by line.
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

function Fail([string[]] $lines) {
  foreach ($line in $lines) { [Console]::Error.WriteLine("Flowlog: $line") }
  exit 1
}

$accounts = "$env:FLOWLOG_LOG_ACCOUNTS".Replace(' ', '')
if (-not $accounts -and $env:FLOWLOG_TRIAL -cne 'true') {
  Fail @(
    'no storage account with flow logs is named. Either',
    '  azd env set FLOWLOG_LOG_ACCOUNTS "NAME=RESOURCE_ID" (several: separated by commas)',
    'or, to try it out with a network and a log of its own,',
    '  azd env set FLOWLOG_TRIAL true'
  )
}

$seen = @()
if ($env:FLOWLOG_TRIAL -ceq 'true') { $seen += 'trial' }
foreach ($entry in $accounts.Split(',', [StringSplitOptions]::RemoveEmptyEntries)) {
  $parts = @($entry.Split('=')) + ''
  $name = $parts[0]
  $id = $parts[1]
  if ($name -cnotmatch '^[A-Za-z][A-Za-z0-9_]*$') {
    Fail "FLOWLOG_LOG_ACCOUNTS: '$name' in '$entry' is no connection name. Write letters, digits and _, a letter first: NAME=RESOURCE_ID"
  }
  if ($name.Length -gt 30) { Fail "FLOWLOG_LOG_ACCOUNTS: '$name' is longer than 30 characters." }
  if ($seen -ccontains $name) { Fail "FLOWLOG_LOG_ACCOUNTS: the name '$name' is there twice." }
  $seen += $name
  if ($id -cnotmatch '^/subscriptions/.*/resourceGroups/.*/providers/Microsoft\.Storage/storageAccounts/.+$') {
    Fail "FLOWLOG_LOG_ACCOUNTS: '$id' is not the id of a storage account. 'az storage account show --name ACCOUNT --query id' prints it."
  }
}

# The subnet of the app is lent to this provider; nothing in the templates would register it.
if ($env:FLOWLOG_PRIVATE_NETWORK -ceq 'true') {
  az provider register --subscription "$env:AZURE_SUBSCRIPTION_ID" --namespace Microsoft.App --wait --output none
  if ($LASTEXITCODE -ne 0) {
    Fail 'the provider Microsoft.App could not be registered; see above. The private network needs it.'
  }
}
