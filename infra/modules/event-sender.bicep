// Lets one system topic put events into the event queue, and do nothing else there.
param storageName string
param queueName string
param principalId string

var roles = loadJsonContent('../roles.json')

resource queue 'Microsoft.Storage/storageAccounts/queueServices/queues@2023-05-01' existing = {
  name: '${storageName}/default/${queueName}'
}

resource access 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(queue.id, principalId, 'Storage Queue Data Message Sender')
  scope: queue
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Storage Queue Data Message Sender'])
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}
