// The way into the table for traffic summaries: a data collection rule with an address, which the app's
// identity may send to. Made late, as the table must be known to Azure by then.
param token string
param workspaceName string
param tableName string
param location string
param tags object

@description('Of the app, which sends.')
param principalId string

var roles = loadJsonContent('../roles.json')
var columns = loadJsonContent('../traffic-columns.json')

resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' existing = {
  name: workspaceName
}

resource rule 'Microsoft.Insights/dataCollectionRules@2023-03-11' = {
  name: 'dcr-flowlog-${token}'
  location: location
  tags: tags
  kind: 'Direct' // with an address of its own to send to
  properties: {
    streamDeclarations: {
      'Custom-FlowlogTraffic': {
        columns: columns
      }
    }
    destinations: {
      logAnalytics: [
        {
          name: 'workspace'
          workspaceResourceId: workspace.id
        }
      ]
    }
    dataFlows: [
      {
        streams: [
          'Custom-FlowlogTraffic'
        ]
        destinations: [
          'workspace'
        ]
        transformKql: 'source'
        outputStream: 'Custom-${tableName}'
      }
    ]
  }
}

// Sending to a data collection rule takes this role on it, whatever its name says of metrics.
resource access 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(rule.id, principalId, 'Monitoring Metrics Publisher')
  scope: rule
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Monitoring Metrics Publisher'])
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}

output endpoint string = rule.properties.endpoints.logsIngestion
output ruleId string = rule.properties.immutableId
