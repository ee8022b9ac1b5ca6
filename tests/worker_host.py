"""Runs the app in Microsoft's Python worker library, in a process of its own.

Run as `python -I worker_host.py FOLDER` by the Python of a folder in .venv-worker; FOLDER is the
unpacked zip, and the environment holds the app's settings. Two programs drive it: `worker_process`,
which plays the host, and `functions-host`, which has the host's real triggers. Commands are read
from standard input, one JSON object a line, and are answered in the order in which they end:

    {"id": 1, "do": "init"}               the worker imports the app
                                          -> "modules" imported so far; "network": what it tried
                                          to reach meanwhile, and could not
    {"id": 2, "do": "index"}              -> "functions": name, function_id, raw_bindings
    {"id": 3, "do": "load", "function_id": ...}
    {"id": 4, "do": "invoke", "function_id": ..., "binding": {"version", "source", "content_type",
     "content"}, "metadata": {...}}       a blob trigger: the reference that the function gets
    {"id": 5, "do": "invoke", "function_id": ..., "arg": ..., "message": ..., "metadata": {...}}
                                          a queue trigger: the parameter's name and the text;
                                          "base64" instead of "message": bytes
    {"id": 6, "do": "invoke", "function_id": ...}                                  a timer

Every answer holds the `id`, `ok`, and for a failure the `error` that the host would be told. Log
records come as lines of their own, `{"log": {"logger", "level", "message"}}`. At the end of the
input the worker is stopped as the host would stop it.
"""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
import logging
import os
import sys
from types import SimpleNamespace
from typing import Any

# Standard output is for answers alone; whatever the app prints goes to standard error.
ANSWERS = os.dup(1)
os.dup2(2, 1)

# Not "socket.bind": urllib3 binds a socket to itself on import, to see whether IPv6 is there.
NETWORK = ("socket.connect", "socket.sendto", "socket.getaddrinfo")
is_indexing = False
network_while_indexing: list[str] = []


class Message(SimpleNamespace):
    """Stands for a protobuf message: its fields are attributes."""


class OneOf(Message):
    """A message that holds one of several fields, its last one, and can tell which."""

    def WhichOneof(self, _group: str) -> str:  # noqa: N802 - the name that protobuf gives it
        return list(vars(self))[-1]


class StatusResult(Message):
    Failure, Success = 0, 1


class BindingInfo(Message):
    undefined = 0
    out, inout = 1, 2


class Protos:
    """The message classes of the host's protocol that the worker makes answers of."""

    BindingInfo = BindingInfo
    StatusResult = StatusResult
    FunctionLoadResponse = FunctionMetadataResponse = InvocationResponse = Message
    RpcException = RpcFunctionMetadata = WorkerInitResponse = WorkerMetadata = Message


class ForwardLogs(logging.Handler):
    """Log records as lines among the answers."""

    def emit(self, record: logging.LogRecord) -> None:
        told = {"logger": record.name, "level": record.levelname, "message": record.getMessage()}
        tell({"log": told})


def tell(answer: dict[str, Any]) -> None:
    # In one piece, since several threads write.
    os.write(ANSWERS, (json.dumps(answer) + "\n").encode())


def forbid_network_while_indexing(event: str, args: tuple[Any, ...]) -> None:
    if is_indexing and event in NETWORK:
        network_while_indexing.append(f"{event} {args[1:]}")
        raise ConnectionRefusedError(f"{event} {args[1:]} while the app is indexed")


def trigger_of(command: dict[str, Any]) -> OneOf:
    """What the host sends as the function's parameter."""
    if "binding" in command:  # deferred: where the blob is, and nothing of its content
        told = command["binding"]
        reference = Message(**{**told, "content": told["content"].encode()})
        return OneOf(name="blob", data=OneOf(model_binding_data=reference))
    if "message" in command:
        return OneOf(name=command["arg"], data=OneOf(string=command["message"]))
    if "base64" in command:
        return OneOf(name=command["arg"], data=OneOf(bytes=base64.b64decode(command["base64"])))
    timer = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": None, "IsPastDue": False}
    return OneOf(name="timer", data=OneOf(json=json.dumps(timer)))


def invocation(command: dict[str, Any]) -> Message:
    """The request that the host makes of an event."""
    metadata = {
        name: OneOf(string=value) if isinstance(value, str) else OneOf(json=json.dumps(value))
        for name, value in command.get("metadata", {}).items()
    }
    return Message(
        invocation_id=f"invocation-{command['id']}",
        function_id=command["function_id"],
        trace_context=Message(trace_parent="", trace_state="", attributes={}),
        retry_context=Message(retry_count=0, max_retry_count=0, exception=None),
        input_data=[trigger_of(command)],
        trigger_metadata=metadata,
    )


async def answer(runtime: Any, command: dict[str, Any], folder: str) -> dict[str, Any]:
    """Let the worker answer one command."""
    global is_indexing  # noqa: PLW0603 - what an audit hook goes by must be global
    match command["do"]:
        case "init":
            call, request = "worker_init_request", Message(function_app_directory=folder)
            request.capabilities = {}
        case "index":
            call, request = "functions_metadata_request", Message(function_app_directory=folder)
        case "load":
            call, request = "function_load_request", Message(function_id=command["function_id"])
        case _:
            call, request = "invocation_request", invocation(command)
    properties = {"protos": Protos, "host": "127.0.0.1"}
    is_indexing = call == "worker_init_request"
    handle = getattr(runtime, call)
    response = await handle(Message(request=Message(**{call: request}), properties=properties))
    is_indexing = False
    ok = response.result.status == StatusResult.Success
    told = {
        "id": command["id"],
        "ok": ok,
        "error": None if ok else response.result.exception.message,
    }
    if call == "worker_init_request":
        told |= {"modules": sorted(sys.modules), "network": network_while_indexing}
    if call == "functions_metadata_request":
        told["functions"] = [
            {name: getattr(found, name) for name in ("name", "function_id", "raw_bindings")}
            for found in response.function_metadata_results or []
        ]
    return told


async def serve(folder: str) -> None:
    """Answer all commands, each as soon as it is read, as the host may send many at once."""
    runtime = importlib.import_module("azure_functions_runtime")
    runtime.start_threadpool_executor()
    loop = asyncio.get_running_loop()
    # A queue message holds up to 64 KiB, which base64 and JSON make longer.
    commands = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)

    async def run(line: bytes) -> None:
        tell(await answer(runtime, json.loads(line), folder))

    async with asyncio.TaskGroup() as running:
        async for line in commands:
            running.create_task(run(line))
    runtime.stop_threadpool_executor()


if __name__ == "__main__":
    app_folder = sys.argv[1]
    sys.path.insert(0, app_folder)
    os.chdir(app_folder)
    # As the worker in Azure does: everything from INFO on goes to the host.
    logging.basicConfig(level=logging.INFO, handlers=[ForwardLogs()])
    sys.addaudithook(forbid_network_while_indexing)
    asyncio.run(serve(app_folder))
