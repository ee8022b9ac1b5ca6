// Application Insights and the workspace it keeps its data in; both accept Entra tokens only.
param token string
param location string
param tags object

@description('Create the table for traffic summaries.')
param trafficTable bool

var columns = loadJsonContent('../traffic-columns.json')

resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: 'log-flowlog-${token}'
  location: location
  tags: tags
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: 30 // what the price of ingestion includes
    features: {
      disableLocalAuth: true
    }
  }
}

// Here and not beside the rule that writes to it (traffic.bicep), which Azure refuses as
// InvalidOutputTable when the table is only seconds old.
resource table 'Microsoft.OperationalInsights/workspaces/tables@2022-10-01' = if (trafficTable) {
  parent: workspace
  name: 'FlowlogTraffic_CL'
  properties: {
    plan: 'Analytics'
    schema: {
      name: 'FlowlogTraffic_CL'
      columns: columns
    }
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: 'appi-flowlog-${token}'
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspace.id
    DisableLocalAuth: true
  }
}

output workspaceId string = workspace.id
output workspaceName string = workspace.name
output trafficTableName string = trafficTable ? table.name : ''
output insightsId string = insights.id
output insightsName string = insights.name
output insightsConnectionString string = insights.properties.ConnectionString
