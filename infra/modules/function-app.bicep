// The function app on Flex Consumption, its plan and its settings.
param name string
param planName string
param location string
param tags object
param identityId string
param clientId string
param storageName string
param insightsConnectionString string
param workspaceId string

@description('names.json')
param names object

param sourceNames array

@description('One for each log account: name (of the connection), id (of the account).')
param sources array

@description('EventGrid, EventQueue or Timer.')
param trigger string

@description('Let the app be called from the public network.')
param publicAccess bool

param sink string

@description('Event Hubs namespace of the records; empty: another sink.')
param namespaceName string

param shards int
param queueEncoding string
param keep string
param drop string
param fields string
param aggregate bool
param schema string
param extraSettings string
param maximumInstanceCount int
param eventGridOnly bool

@description('Endpoint and data collection rule for traffic summaries; both empty: none are sent.')
param trafficEndpoint string
param trafficRule string

@description('Subnet for outgoing traffic; empty: the public network.')
param subnetId string

var suffix = environment().suffixes.storage

// How the host, and the app for its state and sink, reach the account: by identity, without a key.
var stateSettings = [
  {
    name: 'AzureWebJobsStorage__credential'
    value: 'managedidentity'
  }
  {
    name: 'AzureWebJobsStorage__clientId'
    value: clientId
  }
  {
    name: 'AzureWebJobsStorage__blobServiceUri'
    value: 'https://${storageName}.blob.${suffix}'
  }
  {
    name: 'AzureWebJobsStorage__queueServiceUri'
    value: 'https://${storageName}.queue.${suffix}'
  }
  {
    name: 'AzureWebJobsStorage__tableServiceUri'
    value: 'https://${storageName}.table.${suffix}'
  }
]

// The log accounts, each under its connection name.
var sourceCredentials = [for source in sources: {
  name: '${source.name}__credential'
  value: 'managedidentity'
}]
var sourceClients = [for source in sources: {
  name: '${source.name}__clientId'
  value: clientId
}]
var sourceBlobs = [for source in sources: {
  name: '${source.name}__blobServiceUri'
  value: 'https://${last(split(source.id, '/'))}.blob.${suffix}'
}]
// For the host, which keeps failed events of a blob trigger there.
var sourceQueues = [for source in (trigger == 'EventGrid' ? sources : []): {
  name: '${source.name}__queueServiceUri'
  value: 'https://${last(split(source.id, '/'))}.queue.${suffix}'
}]

// The namespace, under the connection name FlowlogHub.
var hubSettings = empty(namespaceName) ? [] : [
  {
    name: 'FLOWLOG_SINK_CONNECTION'
    value: 'FlowlogHub'
  }
  {
    name: 'FlowlogHub__fullyQualifiedNamespace'
    value: '${namespaceName}.servicebus.windows.net'
  }
  {
    name: 'FlowlogHub__credential'
    value: 'managedidentity'
  }
  {
    name: 'FlowlogHub__clientId'
    value: clientId
  }
]

var ownSettings = [
  {
    name: 'FLOWLOG_SOURCES'
    value: join(sourceNames, ',')
  }
  {
    name: 'FLOWLOG_NSG_CONTAINER'
    value: names.watched[0].container
  }
  {
    name: 'FLOWLOG_VNET_CONTAINER'
    value: names.watched[1].container
  }
  {
    name: 'FLOWLOG_TRIGGER_SOURCE'
    value: trigger
  }
  {
    name: 'FLOWLOG_EVENT_QUEUE'
    value: names.eventQueue
  }
  {
    name: 'FLOWLOG_STATE'
    value: 'AzureWebJobsStorage'
  }
  {
    name: 'FLOWLOG_CHECKPOINT_TABLE'
    value: names.checkpointTable
  }
  {
    name: 'FLOWLOG_DEAD_LETTER_CONTAINER'
    value: names.deadLetterContainer
  }
  {
    name: 'FLOWLOG_SINK'
    value: sink
  }
  {
    name: 'FLOWLOG_QUEUE'
    value: names.queue
  }
  {
    name: 'FLOWLOG_TABLE'
    value: names.table
  }
  {
    name: 'FLOWLOG_EVENT_HUB'
    value: names.eventHub
  }
  {
    name: 'FLOWLOG_SHARDS'
    value: string(shards)
  }
  {
    name: 'FLOWLOG_QUEUE_ENCODING'
    value: queueEncoding
  }
  {
    name: 'FLOWLOG_KEEP'
    value: keep
  }
  {
    name: 'FLOWLOG_DROP'
    value: drop
  }
  {
    name: 'FLOWLOG_FIELDS'
    value: fields
  }
  {
    name: 'FLOWLOG_AGGREGATE'
    value: toLower(string(aggregate))
  }
  {
    name: 'FLOWLOG_SCHEMA'
    value: schema
  }
  {
    name: 'FLOWLOG_TRAFFIC_ENDPOINT'
    value: trafficEndpoint
  }
  {
    name: 'FLOWLOG_TRAFFIC_RULE'
    value: trafficRule
  }
]

