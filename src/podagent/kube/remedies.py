"""What somebody has to correct when the API server refuses, or cannot be spoken to. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from podagent.errors import ApiError, OtherCluster
from podagent.kube.policy import Failure

_WRONG_SERVER = "check the server in the kubeconfig: this may be no API server"
_BY_STATUS: Mapping[int, str] = {
    301: _WRONG_SERVER,
    302: _WRONG_SERVER,
    400: "check the server in the kubeconfig: it may need https://",
    401: "the kubeconfig needs valid credentials",
    403: "allow this user to list and watch pods (RBAC)",
    404: _WRONG_SERVER,
    405: _WRONG_SERVER,
}
# The names of OpenSSL's errors. The client library keeps only their text.
_BY_TLS_ERROR: Mapping[str, str] = {
    "CERTIFICATE_VERIFY_FAILED": "compare server and certificate authority in the kubeconfig with its certificate",
    "WRONG_VERSION_NUMBER": "check the server in the kubeconfig: it may need http://",
}


def remedy(failure: Failure) -> str:
    """The remedy, "" if the failure may pass by itself or its text has the remedy."""
    if not isinstance(failure, ApiError) or isinstance(failure, OtherCluster):
        return ""
    of_tls = (what for name, what in _BY_TLS_ERROR.items() if not failure.status and name in str(failure))
    return next(of_tls, _BY_STATUS.get(failure.status, ""))


def kind(failure: Failure) -> object:
    """Equal for failures that are one state to an operator: their texts differ in ports, times and the like."""
    if not isinstance(failure, ApiError):
        return str(failure)
    return type(failure), failure.status, remedy(failure)
