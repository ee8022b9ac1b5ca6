// Everything that Flowlog needs in a subscription. The order in which it comes about, and why each
// part is there: README.md in this folder. Event subscriptions to the blob trigger follow after the
// code is deployed, see events.bicep.
targetScope = 'subscription'

@description('Name of the azd environment, which is part of the names of all resources.')
@minLength(1)
@maxLength(40)
param environmentName string

@description('Region of the function app and its storage. The log accounts may be in others.')
@minLength(1)
@metadata({
  azd: {
    type: 'location'
  }
})
param location string

@description('Existing storage accounts with flow logs: NAME=RESOURCE_ID, separated by commas. NAME becomes the connection name: letters, digits and _. For an account that already has an Event Grid system topic: NAME=RESOURCE_ID=TOPIC_NAME, because Azure allows one topic for each account.')
param logAccounts string = ''

@description('How the app learns of new flow logs: EventGrid (a blob trigger), EventQueue (events in a queue of its own) or Timer (it lists the accounts every minute). docs/ways-in.md compares them.')
@allowed([
  'EventGrid'
  'EventQueue'
  'Timer'
])
param trigger string = 'EventGrid'

@description('With EventQueue: subscribe the queue to the events of the log accounts. With azd a hook does this, and tries again if Event Grid cannot use the new role yet.')
param subscribe bool = true

@description('Create a virtual network with a flow log, and a storage account for it, to try Flowlog out.')
param trial bool = false

@description('Keep storage off the public network: virtual network integration and private endpoints.')
param privateNetwork bool = false

@description('Allow calls to the app from the public network. The blob trigger needs this, and so do deployments of code from there.')
param publicAccess bool = true

@description('Allow calls to the app only from Event Grid. Switch it on once events arrive; infra/README.md says why.')
param eventGridOnly bool = false

@description('Where records are sent.')
@allowed([
  'queue'
  'table'
  'eventhub'
])
param sink string = 'queue'

@description('With the sink eventhub: number of partitions of the event hub. It cannot be changed later.')
@minValue(1)
@maxValue(32)
param eventHubPartitions int = 8

@description('Number of queues (or table partitions per hour) to spread interfaces over.')
@minValue(1)
@maxValue(32)
param shards int = 1

@description('Form of queue messages and events: docs/consuming.md.')
@allowed([
  'gzip'
  'json'
])
param queueEncoding string = 'gzip'

@description('Rules: only records that match one are sent. Empty: all. docs/rules.md describes the language.')
param keep string = ''

@description('Rules: records that match one are not sent.')
param drop string = ''

@description('Fields to send: all, lean, or names separated by commas.')
param fields string = 'all'

@description('Send one record for all tuples of one flow in an entry: docs/rules.md.')
param aggregate bool = false

@description('Schema of the records: docs/schemas.md.')
@allowed([
  'flowlog'
  'ecs'
  'ocsf'
  'asim'
])
param schema string = 'flowlog'

@description('Other settings of the app: NAME=value, separated by semicolons. They replace the settings above.')
param extraSettings string = ''

@description('Role of the app in the log accounts: Storage Blob Data Reader, which is enough with Event Grid, or Owner, which Microsoft recommends for all kinds of blob triggers.')
@allowed([
  'Reader'
  'Owner'
])
param logBlobRole string = 'Reader'

@description('Maximum number of instances that the app may scale out to.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('Log every read, write and delete in the state account to the workspace. This costs about as much as the telemetry.')
param auditStorage bool = false

@description('E-mail address that receives alerts. Empty: alerts appear only in the portal.')
param alertEmail string = ''

@description('Minutes without data from a log account after which an alert fires: 15, 30, 45, 60, 120, 180, 240, 300 or 360.')
@allowed([
  15
  30
  45
  60
  120
  180
  240
  300
  360
])
param silenceMinutes int = 60

@description('Days after which dead letters are deleted; 0 keeps them forever. They contain the IP addresses of the log.')
@minValue(0)
@maxValue(36500)
param deadLetterDays int = 90

@description('Let the app send sums of the traffic to a table of the workspace, for the workbook.')
param trafficTable bool = true

var names = loadJsonContent('names.json')
var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = {
  'azd-env-name': environmentName
}
var groupName = 'rg-${environmentName}'
var functionAppName = 'func-flowlog-${token}'
var storageName = 'stflowlog${token}'
var namespaceName = 'evhns-flowlog-${token}'
var toHub = sink == 'eventhub'
var trialStorageName = 'stflowtrial${token}'

// The one list of log accounts: those that were named, and the one for trying out.
var entries = empty(logAccounts) ? [] : split(replace(logAccounts, ' ', ''), ',')
var given = [for entry in entries: {
  name: split(entry, '=')[0]
  id: split(entry, '=')[1]
  topic: length(split(entry, '=')) > 2 ? split(entry, '=')[2] : 'evgt-${token}-${replace(split(entry, '=')[0], '_', '-')}'
  topicExists: length(split(entry, '=')) > 2
}]
var tried = {
  name: 'trial'
  id: '${subscription().id}/resourceGroups/${groupName}/providers/Microsoft.Storage/storageAccounts/${trialStorageName}'
  topic: 'evgt-${token}-trial'
  topicExists: false
}
var sources = concat(given, trial ? [ tried ] : [])
var sourceNames = [for source in sources: source.name]
var accountNames = [for source in sources: last(split(source.id, '/'))]
var eventSources = [for source in sources: '${source.name}=${source.id}=${source.topic}']

resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: groupName
  location: location
  tags: tags
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'flowlog-monitoring'
  scope: group
  params: {
    token: token
    location: location
    tags: tags
    trafficTable: trafficTable
  }
}

