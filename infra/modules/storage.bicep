// One account for the host, the checkpoints, the sink and what could not be read or delivered.
param name string
param location string
param tags object

@description('names.json')
param names object

@description('How many queues take the records: shards.')
param shards int

@description('Event Grid delivers events to a queue here.')
param hasEventQueue bool

@description('Delete dead letters after so many days; 0 keeps them forever.')
param deadLetterDays int

param privateNetwork bool
param auditStorage bool
param workspaceId string

resource account 'Microsoft.Storage/storageAccounts@2023-05-01' = {
  // checkov:skip=CKV_AZURE_35: closed with privateNetwork; without it the app has no address of its own that could be let in, and every caller needs an Entra token
  // checkov:skip=CKV_AZURE_59: closed with privateNetwork, as above; blobs are never public
  // checkov:skip=CKV_AZURE_206: local redundancy by default: logs stay in their own accounts, from where they can be forwarded again
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: 'Standard_LRS'
  }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: privateNetwork ? 'Disabled' : 'Enabled'
    networkAcls: {
      bypass: 'AzureServices' // Event Grid keeps undelivered events here, also when the rest is shut out
      defaultAction: privateNetwork ? 'Deny' : 'Allow'
    }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2023-05-01' = {
  parent: account
  name: 'default'
  properties: {
    deleteRetentionPolicy: {
      enabled: true
      days: 7
    }
  }
}

resource queues 'Microsoft.Storage/storageAccounts/queueServices@2023-05-01' = {
  parent: account
  name: 'default'
}

resource tables 'Microsoft.Storage/storageAccounts/tableServices@2023-05-01' = {
  parent: account
  name: 'default'
}

var containerNames = [
  names.deploymentContainer
  names.deadLetterContainer
  names.eventDeadLetterContainer
]

resource containers 'Microsoft.Storage/storageAccounts/blobServices/containers@2023-05-01' = [for containerName in containerNames: {
  parent: blobs
  name: containerName
  properties: {
    publicAccess: 'None'
  }
}]

// Dead letters hold parts of the logs, and so IP addresses. With 0 the rule is switched off rather than
// left out: a deployment deletes nothing, so a rule of an earlier one would go on deleting.
resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2023-05-01' = {
  parent: account
  name: 'default'
  properties: {
    policy: {
      rules: [
        {
          name: 'delete-dead-letters'
          type: 'Lifecycle'
          enabled: deadLetterDays > 0
          definition: {
            filters: {
              blobTypes: [
                'blockBlob'
              ]
              prefixMatch: [
                '${names.deadLetterContainer}/'
                '${names.eventDeadLetterContainer}/'
              ]
            }
            actions: {
              baseBlob: {
                delete: {
                  daysAfterModificationGreaterThan: max(deadLetterDays, 1)
                }
              }
            }
          }
        }
      ]
    }
  }
  dependsOn: [
    blobs
  ]
}

// What flowlog_core/sinks/shards.py puts behind the name.
var shardQueues = [for shard in range(0, shards): '${names.queue}-${padLeft(shard, 2, '0')}']
var queueNames = concat(shards > 1 ? shardQueues : [ names.queue ], hasEventQueue ? [ names.eventQueue ] : [])

resource queue 'Microsoft.Storage/storageAccounts/queueServices/queues@2023-05-01' = [for queueName in queueNames: {
  parent: queues
  name: queueName
}]

var tableNames = [
  names.checkpointTable
  names.table
]

resource table 'Microsoft.Storage/storageAccounts/tableServices/tables@2023-05-01' = [for tableName in tableNames: {
  parent: tables
  name: tableName
}]

var audited = [
  {
    category: 'StorageRead'
    enabled: auditStorage
  }
  {
    category: 'StorageWrite'
    enabled: auditStorage
  }
  {
    category: 'StorageDelete'
    enabled: auditStorage
  }
]
var measured = [
  {
    category: 'Transaction'
    enabled: true
  }
]

resource blobDiagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'flowlog'
  scope: blobs
  properties: {
    workspaceId: workspaceId
    logs: audited
    metrics: measured
  }
}

resource queueDiagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'flowlog'
  scope: queues
  properties: {
    workspaceId: workspaceId
    logs: audited
    metrics: measured
  }
}

resource tableDiagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'flowlog'
  scope: tables
  properties: {
    workspaceId: workspaceId
    logs: audited
    metrics: measured
  }
}

output id string = account.id
output name string = account.name
