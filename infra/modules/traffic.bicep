// A table in the workspace for flow records, and the way in: for a consumer of the queue that wants
// to see traffic in the workbook. Nothing is in it until there is such a consumer, see README.md.
param token string
param workspaceName string
param location string
param tags object

@description('Principal id of the consumer that writes; empty: nobody yet.')
param writerId string

var roles = loadJsonContent('../roles.json')
var columns = loadJsonContent('../traffic-columns.json')

resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' existing = {
  name: workspaceName
}

resource table 'Microsoft.OperationalInsights/workspaces/tables@2022-10-01' = {
  parent: workspace
  name: 'FlowlogRecords_CL'
  properties: {
    plan: 'Analytics'
    schema: {
      name: 'FlowlogRecords_CL'
      columns: columns
    }
  }
}

resource rule 'Microsoft.Insights/dataCollectionRules@2023-03-11' = {
  name: 'dcr-flowlog-${token}'
  location: location
  tags: tags
  kind: 'Direct' // with an address of its own to send to
  properties: {
    streamDeclarations: {
      'Custom-FlowlogRecords': {
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
          'Custom-FlowlogRecords'
        ]
        destinations: [
          'workspace'
        ]
        transformKql: 'source'
        outputStream: 'Custom-FlowlogRecords_CL'
      }
    ]
  }
  dependsOn: [
    table
  ]
}

resource access 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(writerId)) {
  name: guid(rule.id, writerId, 'Monitoring Metrics Publisher')
  scope: rule
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Monitoring Metrics Publisher'])
    principalId: writerId
    principalType: 'ServicePrincipal'
  }
}

output endpoint string = rule.properties.endpoints.logsIngestion
output ruleId string = rule.properties.immutableId
