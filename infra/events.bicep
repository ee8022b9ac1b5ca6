// The event subscriptions: blobs of the log accounts to the blob triggers of the app. Deployed after
// the code, since the key in the address exists only then (see hooks/). The key is looked up by
// Azure while it deploys, so it is in no command line, no log and no deployment history.

@description('The function app, in this resource group.')
param functionAppName string

@description('The account for events that could not be delivered, in this resource group.')
param storageName string

@description('What main.bicep puts out: NAME=ACCOUNT_ID=TOPIC_NAME, separated by commas.')
param eventSources string

var names = loadJsonContent('names.json')
var entries = split(eventSources, ',')

resource account 'Microsoft.Storage/storageAccounts@2023-05-01' existing = {
  name: storageName
}

module subscriptions 'modules/event-subscriptions.bicep' = [for entry in entries: {
  name: 'flowlog-events-${split(entry, '=')[0]}'
  scope: resourceGroup(split(split(entry, '=')[1], '/')[2], split(split(entry, '=')[1], '/')[4])
  params: {
    connection: split(entry, '=')[0]
    accountName: last(split(split(entry, '=')[1], '/'))
    topicName: split(entry, '=')[2]
    watched: names.watched
    functionAppName: functionAppName
    functionAppGroup: resourceGroup().name
    functionAppSubscription: subscription().subscriptionId
    deadLetterAccountId: account.id
    deadLetterContainer: names.eventDeadLetterContainer
  }
}]
