// The flow log of the network for trying out; it belongs to the region's Network Watcher.
param name string
param location string
param tags object
param networkId string
param accountId string
param writerId string

resource watcher 'Microsoft.Network/networkWatchers@2023-11-01' existing = {
  name: 'NetworkWatcher_${location}'
}

// From api-version 2024-01-01 on a flow log has an identity. Without it Network Watcher cannot write
// into an account whose keys are off.
resource flowLog 'Microsoft.Network/networkWatchers/flowLogs@2024-05-01' = {
  // checkov:skip=CKV_AZURE_12: a trial keeps its logs for a week, not for 90 days
  parent: watcher
  name: name
  location: location
  tags: tags
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${writerId}': {}
    }
  }
  properties: {
    enabled: true
    targetResourceId: networkId
    storageId: accountId
    format: {
      type: 'JSON'
      version: 2
    }
    retentionPolicy: {
      enabled: true
      days: 7
    }
  }
}
