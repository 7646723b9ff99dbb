"""Loads the credentials for the API server from a kubeconfig, or from the service account of a pod."""

from __future__ import annotations

import os
from collections.abc import Mapping

from podagent.cni import plugin
from podagent.errors import KubeconfigError, KubeconfigUnreadable
from podagent.kactus.failure import INVALID_CONFIG, TRY_AGAIN_LATER, Failure
from podagent.kubeconfig import reader
from podagent.kubeconfig.plugin import runner
from podagent.kubeconfig.reader import SERVICE_ACCOUNT, Credentials

_LONGEST_PLUGIN_S = 10.0


def load_credentials(
    kubeconfig: str, environ: Mapping[str, str] = os.environ, service_account: str = SERVICE_ACCOUNT
) -> Credentials:
    """Loads the credentials. Raises Failure naming the file (code 7 if malformed, 11 if it cannot be read yet)."""
    try:
        if kubeconfig:
            return reader.load(kubeconfig, environ, runner(plugin.run, _LONGEST_PLUGIN_S))
        found = reader.load_service_account(environ, service_account)
    except KubeconfigError as fault:
        raise failure(fault) from None
    if found is None:
        raise Failure(INVALID_CONFIG, "there is no kubeconfig in the configuration, and this is not a pod")
    return found


def failure(fault: KubeconfigError) -> Failure:
    """The same as an error of kactus."""
    return Failure(TRY_AGAIN_LATER if isinstance(fault, KubeconfigUnreadable) else INVALID_CONFIG, str(fault))
