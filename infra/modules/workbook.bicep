// The workbook: ../workbook.json, on the data in Application Insights and, for traffic, the workspace.
param location string
param tags object
param insightsId string
param workspaceId string

resource workbook 'Microsoft.Insights/workbooks@2022-04-01' = {
  name: guid(insightsId, 'flowlog')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Flowlog'
    category: 'workbook'
    sourceId: insightsId
    serializedData: replace(replace(loadTextContent('../workbook.json'), '{{workspaceId}}', workspaceId), '{{insightsId}}', insightsId)
  }
}
