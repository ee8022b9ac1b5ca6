// Lets one system topic write the events that it could not deliver. On the account and not on their
// container alone: Microsoft documents the role there, and what Event Grid checks when it accepts a
// subscription could not be tried. If it were refused, there would be no events at all. Only Event
// Grid uses a topic's identity, and it writes where the subscriptions say.
param storageName string
param principalId string

var roles = loadJsonContent('../roles.json')

resource account 'Microsoft.Storage/storageAccounts@2023-05-01' existing = {
  name: storageName
}

resource access 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account.id, principalId, 'Storage Blob Data Contributor')
  scope: account
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Storage Blob Data Contributor'])
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}
