// One account that holds flow logs, wherever it is: what the app may do in it, and its system topic.
param accountName string
param topicName string

@description('The account has this topic already; its system-assigned identity must be on.')
param topicExists bool

@description('Timer: no events are sent, and the account gets no topic.')
param hasTopic bool

@description('The host of a blob trigger keeps failed events in the account.')
param hasPoisonQueue bool

param blobRole string
param principalId string
param workspaceId string
param tags object

var roles = loadJsonContent('../roles.json')

resource account 'Microsoft.Storage/storageAccounts@2023-05-01' existing = {
  name: accountName
}

// The app reads and lists. The host of a blob trigger asks for the blob's properties before.
resource readLogs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account.id, principalId, blobRole)
  scope: account
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles[blobRole])
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}

// The host makes the queue webjobs-blobtrigger-poison here and puts events into it that failed.
resource keepFailedEvents 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (hasPoisonQueue) {
  name: guid(account.id, principalId, 'Storage Queue Data Contributor')
  scope: account
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Storage Queue Data Contributor'])
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}

// A module of its own, as a topic's region is known only when the account has been looked up.
module newTopic 'system-topic.bicep' = if (hasTopic && !topicExists) {
  name: 'flowlog-topic-${accountName}'
  params: {
    name: topicName
    accountId: account.id
    location: account.location
    workspaceId: workspaceId
    tags: tags
  }
}

resource existingTopic 'Microsoft.EventGrid/systemTopics@2022-06-15' existing = if (hasTopic && topicExists) {
  name: topicName
}

// Empty without a topic.
output topicPrincipalId string = (topicExists ? existingTopic.?identity.?principalId : newTopic.?outputs.principalId) ?? ''
output topicId string = resourceId('Microsoft.EventGrid/systemTopics', topicName)
