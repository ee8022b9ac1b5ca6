// The event subscriptions, deployed by the hooks: see hooks/. To a blob trigger, after the code, since
// the key in the address exists only then; Azure looks it up while it deploys, so it is in no command
// line, no log and no deployment history. To the event queue, once the system topics may send to it.

@description('The function app, in this resource group.')
param functionAppName string

@description('The account for events that could not be delivered, in this resource group.')
param storageName string

@description('What main.bicep puts out: NAME=ACCOUNT_ID=TOPIC_NAME, separated by commas.')
param eventSources string

@description('EventGrid: to the blob triggers; EventQueue: to the event queue.')
@allowed([
  'EventGrid'
  'EventQueue'
])
param trigger string

var names = loadJsonContent('names.json')
var entries = split(eventSources, ',')

resource account 'Microsoft.Storage/storageAccounts@2023-05-01' existing = {
  name: storageName
}

module subscriptions 'modules/event-subscriptions.bicep' = [for entry in entries: if (trigger == 'EventGrid') {
  name: 'flowlog-events-${split(entry, '=')[0]}'
  scope: resourceGroup(split(split(entry, '=')[1], '/')[2], split(split(entry, '=')[1], '/')[4])
  params: {
    connection: split(entry, '=')[0]
    topicName: split(entry, '=')[2]
    watched: names.watched
    functionAppName: functionAppName
    functionAppGroup: resourceGroup().name
    functionAppSubscription: subscription().subscriptionId
    deadLetterAccountId: account.id
    deadLetterContainer: names.eventDeadLetterContainer
  }
}]

module queueSubscriptions 'modules/queue-subscriptions.bicep' = [for entry in entries: if (trigger == 'EventQueue') {
  name: 'flowlog-queue-events-${split(entry, '=')[0]}'
  scope: resourceGroup(split(split(entry, '=')[1], '/')[2], split(split(entry, '=')[1], '/')[4])
  params: {
    topicName: split(entry, '=')[2]
    watched: names.watched
    functionAppName: functionAppName
    stateAccountId: account.id
    eventQueue: names.eventQueue
    deadLetterContainer: names.eventDeadLetterContainer
  }
}]
