// A virtual network for the app's way out, private endpoints, and the names under which they are found.
param token string
param location string
param tags object
param withEventHub bool

var services = [
  'blob'
  'queue'
  'table'
]
var ofStorage = [for service in services: 'privatelink.${service}.${environment().suffixes.storage}']
var ofEventHubs = 'privatelink.servicebus.windows.net'
var zoneNames = concat(ofStorage, withEventHub ? [ ofEventHubs ] : [])

// No inbound rule of its own: only the network itself may talk to the endpoints, Azure's default.
resource guard 'Microsoft.Network/networkSecurityGroups@2023-11-01' = {
  name: 'nsg-flowlog-${token}'
  location: location
  tags: tags
  properties: {
    securityRules: []
  }
}

resource network 'Microsoft.Network/virtualNetworks@2023-11-01' = {
  // checkov:skip=CKV_AZURE_182: uses Azure's DNS, which the private zones need
  // checkov:skip=CKV_AZURE_183: uses Azure's DNS, which the private zones need
  name: 'vnet-flowlog-${token}'
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [
        '10.100.0.0/24'
      ]
    }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: '10.100.0.0/26'
          networkSecurityGroup: {
            id: guard.id
          }
          delegations: [
            {
              name: 'flex'
              properties: {
                serviceName: 'Microsoft.App/environments'
              }
            }
          ]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: '10.100.0.64/26'
          networkSecurityGroup: {
            id: guard.id
          }
          privateEndpointNetworkPolicies: 'Enabled'
        }
      }
    ]
  }
}

resource zones 'Microsoft.Network/privateDnsZones@2020-06-01' = [for zoneName in zoneNames: {
  name: zoneName
  location: 'global'
  tags: tags
}]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2020-06-01' = [for (zoneName, i) in zoneNames: {
  parent: zones[i]
  name: 'flowlog'
  location: 'global'
  tags: tags
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: network.id
    }
  }
}]

output appSubnetId string = '${network.id}/subnets/app'
output endpointSubnetId string = '${network.id}/subnets/endpoints'
output zoneIds object = {
  blob: zones[0].id
  queue: zones[1].id
  table: zones[2].id
  namespace: resourceId('Microsoft.Network/privateDnsZones', ofEventHubs)
}
