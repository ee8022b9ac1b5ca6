"""What an error of a storage service means, and what the reader can do about it."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from flowlog_core.config.checks import EXTRAS, Finding
from flowlog_core.doctor.advice import (
    AZURITE,
    BAD_KEY,
    BY_CODE,
    BY_WORDS,
    FIREWALL,
    HEALTH,
    NO_STORAGE,
    advice,
)
from flowlog_core.doctor.endpoints import ACCOUNT_KEY, Endpoint, one_for_all
from flowlog_core.errors import FlowlogError
from flowlog_core.storage.responses import error_code
from flowlog_core.storage.secrets import redact

# Where `CurlTransport` and urllib3 name host and port in the error of a failed connection.
_HOST_AND_PORT = (
    re.compile(r"([^\s:]+|[0-9a-f:.]+):(\d+): "),
    re.compile(r".*?host='([^']+)', port=(\d+)"),
)


def explain_error(error: Exception, endpoint: Endpoint) -> Finding:
    """The fault behind an error of a call to `endpoint`.

    An error that is not the SDK's own counts as the SDK error that caused it, if there is one: the
    tables client fails with AttributeError where a request could not even be signed. Any other
    means that the SDK could not read the answer, as its parsers raise AttributeError, TypeError
    and more when a program that is not a storage service answers.
    """
    if isinstance(error, ImportError):
        return missing_package(error)
    candidates = [error.__cause__, *_causes(error)]
    cause = next((one for one in candidates if isinstance(one, AzureError)), None)
    if cause is None:
        return _no_storage(error, endpoint)
    text = _first_line(cause)
    if isinstance(cause, HttpResponseError) and cause.status_code is not None:
        return _answered(cause.status_code, code_of(cause), text, endpoint)
    if isinstance(cause, ClientAuthenticationError):  # raised before anything was sent
        what = f"Cannot sign requests to the {endpoint} with {endpoint.caller}: {text}"
        to_do = BAD_KEY if endpoint.caller == ACCOUNT_KEY else "{renew}"
        return Finding("fault", what, advice(to_do, endpoint))
    for word, what, to_do in BY_WORDS:
        if word in text:
            is_azurite = word == "refused" and endpoint.connection.is_emulator
            text = what.format(endpoint=endpoint)
            return Finding("fault", text, advice(AZURITE if is_azurite else to_do, endpoint))
    what = f"Cannot read the answer of the {endpoint}: {text}"
    return Finding("fault", what, advice(NO_STORAGE, endpoint))


def explained(error: FlowlogError, endpoints: Iterable[Endpoint]) -> str:
    """What failed and what to do, in one line. The error's own text if it is about none of them."""
    endpoint = endpoint_of(error, endpoints)
    if endpoint is None:
        return str(error)
    finding = explain_error(error, endpoint)
    return f"{finding.what}. {finding.to_do}".removesuffix(". ")


def missing_package(error: ImportError) -> Finding:
    """The fault that a package is not installed, with the command that installs it."""
    module = error.name or str(error)
    for extra in EXTRAS:
        if any(name == module or name.startswith(f"{module}.") for name in extra.modules):
            package = f"flowlog-azure[{extra.name}]"
            break
    else:
        package = "flowlog-azure[app]"
    what = f"A package is not installed: no module {module}"
    return Finding("fault", what, f"pip install '{package}'")


def endpoint_of(error: Exception, endpoints: Iterable[Endpoint]) -> Endpoint | None:
    """The endpoint whose call raised `error`, by the address in it; None if it names none."""
    for one in _causes(error):
        if not isinstance(one, AzureError):
            continue
        asked = getattr(getattr(one, "response", None), "request", None)
        match = next(filter(None, (form.match(str(one)) for form in _HOST_AND_PORT)), None)
        if asked is not None:
            address = urlsplit(asked.url)
            host, port, path = address.hostname, _port(asked.url), address.path
        elif match:
            host, port, path = match[1], int(match[2]), None
        else:
            continue
        at_address = []
        for endpoint in endpoints:
            own = urlsplit(endpoint.url)
            is_there = own.hostname == host and _port(endpoint.url) == port
            if is_there and (path is None or path.startswith(own.path.rstrip("/"))):
                at_address.append(endpoint)
        if at_address:
            return one_for_all([one for one in at_address if _is_used(one, path)] or at_address)
    return None


def _is_used(endpoint: Endpoint, path: str | None) -> bool:
    """Whether a call of this path is to a container, queue or table that is used there."""
    if path is None:
        return False
    inside = path.removeprefix(urlsplit(endpoint.url).path.rstrip("/")).lstrip("/")
    # `/queue/messages`, `/container/blob`, `/table(PartitionKey='…',RowKey='…')`
    return re.split(r"[/(]", inside, maxsplit=1)[0] in endpoint.used_for


def _port(url: str) -> int:
    address = urlsplit(url)
    return address.port or (80 if address.scheme == "http" else 443)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was raised from, and so on."""
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__ or one.__context__


def _first_line(error: BaseException) -> str:
    redact(error)
    return str(error).strip().partition("\n")[0]


def _no_storage(error: BaseException, endpoint: Endpoint) -> Finding:
    frames = traceback.extract_tb(error.__traceback__)
    at = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return Finding(
        "fault",
        f"Cannot read the answer of the {endpoint}: it is not one of a storage service",
        f"{advice(NO_STORAGE, endpoint)}. If the address is right, report this as a fault of "
        f"Flowlog ({type(error).__name__}{at})",
    )


def _answered(status: int, code: str, text: str, endpoint: Endpoint) -> Finding:
    """What an HTTP answer means, of the service or of a program in its place."""
    to_do = BY_CODE.get(code)
    if to_do is None and status == HTTPStatus.FORBIDDEN:
        to_do = FIREWALL
    if to_do is FIREWALL and endpoint.caller != ACCOUNT_KEY:
        to_do += ". If it does: {missing}"
    if to_do is not None:
        what = f"The {endpoint} refused the request: {f'{status} {code}'.strip()}"
        return Finding("fault", what, advice(to_do, endpoint))
    if code:
        return Finding("fault", f"The {endpoint} answered {status} {code}: {text}", HEALTH)
    what = f"The address of the {endpoint} answers {status}, but not as a storage service does"
    return Finding("fault", what, advice(NO_STORAGE, endpoint))


def code_of(error: HttpResponseError) -> str:
    """The error code of the service, or an empty text."""
    text = str(error)
    if "failed to authenticate" in text:
        # Azurite answers a wrong key with the code AuthorizationFailure but Azure's own message.
        return "AuthenticationFailed"
    return error_code(error)