// docs/host.md says why 20.
var hostSettings = [
  {
    name: 'PYTHON_THREADPOOL_THREAD_COUNT'
    value: '20'
  }
  {
    name: 'APPLICATIONINSIGHTS_CONNECTION_STRING'
    value: insightsConnectionString
  }
  {
    name: 'APPLICATIONINSIGHTS_AUTHENTICATION_STRING'
    value: 'ClientId=${clientId};Authorization=AAD'
  }
]

var extras = empty(extraSettings) ? [] : split(extraSettings, ';')
var addedSettings = [for extra in extras: {
  name: trim(split(extra, '=')[0])
  value: trim(substring(extra, indexOf(extra, '=') + 1))
}]

// A setting that became a parameter may still be among those that were added.
var addedNames = map(addedSettings, added => added.name)
var setHere = filter(concat(hubSettings, ownSettings, hostSettings), setting => !contains(addedNames, setting.name))

var appSettings = concat(stateSettings, sourceCredentials, sourceClients, sourceBlobs, sourceQueues, setHere, addedSettings)

// Azure's own addresses from which Event Grid calls; with eventGridOnly every other caller is turned away.
var closed = eventGridOnly && trigger == 'EventGrid'
var fromEventGrid = [
  {
    name: 'event-grid'
    description: 'Events of the log accounts'
    priority: 100
    action: 'Allow'
    tag: 'ServiceTag'
    ipAddress: 'AzureEventGrid'
  }
]

resource plan 'Microsoft.Web/serverfarms@2024-04-01' = {
  // checkov:skip=CKV_AZURE_225: zone redundancy needs instances that are always ready; events wait in a queue meanwhile
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
  }
}

resource app 'Microsoft.Web/sites@2024-04-01' = {
  // checkov:skip=CKV_AZURE_17: Event Grid, the only caller, shows no client certificate; it shows the key of the blob extension
  // checkov:skip=CKV_AZURE_78: Flex Consumption has no FTP and refuses the setting
  // checkov:skip=CKV_AZURE_212: Flex Consumption scales from zero; nothing is lost while no instance runs
  // checkov:skip=CKV_AZURE_213: Flex Consumption has no health check; a function that fails is in the alerts
  // checkov:skip=CKV_AZURE_222: Event Grid delivers from outside any network; every caller needs the key of the blob extension
  name: name
  location: location
  tags: union(tags, {
    'azd-service-name': 'flowlog'
  })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    publicNetworkAccess: publicAccess ? 'Enabled' : 'Disabled' // Event Grid calls a blob trigger from outside
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    siteConfig: {
      appSettings: appSettings
      http20Enabled: true
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      remoteDebuggingEnabled: false
      ipSecurityRestrictions: closed ? fromEventGrid : []
      ipSecurityRestrictionsDefaultAction: closed ? 'Deny' : 'Allow'
      scmIpSecurityRestrictionsUseMain: false // deployments come from elsewhere, with an Entra token
    }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: 'https://${storageName}.blob.${suffix}/${names.deploymentContainer}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      scaleAndConcurrency: {
        instanceMemoryMB: 2048
        maximumInstanceCount: maximumInstanceCount
      }
      runtime: {
        name: 'python'
        version: '3.13'
      }
    }
  }
}

// No user names and passwords for deployments. Flex Consumption has no FTP that needed the same.
resource noScmPassword 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' = {
  parent: app
  name: 'scm'
  properties: {
    allow: false
  }
}

// Metrics only: the app's log is in Application Insights already, and a second copy costs as much.
resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'flowlog'
  scope: app
  properties: {
    workspaceId: workspaceId
    metrics: [
      {
        category: 'AllMetrics'
        enabled: true
      }
    ]
  }
}

output name string = app.name
