"""What somebody has to correct when the API server refuses, or cannot be spoken to. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from podagent.errors import ApiError, OtherCluster
from podagent.kube.policy import Failure

_WRONG_SERVER = "check the server in the kubeconfig: this may be no API server"
_PROXY_LOGIN = "give the proxy's URL a user and a password: proxy-url in the kubeconfig, or HTTPS_PROXY"
_BY_STATUS: Mapping[int, str] = {
    301: _WRONG_SERVER,
    302: _WRONG_SERVER,
    400: "check the server in the kubeconfig: it may need https://",
    401: "the kubeconfig needs valid credentials",
    403: "let podagent list and watch pods: apply podagent-serviceaccount-and-rbac.yaml",
    404: _WRONG_SERVER,
    405: _WRONG_SERVER,
    407: _PROXY_LOGIN,
}
# Names of OpenSSL's errors, and a proxy's answer. The client library keeps only their text.
_BY_TEXT: Mapping[str, str] = {
    "CERTIFICATE_VERIFY_FAILED": "compare server and certificate authority in the kubeconfig with its certificate",
    "WRONG_VERSION_NUMBER": "check the server in the kubeconfig: it may need http://",
    "Tunnel connection failed: 407": _PROXY_LOGIN,
}


def remedy(failure: Failure) -> str:
    """The remedy, "" if the failure may pass by itself or its text has the remedy."""
    if not isinstance(failure, ApiError) or isinstance(failure, OtherCluster):
        return ""
    by_text = (what for text, what in _BY_TEXT.items() if not failure.status and text in str(failure))
    return next(by_text, _BY_STATUS.get(failure.status, ""))


def kind(failure: Failure) -> object:
    """Equal for failures that are one state to an operator: their texts differ in ports, times and the like."""
    if not isinstance(failure, ApiError):
        return str(failure)
    return type(failure), failure.status, remedy(failure)