module identity 'modules/identity.bicep' = {
  name: 'flowlog-identity'
  scope: group
  params: {
    name: 'id-flowlog-${token}'
    location: location
    tags: tags
  }
}

module storage 'modules/storage.bicep' = {
  name: 'flowlog-storage'
  scope: group
  params: {
    name: storageName
    location: location
    tags: tags
    names: names
    shards: shards
    hasEventQueue: trigger == 'EventQueue'
    privateNetwork: privateNetwork
    auditStorage: auditStorage
    deadLetterDays: deadLetterDays
    workspaceId: monitoring.outputs.workspaceId
  }
}

module access 'modules/access.bicep' = {
  name: 'flowlog-access'
  scope: group
  params: {
    storageName: storage.outputs.name
    insightsName: monitoring.outputs.insightsName
    principalId: identity.outputs.principalId
  }
}

module eventHub 'modules/event-hub.bicep' = if (toHub) {
  name: 'flowlog-event-hub'
  scope: group
  params: {
    name: namespaceName
    hubName: names.eventHub
    location: location
    tags: tags
    principalId: identity.outputs.principalId
    actionGroupId: alerts.outputs.actionGroupId
    workspaceId: monitoring.outputs.workspaceId
    partitions: eventHubPartitions
    privateNetwork: privateNetwork
  }
}

module trialLogs 'modules/trial.bicep' = if (trial) {
  name: 'flowlog-trial'
  scope: group
  params: {
    token: token
    name: trialStorageName
    location: location
    tags: tags
    privateNetwork: privateNetwork
  }
}

module logAccount 'modules/log-account.bicep' = [for source in sources: {
  name: 'flowlog-log-account-${source.name}'
  scope: resourceGroup(split(source.id, '/')[2], split(source.id, '/')[4])
  params: {
    accountName: last(split(source.id, '/'))
    topicName: source.topic
    topicExists: source.topicExists
    hasTopic: trigger != 'Timer'
    hasPoisonQueue: trigger == 'EventGrid'
    blobRole: 'Storage Blob Data ${logBlobRole}'
    principalId: identity.outputs.principalId
    workspaceId: monitoring.outputs.workspaceId
    tags: tags
  }
  dependsOn: [
    trialLogs
  ]
}]

// With the app where that is possible. Azure wants the rule in the subscription of what it measures,
// so for an account of another subscription it is in the account's group.
module accountAlerts 'modules/account-alerts.bicep' = [for (source, i) in sources: if (trigger != 'Timer') {
  name: 'flowlog-account-alerts-${source.name}'
  scope: resourceGroup(split(source.id, '/')[2], toLower(split(source.id, '/')[2]) == toLower(subscription().subscriptionId) ? groupName : split(source.id, '/')[4])
  params: {
    accountId: source.id
    hasPoisonQueue: trigger == 'EventGrid'
    topicId: logAccount[i].outputs.topicId
    actionGroupId: alerts.outputs.actionGroupId
    tags: tags
  }
}]

// Event Grid keeps events that it could not deliver, under the topic's own identity.
module eventDeadLetters 'modules/event-dead-letters.bicep' = [for (source, i) in sources: if (trigger != 'Timer') {
  name: 'flowlog-event-dead-letters-${source.name}'
  scope: group
  params: {
    storageName: storage.outputs.name
    principalId: logAccount[i].outputs.topicPrincipalId
  }
}]

// The event queue needs no code, key or address of the app, so its subscriptions are made here.
module eventSenders 'modules/event-sender.bicep' = [for (source, i) in sources: if (trigger == 'EventQueue') {
  name: 'flowlog-event-sender-${source.name}'
  scope: group
  params: {
    storageName: storage.outputs.name
    queueName: names.eventQueue
    principalId: logAccount[i].outputs.topicPrincipalId
  }
}]

