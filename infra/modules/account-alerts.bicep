// The two alerts of one log account: events that failed in the host, and events that Event Grid could
// not deliver.
@description('The storage account with the flow logs.')
param accountId string

@description('The host of a blob trigger keeps failed events in the account.')
param hasPoisonQueue bool

@description('Its Event Grid system topic.')
param topicId string

param actionGroupId string
param tags object

var accountName = last(split(accountId, '/'))

// Azure measures the messages of all queues of an account together, once an hour. In an account for
// flow logs the poison queue is the only one.
resource poisonAlert 'Microsoft.Insights/metricAlerts@2018-03-01' = if (hasPoisonQueue) {
  name: 'flowlog-poison-queue-${accountName}'
  location: 'global'
  tags: tags
  properties: {
    description: 'Events of ${accountName} failed five times and are in webjobs-blobtrigger-poison. The sweep forwards their logs; the app log says what failed.'
    severity: 2
    enabled: true
    scopes: [
      '${accountId}/queueServices/default'
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
      topicId
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
}
