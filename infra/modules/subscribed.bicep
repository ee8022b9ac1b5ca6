// What the event subscriptions of a blob trigger and of the event queue have in common.

@export()
@description('Selects the flow logs of a container. BlobCreated is raised for each commit to a blob, by whatever call; the app reads what is new.')
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
