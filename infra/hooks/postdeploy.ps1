# After the code is deployed: has Event Grid send the events of the log accounts to the app. What is
# there already is brought up to date, so it does no harm to run this again, and helps after a key
# was renewed. azd sets the variables; without azd, see "Without azd" in infra/README.md.
# The same as postdeploy.sh, line by line.
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
$PSNativeCommandUseErrorActionPreference = $false

$tries = if ($env:FLOWLOG_HOOK_TRIES) { [int] $env:FLOWLOG_HOOK_TRIES } else { 60 }
$waitS = if ($env:FLOWLOG_HOOK_WAIT_S) { [int] $env:FLOWLOG_HOOK_WAIT_S } else { 10 }

function Fail([string[]] $lines) {
  foreach ($line in $lines) { [Console]::Error.WriteLine("Flowlog: $line") }
  exit 1
}

$missing = ''
foreach ($name in 'AZURE_SUBSCRIPTION_ID', 'AZURE_RESOURCE_GROUP', 'FLOWLOG_FUNCTION_APP', 'FLOWLOG_STORAGE_ACCOUNT', 'FLOWLOG_EVENT_SOURCES') {
  if (-not [Environment]::GetEnvironmentVariable($name)) { $missing += " $name" }
}
if ($missing) { Fail "not set:$missing. 'azd provision' sets them." }

if (-not (Get-Command az -ErrorAction SilentlyContinue)) {
  Fail "the Azure CLI, 'az', was not found. Install it, then run 'azd hooks run postdeploy'."
}
az account show --subscription "$env:AZURE_SUBSCRIPTION_ID" --output none
if ($LASTEXITCODE -ne 0) {
  Fail "the Azure CLI cannot use subscription $env:AZURE_SUBSCRIPTION_ID. Run 'az login', then 'azd hooks run postdeploy'."
}

# The host makes the key when it first starts with the code. Only names of keys are asked for.
$errors = New-TemporaryFile
$try = 1
while ($true) {
  $keys = az functionapp keys list --subscription "$env:AZURE_SUBSCRIPTION_ID" --resource-group "$env:AZURE_RESOURCE_GROUP" --name "$env:FLOWLOG_FUNCTION_APP" --query "systemKeys | keys(@)" --output tsv 2>"$errors"
  if ($LASTEXITCODE -eq 0 -and @($keys) -ccontains 'blobs_extension') { break }
  if ($try -ge $tries) {
    Get-Content $errors | ForEach-Object { [Console]::Error.WriteLine($_) }
    Remove-Item $errors
    Fail @(
      "$env:FLOWLOG_FUNCTION_APP has no key 'blobs_extension' after $tries looks, so its blob triggers have not started.",
      "Its log in Application Insights says why; a wrong setting is the first line there.",
      "Then run 'azd hooks run postdeploy'."
    )
  }
  if ($try -eq 1) { Write-Output "Waiting for $env:FLOWLOG_FUNCTION_APP to start with the new code" }
  $try += 1
  Start-Sleep -Seconds $waitS
}
Remove-Item $errors

# Event Grid calls the app before it accepts the address; an app that has just started may be late.
$try = 1
while ($true) {
  az deployment group create --subscription "$env:AZURE_SUBSCRIPTION_ID" --resource-group "$env:AZURE_RESOURCE_GROUP" --name flowlog-events --template-file "$PSScriptRoot/../events.bicep" --parameters functionAppName="$env:FLOWLOG_FUNCTION_APP" storageName="$env:FLOWLOG_STORAGE_ACCOUNT" eventSources="$env:FLOWLOG_EVENT_SOURCES" --output none
  if ($LASTEXITCODE -eq 0) { break }
  if ($try -ge 3) {
    Fail @(
      "the event subscriptions could not be made; see above. Until they are, the sweep forwards",
      "what it finds, minutes late. Then run 'azd hooks run postdeploy'."
    )
  }
  $try += 1
  Start-Sleep -Seconds $waitS
}

foreach ($source in $env:FLOWLOG_EVENT_SOURCES.Split(',')) {
  $name, $id, $topic = $source.Split('=')
  Write-Output "Events of $($id.Split('/')[-1]) go to $env:FLOWLOG_FUNCTION_APP as $name"
}
