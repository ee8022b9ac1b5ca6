// The workbook: ../workbook.json, on the data in Application Insights.
param location string
param tags object
param insightsId string

resource workbook 'Microsoft.Insights/workbooks@2022-04-01' = {
  name: guid(insightsId, 'flowlog')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Flowlog'
    category: 'workbook'
    sourceId: insightsId
    serializedData: loadTextContent('../workbook.json')
  }
}