module queueSubscriptions 'modules/queue-subscriptions.bicep' = [for source in sources: if (trigger == 'EventQueue' && subscribe) {
  name: 'flowlog-queue-events-${source.name}'
  scope: resourceGroup(split(source.id, '/')[2], split(source.id, '/')[4])
  params: {
    topicName: source.topic
    watched: names.watched
    functionAppName: functionAppName
    stateAccountId: storage.outputs.id
    eventQueue: names.eventQueue
    deadLetterContainer: names.eventDeadLetterContainer
  }
  dependsOn: [
    logAccount
    eventSenders
    eventDeadLetters
  ]
}]

module network 'modules/network.bicep' = if (privateNetwork) {
  name: 'flowlog-network'
  scope: group
  params: {
    token: token
    location: location
    tags: tags
    withEventHub: toHub
  }
}

module privateStorage 'modules/private-endpoints.bicep' = if (privateNetwork) {
  name: 'flowlog-private-storage'
  scope: group
  params: {
    name: storageName
    accountId: storage.outputs.id
    services: [
      'blob'
      'queue'
      'table'
    ]
    subnetId: network.?outputs.endpointSubnetId ?? ''
    zoneIds: network.?outputs.zoneIds ?? {}
    location: location
    tags: tags
  }
}

module privateHub 'modules/private-endpoints.bicep' = if (privateNetwork && toHub) {
  name: 'flowlog-private-event-hub'
  scope: group
  params: {
    name: namespaceName
    accountId: eventHub.?outputs.id ?? ''
    services: [
      'namespace'
    ]
    subnetId: network.?outputs.endpointSubnetId ?? ''
    zoneIds: network.?outputs.zoneIds ?? {}
    location: location
    tags: tags
  }
}

module privateLogs 'modules/private-endpoints.bicep' = [for source in sources: if (privateNetwork) {
  name: 'flowlog-private-log-${source.name}'
  scope: group
  params: {
    name: last(split(source.id, '/'))
    accountId: source.id
    services: trigger == 'EventGrid' ? [ 'blob', 'queue' ] : [ 'blob' ]
    subnetId: network.?outputs.endpointSubnetId ?? ''
    zoneIds: network.?outputs.zoneIds ?? {}
    location: location
    tags: tags
  }
  dependsOn: [
    trialLogs
  ]
}]

module functionApp 'modules/function-app.bicep' = {
  name: 'flowlog-function-app'
  scope: group
  params: {
    name: functionAppName
    planName: 'plan-flowlog-${token}'
    location: location
    tags: tags
    identityId: identity.outputs.id
    clientId: identity.outputs.clientId
    storageName: storage.outputs.name
    insightsConnectionString: monitoring.outputs.insightsConnectionString
    workspaceId: monitoring.outputs.workspaceId
    names: names
    sourceNames: sourceNames
    sources: sources
    trigger: trigger
    publicAccess: publicAccess
    sink: sink
    namespaceName: toHub ? namespaceName : ''
    shards: shards
    queueEncoding: queueEncoding
    keep: keep
    drop: drop
    fields: fields
    aggregate: aggregate
    schema: schema
    extraSettings: extraSettings
    maximumInstanceCount: maximumInstanceCount
    eventGridOnly: eventGridOnly
    trafficEndpoint: traffic.?outputs.endpoint ?? ''
    trafficRule: traffic.?outputs.ruleId ?? ''
    subnetId: network.?outputs.appSubnetId ?? ''
  }
  dependsOn: [
    access
    logAccount
    privateStorage
    privateHub
    privateLogs
    eventHub
  ]
}

module alerts 'modules/alerts.bicep' = {
  name: 'flowlog-alerts'
  scope: group
  params: {
    token: token
    location: location
    tags: tags
    insightsId: monitoring.outputs.insightsId
    email: alertEmail
    silenceMinutes: silenceMinutes
    hasEvents: trigger != 'Timer'
    poisonQueue: trigger == 'EventQueue' ? '${names.eventQueue}-poison' : ''
    accountNames: accountNames
  }
}

module workbook 'modules/workbook.bicep' = {
  name: 'flowlog-workbook'
  scope: group
  params: {
    location: location
    tags: tags
    insightsId: monitoring.outputs.insightsId
    workspaceId: monitoring.outputs.workspaceId
  }
}

module traffic 'modules/traffic.bicep' = if (trafficTable) {
  name: 'flowlog-traffic'
  scope: group
  params: {
    token: token
    workspaceName: monitoring.outputs.workspaceName
    tableName: monitoring.outputs.trafficTableName
    location: location
    tags: tags
    principalId: identity.outputs.principalId
  }
  dependsOn: [
    access
  ]
}

// azd puts these into the environment, where the hook after the deployment finds them.
output AZURE_RESOURCE_GROUP string = group.name
output AZURE_LOCATION string = location
output FLOWLOG_FUNCTION_APP string = functionApp.outputs.name
output FLOWLOG_STORAGE_ACCOUNT string = storage.outputs.name
output FLOWLOG_EVENT_SOURCES string = join(eventSources, ',')
