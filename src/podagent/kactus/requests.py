"""One GET of a JSON object over HTTP(S), using only the standard library."""

from __future__ import annotations

import http.client

from podagent.errors import KubeconfigError
from podagent.foreign import Json, excerpt, json_object
from podagent.kactus.connections import route
from podagent.kactus.credentials import failure
from podagent.kactus.failure import TRY_AGAIN_LATER, Failure
from podagent.kubeconfig.reader import Credentials
from podagent.timelimit import TimeLimit

_SILENCE_S = 10.0
_WHOLE_ANSWER_S = 30.0
_PORTION = 1 << 16
_LARGEST_BODY = 16 << 20


class NotReached(Exception):
    """No response, or a temporary error (5xx, 429)."""


def get_json(
    credentials: Credentials, path: str, silence_s: float = _SILENCE_S, whole_answer_s: float = _WHOLE_ANSWER_S
) -> Json | None:
    """The object at `path`, None if it does not exist.

    Args:
        credentials: for the server.
        path: absolute, quoted.
        silence_s: timeout of each read, in seconds.
        whole_answer_s: time limit from the connection to the last byte, in seconds.

    Raises:
        NotReached: a retry may succeed.
        Failure: the server rejected the request (code 11: the runtime retries later).
    """
    status, body = _get(credentials, path, silence_s, whole_answer_s)
    if status == 404:
        return None
    if status == 429 or status >= 500:
        raise NotReached(f"{credentials.server} answers {status}")
    if status != 200:
        raise Failure(TRY_AGAIN_LATER, f"GET {path}: {credentials.server} answers {status}: {_reason(body)}")
    try:
        return json_object(body)
    except ValueError as fault:
        raise NotReached(f"{credentials.server} sent an invalid answer: {fault}") from None


def _get(credentials: Credentials, path: str, silence_s: float, whole_answer_s: float) -> tuple[int, bytes]:
    headers = {"Accept": "application/json", "User-Agent": "kactus"}
    if credentials.authorization:
        headers["Authorization"] = credentials.authorization
    try:
        connection, prefix, for_proxy = route(credentials, silence_s)
    except KubeconfigError as fault:
        raise failure(fault) from None
    try:
        with TimeLimit(whole_answer_s):
            connection.request("GET", f"{prefix}{path}", headers=headers | for_proxy)
            answer = connection.getresponse()
            return answer.status, _body(answer)
    except (OSError, http.client.HTTPException) as fault:
        raise NotReached(f"{credentials.server} does not answer: {fault}") from None
    finally:
        connection.close()


def _body(answer: http.client.HTTPResponse) -> bytes:
    """Reads the body. Truncated at the size limit, it is invalid JSON."""
    taken = bytearray()
    announced = answer.length
    wanted = _LARGEST_BODY if announced is None else min(announced, _LARGEST_BODY)
    while len(taken) < wanted and (portion := answer.read1(_PORTION)):
        taken += portion
    if announced is not None and len(taken) < wanted:
        raise http.client.IncompleteRead(b"", wanted - len(taken))
    return bytes(taken)


def _reason(body: bytes) -> str:
    try:
        return str(json_object(body).get("message", ""))[:400]
    except ValueError:
        return excerpt(body, 200, keep_end=False)
