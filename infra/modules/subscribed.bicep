// What the event subscriptions of a blob trigger and of the event queue have in common.

@export()
@description('Blobs of a container that are flow logs. BlobCreated also tells of commits to a blob; which call it was makes no difference, as the app reads what is new.')
func flowLogsOf(container string) object => {
  includedEventTypes: [
    'Microsoft.Storage.BlobCreated'
  ]
  subjectBeginsWith: '/blobServices/default/containers/${container}/blobs/'
  subjectEndsWith: 'PT1H.json'
  isSubjectCaseSensitive: false
}

@export()
var retryPolicy = {
  maxDeliveryAttempts: 30
  eventTimeToLiveInMinutes: 1440
}

@export()
@description('Event Grid keeps events that it could not deliver, as the system topic.')
func keepUndelivered(accountId string, container string) object => {
  identity: {
    type: 'SystemAssigned'
  }
  deadLetterDestination: {
    endpointType: 'StorageBlob'
    properties: {
      resourceId: accountId
      blobContainerName: container
    }
  }
}
