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
    text: 'Records of this account were forwarded more than 15 minutes after they were logged. This also fires while old logs are forwarded. Run flowlog status; docs/operations.md has the steps.'
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
    text: 'More than 10 attempts to forward blobs of this account failed, too many for passing faults. The host and the sweep try again. The log of the app, and flowlog status, name the blob and the error.'
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
    text: 'It is in the dead-letter container, whole and with the reason; the rest was forwarded. flowlog dead-letters list shows it.'
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
    text: 'Neither events nor the sweep found new data in this account. Flow logs are off there, or the app may not read the account, or the app does not run. Run flowlog doctor --azure.'
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
    text: 'The message at the front of this queue has waited for more than 15 minutes. The consumer is stopped or does not keep up.'
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
    text: 'This queue holds more than 10,000 messages. The consumer is stopped, does not keep up, or takes messages and never deletes them.'
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
    text: 'Events of this account are missing, late or fail. Nothing is lost: the sweep forwards the blobs, minutes later. Run flowlog doctor --azure to check the event subscriptions.'
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
    text: 'No sweep ended for ${hasEvents ? 'an hour, although one should every five minutes' : '15 minutes, although one should every minute: nothing is forwarded'}. The app does not start, or cannot reach its state account. Run flowlog doctor --azure.'
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
    text: 'The host stops and restarts at each event of a blob that its identity may not read, or if it may not create its poison queue in a log account. The events wait for ten minutes each time. Check the roles on the log accounts with flowlog doctor --azure. In the first minutes after a deployment, a role has not taken effect yet.'
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
