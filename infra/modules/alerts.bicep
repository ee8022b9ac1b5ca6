// When to tell a person. All from what the app and the host send to Application Insights; the two
// alerts on the queue and topic of each log account are in account-alerts.bicep.
param token string
param location string
param tags object
param insightsId string
param email string
param silenceMinutes int

@description('With Timer there are none, and the sweep forwards everything.')
param hasEvents bool

@description('The queue of events that the host gave up on; empty without an event queue. The host of a blob trigger keeps it in the log accounts.')
param poisonQueue string

@description('Names of the storage accounts with flow logs.')
param accountNames array

// Every metric is in docs/telemetry.md; a test holds these names against the code.
var allRules = [
  {
    name: 'lag'
    title: 'Flows arrive late'
    text: 'A flow record of this account left more than 15 minutes after it was logged. Also while old logs are caught up with.'
    query: 'customMetrics | where name == "flowlog.lag" | summarize found = max(valueMax) by account = tostring(customDimensions["flowlog.account"])'
    by: 'account'
    operator: 'GreaterThan'
    threshold: 900
    minutes: 15
    severity: 2
  }
  {
    name: 'failures'
    title: 'Logs cannot be forwarded'
    text: 'Looks at blobs ended with an error, more often than passing faults explain. Host and sweep try again; the app log names blob and error.'
    query: 'customMetrics | where name == "flowlog.ingest.failures" | summarize found = sum(valueSum) by account = tostring(customDimensions["flowlog.account"])'
    by: 'account'
    operator: 'GreaterThan'
    threshold: 10
    minutes: 15
    severity: 1
  }
  {
    name: 'dead-letters'
    title: 'Part of a log could not be read'
    text: 'It is kept whole in the dead-letter container, with the reason. The rest was forwarded.'
    query: 'customMetrics | where name == "flowlog.dead_letters" | summarize found = sum(valueSum) by account = tostring(customDimensions["flowlog.account"])'
    by: 'account'
    operator: 'GreaterThan'
    threshold: 0
    minutes: 15
    severity: 2
  }
  {
    name: 'silence'
    title: 'Nothing arrives from an account'
    text: 'Neither an event nor the sweep found a new flow log in this account. Flow logs are off there, or the app may not read it, or the app does not run.'
    query: 'datatable(account:string) [${join(map(accountNames, one => '"${one}"'), ', ')}] | join kind=leftouter (customMetrics | where name in ("flowlog.ingests", "flowlog.ingest.failures") | summarize looks = sum(valueSum) by account = tostring(customDimensions["flowlog.account"])) on account | project account, found = coalesce(looks, 0.0)'
    by: 'account' // an account of which nothing was heard has a row too, with 0
    operator: 'LessThan'
    threshold: 1
    minutes: silenceMinutes
    severity: 2
  }
  {
    name: 'queue-age'
    title: 'Nobody takes records from a queue'
    text: 'The message at the front of this queue has waited for more than 15 minutes. Its consumer is stopped, or does not keep up.'
    query: 'customMetrics | where name == "flowlog.queue.age" | summarize found = max(valueMax) by queue = tostring(customDimensions["flowlog.queue"])'
    by: 'queue'
    operator: 'GreaterThan'
    threshold: 900
    minutes: 15
    severity: 2
  }
  {
    name: 'queue-depth'
    title: 'Records pile up in a queue'
    text: 'More than 10,000 messages are in this queue. Its consumer is stopped, does not keep up, or takes messages and never deletes them.'
    query: 'customMetrics | where name == "flowlog.queue.messages" | summarize found = max(valueMax) by queue = tostring(customDimensions["flowlog.queue"])'
    by: 'queue'
    operator: 'GreaterThan'
    threshold: 10000
    minutes: 15
    severity: 2
  }
  {
    name: 'event-poison'
    title: 'The app gave up on events'
    text: 'Events failed ten times and are in this queue. The sweep forwards their logs; the app log says what failed. Clear the queue once that is corrected.'
    query: 'customMetrics | where name == "flowlog.queue.messages" and tostring(customDimensions["flowlog.queue"]) == "${poisonQueue}" | summarize found = max(valueMax) by queue = tostring(customDimensions["flowlog.queue"])'
    by: 'queue'
    operator: 'GreaterThan'
    threshold: 0
    minutes: 15
    severity: 2
  }
  {
    name: 'missed-events'
    title: 'The sweep forwards what events should'
    text: 'Events of this account are missing or late for several blobs: look at its event subscription and at failures.'
    query: 'customMetrics | where name == "flowlog.sweep.forwarded" | summarize found = sum(valueSum) by account = tostring(customDimensions["flowlog.account"])'
    by: 'account'
    operator: 'GreaterThan'
    threshold: 20
    minutes: 60
    severity: 3
  }
  {
    name: 'no-sweep'
    title: 'The app does not run'
    text: 'No sweep ended for ${hasEvents ? 'an hour, and one should every five minutes' : 'a quarter of an hour, and one should every minute: nothing is forwarded'}. The app does not start, or cannot reach its state account.'
    query: 'customMetrics | where name == "flowlog.sweep.duration" and tostring(customDimensions["flowlog.outcome"]) != "failed" | summarize found = sum(valueCount)'
    by: ''
    operator: 'LessThan'
    threshold: 1
    minutes: hasEvents ? 60 : 15 // with Timer nothing but the sweep forwards flows
    severity: 1
  }
  {
    name: 'host-stops'
    title: 'The Functions host stopped'
    text: 'The host stops, and starts again, at an event of a blob that its identity may not read, and when it may not create its poison queue in a log account. Events wait ten minutes each time. Look at the exceptions and at the roles on the log accounts; in the first minutes after a deployment it is a role that is not effective yet.'
    query: 'union (exceptions | project text = strcat(outerMessage, " ", tostring(customDimensions["FormattedMessage"]))), (traces | project text = message) | where text has "Host is shutting down" | summarize found = count()'
    by: ''
    operator: 'GreaterThan'
    threshold: 0
    minutes: 15
    severity: 2
  }
]
var rules = filter(allRules, rule => (hasEvents || rule.name != 'missed-events') && (!empty(poisonQueue) || rule.name != 'event-poison'))

resource group 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: 'ag-flowlog-${token}'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'flowlog'
    enabled: true
    emailReceivers: empty(email) ? [] : [
      {
        name: 'alerts'
        emailAddress: email
        useCommonAlertSchema: true
      }
    ]
  }
}

resource alerts 'Microsoft.Insights/scheduledQueryRules@2021-08-01' = [for rule in rules: {
  name: 'flowlog-${rule.name}-${token}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'Flowlog: ${rule.title}'
    description: rule.text
    severity: rule.severity
    enabled: true
    scopes: [
      insightsId
    ]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT${rule.minutes}M'
    autoMitigate: true
    skipQueryValidation: true // the tables come into being with the first data
    criteria: {
      allOf: [
        {
          query: rule.query
          metricMeasureColumn: 'found'
          timeAggregation: 'Total'
          dimensions: empty(rule.by) ? [] : [
            {
              name: rule.by
              operator: 'Include'
              values: [
                '*'
              ]
            }
          ]
          operator: rule.operator
          threshold: rule.threshold
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: [
        group.id
      ]
    }
  }
}]

output actionGroupId string = group.id
