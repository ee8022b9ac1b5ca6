#!/bin/sh
# Before anything is created: is it said which logs to forward, and in a way that can be read?
set -euf

fail() {
  printf 'Flowlog: %s\n' "$@" >&2
  exit 1
}

accounts=$(printf '%s' "${FLOWLOG_LOG_ACCOUNTS:-}" | tr -d ' ')
if [ -z "$accounts" ] && [ "${FLOWLOG_TRIAL:-false}" != true ]; then
  fail 'no storage account with flow logs is named. Either' \
    '  azd env set FLOWLOG_LOG_ACCOUNTS "NAME=RESOURCE_ID" (several: separated by commas)' \
    'or, to try it out with a network and a log of its own,' \
    '  azd env set FLOWLOG_TRIAL true'
fi

seen=,
[ "${FLOWLOG_TRIAL:-false}" != true ] || seen=,trial,
IFS=,
for entry in $accounts; do
  name=${entry%%=*}
  rest=${entry#*=}
  id=${rest%%=*}
  case $name in
    '' | [!A-Za-z]* | *[!A-Za-z0-9_]*)
      fail "FLOWLOG_LOG_ACCOUNTS: '$name' in '$entry' is no connection name. Write letters, digits and _, a letter first: NAME=RESOURCE_ID" ;;
  esac
  [ "${#name}" -le 30 ] || fail "FLOWLOG_LOG_ACCOUNTS: '$name' is longer than 30 characters."
  case $seen in
    *,"$name",*)
      fail "FLOWLOG_LOG_ACCOUNTS: the name '$name' is there twice." ;;
  esac
  seen=$seen$name,
  case $id in
    /subscriptions/*/resourceGroups/*/providers/Microsoft.Storage/storageAccounts/?*) ;;
    *) fail "FLOWLOG_LOG_ACCOUNTS: '$id' is not the id of a storage account. 'az storage account show --name ACCOUNT --query id' prints it." ;;
  esac
done

# The subnet of the app is lent to this provider; nothing in the templates would register it.
if [ "${FLOWLOG_PRIVATE_NETWORK:-false}" = true ]; then
  az provider register --subscription "$AZURE_SUBSCRIPTION_ID" --namespace Microsoft.App --wait --output none ||
    fail 'the provider Microsoft.App could not be registered; see above. The private network needs it.'
fi
