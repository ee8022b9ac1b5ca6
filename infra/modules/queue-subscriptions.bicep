// One log account's events, to the event queue in the state account. The topic's own identity delivers
// them: it needs its role on the queue first.
import { flowLogsOf, keepUndelivered, retryPolicy } from 'subscribed.bicep'

param topicName string

@description('Of names.json: container, and the first part of the name of its function.')
param watched array

param functionAppName string
param stateAccountId string
param eventQueue string
param deadLetterContainer string

resource topic 'Microsoft.EventGrid/systemTopics@2022-06-15' existing = {
  name: topicName
}

// Not named as those of a blob trigger: when the trigger changes, either can be there without the other.
resource subscriptions 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2022-06-15' = [for one in watched: {
  parent: topic
  name: '${functionAppName}-${one.function}-queue'
  properties: {
    deliveryWithResourceIdentity: {
      identity: {
        type: 'SystemAssigned'
      }
      destination: {
        endpointType: 'StorageQueue'
        properties: {
          resourceId: stateAccountId
          queueName: eventQueue
          queueMessageTimeToLiveInSeconds: 604800 // a week: longer than anybody leaves the app off
        }
      }
    }
    eventDeliverySchema: 'EventGridSchema'
    filter: flowLogsOf(one.container)
    retryPolicy: retryPolicy
    deadLetterWithResourceIdentity: keepUndelivered(stateAccountId, deadLetterContainer)
  }
}]
