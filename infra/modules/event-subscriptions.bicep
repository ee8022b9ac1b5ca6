// One log account's events, to the function of the app that watches the container.
import { flowLogsOf, keepUndelivered, retryPolicy } from 'subscribed.bicep'

param connection string
param topicName string

@description('Of names.json: container, and the first part of the name of its function.')
param watched array

param functionAppName string
param functionAppGroup string
param functionAppSubscription string
param deadLetterAccountId string
param deadLetterContainer string

resource app 'Microsoft.Web/sites@2024-04-01' existing = {
  name: functionAppName
  scope: resourceGroup(functionAppSubscription, functionAppGroup)
}

resource topic 'Microsoft.EventGrid/systemTopics@2022-06-15' existing = {
  name: topicName
}

resource subscriptions 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2022-06-15' = [for one in watched: {
  parent: topic
  name: '${functionAppName}-${one.function}'
  properties: {
    destination: {
      endpointType: 'WebHook'
      properties: {
        endpointUrl: 'https://${app.properties.defaultHostName}/runtime/webhooks/blobs?functionName=Host.Functions.${one.function}_${connection}&code=${listKeys('${app.id}/host/default', '2024-04-01').systemKeys.blobs_extension}'
        maxEventsPerBatch: 1
        preferredBatchSizeInKilobytes: 64
      }
    }
    eventDeliverySchema: 'EventGridSchema'
    filter: flowLogsOf(one.container)
    retryPolicy: retryPolicy
    deadLetterWithResourceIdentity: keepUndelivered(deadLetterAccountId, deadLetterContainer)
  }
}]
