// The event hub that takes the records, with the sink eventhub: a namespace of its own, the app's right
// to send, and the alert that it is too small.
param name string
param hubName string
param location string
param tags object
param principalId string
param actionGroupId string
param workspaceId string

@description('How many partitions the hub has. The Standard tier cannot change it later.')
param partitions int

param privateNetwork bool

var roles = loadJsonContent('../roles.json')

// It grows by itself while more is sent than a unit takes, and stays so: 1 MB or 1,000 events a second.
resource namespace 'Microsoft.EventHub/namespaces@2024-01-01' = {
  // checkov:skip=CKV_AZURE_228: zone redundant by default wherever the region has zones
  name: name
  location: location
  tags: tags
  sku: {
    name: 'Standard'
    tier: 'Standard'
    capacity: 1
  }
  properties: {
    disableLocalAuth: true // tokens only: there is no key to give away
    minimumTlsVersion: '1.2'
    publicNetworkAccess: privateNetwork ? 'Disabled' : 'Enabled'
    isAutoInflateEnabled: true
    maximumThroughputUnits: 10
  }
}

resource hub 'Microsoft.EventHub/namespaces/eventhubs@2024-01-01' = {
  parent: namespace
  name: hubName
  properties: {
    partitionCount: partitions
    retentionDescription: {
      cleanupPolicy: 'Delete'
      retentionTimeInHours: 168 // the maximum of the tier: how long a consumer may be stopped
    }
  }
}

resource sendAccess 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(hub.id, principalId, 'Azure Event Hubs Data Sender')
  scope: hub
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Azure Event Hubs Data Sender'])
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}

resource throttledAlert 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: 'flowlog-event-hub-throttled-${name}'
  location: 'global'
  tags: tags
  properties: {
    description: 'The namespace turned away more than 100 requests in 15 minutes, as more is sent than its throughput units take. Nothing is lost: the app sends again, and flows arrive late. Raise maximumThroughputUnits.'
    severity: 3
    enabled: true
    scopes: [
      namespace.id
    ]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'requests'
          metricNamespace: 'Microsoft.EventHub/namespaces'
          metricName: 'ThrottledRequests'
          timeAggregation: 'Total'
          operator: 'GreaterThan'
          threshold: 100
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

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'flowlog'
  scope: namespace
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

output id string = namespace.id
