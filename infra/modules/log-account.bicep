// One account that holds flow logs, wherever it is: what the app may do in it, and its system topic.
param accountName string
param topicName string

@description('The account has this topic already; its system-assigned identity must be on.')
param topicExists bool

param blobRole string
param principalId string
param workspaceId string
param actionGroupId string
param tags object

var roles = loadJsonContent('../roles.json')

resource account 'Microsoft.Storage/storageAccounts@2023-05-01' existing = {
  name: accountName
}

resource queues 'Microsoft.Storage/storageAccounts/queueServices@2023-05-01' existing = {
  parent: account
  name: 'default'
}

// The host asks for a blob's properties before it calls the app; the app reads and lists.
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
resource keepFailedEvents 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account.id, principalId, 'Storage Queue Data Contributor')
  scope: account
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Storage Queue Data Contributor'])
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}

// A module of its own, as a topic's region is known only when the account has been looked up.
module newTopic 'system-topic.bicep' = if (!topicExists) {
  name: 'flowlog-topic-${accountName}'
  params: {
    name: topicName
    accountId: account.id
    location: account.location
    workspaceId: workspaceId
    tags: tags
  }
}

resource existingTopic 'Microsoft.EventGrid/systemTopics@2022-06-15' existing = if (topicExists) {
  name: topicName
}

// Azure measures the messages of all queues of an account together, once an hour. In an account for
// flow logs the poison queue is the only one.
resource poisonAlert 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: 'flowlog-poison-queue-${accountName}'
  location: 'global'
  tags: tags
  properties: {
    description: 'Events of ${accountName} failed five times and are in webjobs-blobtrigger-poison. The sweep forwards their logs; the app log says what failed.'
    severity: 2
    enabled: true
    scopes: [
      queues.id
    ]
    evaluationFrequency: 'PT1H'
    windowSize: 'PT1H'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'messages'
          metricNamespace: 'Microsoft.Storage/storageAccounts/queueServices'
          metricName: 'QueueMessageCount'
          timeAggregation: 'Average'
          operator: 'GreaterThan'
          threshold: 0
        }
      ]
    }
    actions: [
      {
        actionGroupId: actionGroupId
      }
    ]
  }
}

resource undeliveredAlert 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: 'flowlog-undelivered-events-${accountName}'
  location: 'global'
  tags: tags
  properties: {
    description: 'Event Grid gave up on events of ${accountName} and keeps them in the state account. The sweep forwards their logs; the metrics of the topic say why the app did not answer.'
    severity: 2
    enabled: true
    scopes: [
      resourceId('Microsoft.EventGrid/systemTopics', topicName)
    ]
    evaluationFrequency: 'PT15M'
    windowSize: 'PT1H'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'events'
          metricNamespace: 'Microsoft.EventGrid/systemTopics'
          metricName: 'DeadLetteredCount'
          timeAggregation: 'Total'
          operator: 'GreaterThan'
          threshold: 0
        }
      ]
    }
    actions: [
      {
        actionGroupId: actionGroupId
      }
    ]
  }
  dependsOn: [
    newTopic
  ]
}

output topicPrincipalId string = (topicExists ? existingTopic.?identity.?principalId : newTopic.?outputs.principalId) ?? ''
