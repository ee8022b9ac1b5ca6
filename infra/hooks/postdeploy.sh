#!/bin/sh
# After the code is deployed: has Event Grid send the events of the log accounts to the app. What is
# there already is brought up to date, so it does no harm to run this again, and helps after a key
# was renewed. azd sets the variables; without azd, see "Without azd" in infra/README.md.
set -euf

tries=${FLOWLOG_HOOK_TRIES:-60}
wait_s=${FLOWLOG_HOOK_WAIT_S:-10}
here=$(dirname "$0")

fail() {
  printf 'Flowlog: %s\n' "$@" >&2
  exit 1
}

missing=
for name in AZURE_SUBSCRIPTION_ID AZURE_RESOURCE_GROUP FLOWLOG_FUNCTION_APP FLOWLOG_STORAGE_ACCOUNT FLOWLOG_EVENT_SOURCES; do
  eval "value=\${$name:-}"
  [ -n "$value" ] || missing="$missing $name"
done
[ -z "$missing" ] || fail "not set:$missing. 'azd provision' sets them."

command -v az >/dev/null 2>&1 ||
  fail "the Azure CLI, 'az', was not found. Install it, then run 'azd hooks run postdeploy'."
az account show --subscription "$AZURE_SUBSCRIPTION_ID" --output none ||
  fail "the Azure CLI cannot use subscription $AZURE_SUBSCRIPTION_ID. Run 'az login', then 'azd hooks run postdeploy'."

# The host makes the key when it first starts with the code. Only names of keys are asked for.
errors=$(mktemp)
trap 'rm -f "$errors"' EXIT
try=1
until keys=$(az functionapp keys list --subscription "$AZURE_SUBSCRIPTION_ID" --resource-group "$AZURE_RESOURCE_GROUP" --name "$FLOWLOG_FUNCTION_APP" --query "systemKeys | keys(@)" --output tsv 2>"$errors") &&
  printf '%s\n' "$keys" | tr -d '\r' | grep -qx blobs_extension; do
  if [ "$try" -ge "$tries" ]; then
    cat "$errors" >&2
    fail "$FLOWLOG_FUNCTION_APP has no key 'blobs_extension' after $tries looks, so its blob triggers have not started." \
      "Its log in Application Insights says why; a wrong setting is the first line there." \
      "Then run 'azd hooks run postdeploy'."
  fi
  [ "$try" -gt 1 ] || echo "Waiting for $FLOWLOG_FUNCTION_APP to start with the new code"
  try=$((try + 1))
  sleep "$wait_s"
done

# Event Grid calls the app before it accepts the address; an app that has just started may be late.
try=1
until az deployment group create --subscription "$AZURE_SUBSCRIPTION_ID" --resource-group "$AZURE_RESOURCE_GROUP" --name flowlog-events --template-file "$here/../events.bicep" --parameters functionAppName="$FLOWLOG_FUNCTION_APP" storageName="$FLOWLOG_STORAGE_ACCOUNT" eventSources="$FLOWLOG_EVENT_SOURCES" --output none; do
  [ "$try" -lt 3 ] ||
    fail "the event subscriptions could not be made; see above. Until they are, the sweep forwards" \
      "what it finds, minutes late. Then run 'azd hooks run postdeploy'."
  try=$((try + 1))
  sleep "$wait_s"
done

IFS=,
for source in $FLOWLOG_EVENT_SOURCES; do
  id=${source#*=}
  id=${id%%=*}
  echo "Events of ${id##*/} go to $FLOWLOG_FUNCTION_APP as ${source%%=*}"
done
