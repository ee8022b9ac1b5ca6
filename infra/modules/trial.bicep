// For trying out: a virtual network, a flow log of it, and an account for the log. The network has
// traffic, and its log lines, once something runs in it.
param token string
param name string
param location string
param tags object
param privateNetwork bool

var roles = loadJsonContent('../roles.json')

resource account 'Microsoft.Storage/storageAccounts@2023-05-01' = {
  // checkov:skip=CKV_AZURE_35: closed with privateNetwork, as the state account
  // checkov:skip=CKV_AZURE_59: closed with privateNetwork, as the state account; blobs are never public
  // checkov:skip=CKV_AZURE_206: holds the logs of a trial
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: 'Standard_LRS'
  }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: privateNetwork ? 'Disabled' : 'Enabled'
    networkAcls: {
      bypass: 'AzureServices' // Network Watcher is one of them, and writes the logs
      defaultAction: privateNetwork ? 'Deny' : 'Allow'
    }
  }
}

// As keys are off, Network Watcher writes with an identity.
resource writer 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: 'id-flowlog-trial-${token}'
  location: location
  tags: tags
}

resource writeLogs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account.id, writer.id, 'Storage Blob Data Contributor')
  scope: account
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Storage Blob Data Contributor'])
    principalId: writer.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

resource guard 'Microsoft.Network/networkSecurityGroups@2023-11-01' = {
  name: 'nsg-flowlog-trial-${token}'
  location: location
  tags: tags
  properties: {
    securityRules: []
  }
}

resource network 'Microsoft.Network/virtualNetworks@2023-11-01' = {
  // checkov:skip=CKV_AZURE_182: Azure's DNS, in a network for trying out
  // checkov:skip=CKV_AZURE_183: Azure's DNS, in a network for trying out
  name: 'vnet-flowlog-trial-${token}'
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [
        '10.101.0.0/24'
      ]
    }
    subnets: [
      {
        name: 'default'
        properties: {
          addressPrefix: '10.101.0.0/26'
          networkSecurityGroup: {
            id: guard.id
          }
        }
      }
    ]
  }
}

// Azure makes one watcher a region, in this group, with the region's first virtual network.
module flowLog 'trial-flow-log.bicep' = {
  name: 'flowlog-trial-flow-log'
  scope: resourceGroup('NetworkWatcherRG')
  params: {
    name: 'flowlog-trial-${token}'
    location: location
    tags: tags
    networkId: network.id
    accountId: account.id
    writerId: writer.id
  }
  dependsOn: [
    writeLogs
  ]
}
