"""The app as Azure runs it: Microsoft's triggers and Microsoft's worker, on this machine.

functions_host   drives the program `functions-host` (see ../shared/tools/README.md)
event_grid       the events that Event Grid posts to the blob extension's webhook
held_app         a small app whose invocations wait for the test: shows what the host itself does
queues           the messages in a queue, including hidden ones them
identity         an Azurite that lets in identities, and the endpoint that gives an app its tokens
"""
