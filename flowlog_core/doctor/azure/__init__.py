"""Checks a deployment in Azure through its management API, with the caller's own login.

arm             the calls: paging, and what the caller may not see
deployment      which deployment: values of the azd environment, or arguments
app             the function app: state, functions, settings, who may call it
subscriptions   the event subscriptions of a log account against the functions of the app
roles           the roles of an identity on a resource
network         whether the app can reach a storage account
deliveries      what Event Grid delivered, by its metrics
telemetry       what telemetry and traffic summaries are sent to
last_sweep      when the sweep last ran, by its checkpoint
examine         all of them, in the order in which they are printed

Nothing here changes anything: all calls read, two of them by POST as Azure asks.
"""
