// What the app's identity may do in the resource group, and why.
param storageName string
param insightsName string
param principalId string

var roles = loadJsonContent('../roles.json')
var onStorage = [
  {
    // The host keeps its locks, keys and receipts in containers that it makes itself, and fetches
    // the deployed package; Microsoft asks for Owner. The app writes dead letters.
    role: 'Storage Blob Data Owner'
  }
  {
    // The host queues every event, in a queue that it makes itself. The app sends records.
    role: 'Storage Queue Data Contributor'
  }
  {
    // The app keeps checkpoints, and records with the table sink.
    role: 'Storage Table Data Contributor'
  }
]

resource account 'Microsoft.Storage/storageAccounts@2023-05-01' existing = {
  name: storageName
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

resource storageAccess 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for one in onStorage: {
  name: guid(account.id, principalId, one.role)
  scope: account
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles[one.role])
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}]

// Telemetry is sent with the identity; Application Insights accepts nothing else.
resource insightsAccess 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insights.id, principalId, 'Monitoring Metrics Publisher')
  scope: insights
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Monitoring Metrics Publisher'])
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}
