"""All errors raised on purpose, grouped by cause.

Operators read the error text in the journal and in Events: it names the object, file or key, and the problem.
This module imports nothing else of the project.
"""

from __future__ import annotations


class PodagentError(Exception):
    """Base class of all errors raised on purpose; anything else is a bug."""


class InputError(PodagentError):
    """Invalid input: a retry alone will not fix it."""


class SettingsError(InputError):
    """A flag, an environment variable or the settings file is wrong; the text names the key."""


class KubeconfigError(InputError):
    """The kubeconfig is missing, unreadable or unusable; the text names the file."""


class KubeconfigUnreadable(KubeconfigError):
    """The kubeconfig, or a file that it names, is not there yet or cannot be read now; the text names the file."""


class AnnotationError(InputError):
    """The network annotation of a pod, or one entry of it, is malformed."""


class DefinitionError(InputError):
    """A network definition is missing, malformed, or not allowed for this pod."""


class DefinitionRefused(DefinitionError):
    """The administrator's policy does not allow the definition; the text names the rule and the setting."""


class NetConfError(InputError):
    """A CNI network configuration (list) is malformed; the text names the file or the definition."""


class NoNetConf(NetConfError):
    """The node has no CNI network configuration at all, not even a faulty one."""


class NetConfUnreadable(NetConfError):
    """A file that may be the node's CNI network configuration cannot be read now."""


class PluginIgnoresRequests(SettingsError, NetConfError):
    """With ``attach-via = system``, the node's system plugin would attach its default network instead of the wanted."""


class HostNetworkRefused(InputError):
    """The pod or its network namespace is the host's own, which the agent never touches."""


class NotYet(PodagentError):
    """Not a failure: a precondition is not met yet. The agent waits and reports no failure."""


class SandboxNotFound(NotYet):
    """The container runtime has no running sandbox for this pod (yet)."""


class AbsenceUnconfirmed(NotYet):
    """A list of the API server lacks more pods than one list is trusted with: another one must confirm it."""


class PodNotGone(PodagentError):
    """The API server lists a pod no longer, but still has it, and its sandbox runs."""


class PodNotReady(NotYet):
    """The kubelet is still setting up the pod, and the requested attachment is its job until then."""


class SandboxChanged(PodagentError):
    """The sandbox ended or was replaced while a CNI plugin was running."""


class RuntimeUnavailable(PodagentError):
    """The container runtime does not respond, or responded with an error."""


class NetnsGone(PodagentError):
    """The recorded network namespace no longer exists, or its path now refers to another one."""


class NetnsUnavailable(PodagentError):
    """A system call on a network namespace failed, which does not mean that the namespace is gone."""


class HostUnavailable(PodagentError):
    """Files of the kernel about this host cannot be read now: what they would show is unknown."""


class OutOfThreads(PodagentError):
    """The kernel refused another thread; the text names the limits."""


class ApiError(PodagentError):
    """The API server rejected a request, or was unreachable.

    Attributes:
        status: HTTP status code; 0 without an HTTP response.
        retry_after: ``Retry-After`` of the response in seconds, or None.
    """

    def __init__(self, message: str, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class AnswerTooLarge(ApiError):
    """The API server's response exceeds the size limit: request less at a time."""


class OtherCluster(ApiError):
    """The API server is not that of the cluster for which this node's attachments were made."""


class StoreError(PodagentError):
    """The state directory cannot be read or written; the text names the path."""


class UnknownSchema(StoreError):
    """A newer version wrote a record in a format that this one cannot read: the file is left alone, nothing starts."""


class TooManyRecords(InputError):
    """The pod or its namespace has as many attachments as it may have; the text names the bound."""


class NotUndone(PodagentError):
    """Rolling back a failed step failed too. The record stays, and the rollback is retried."""


class CniError(PodagentError):
    """A CNI operation failed (CNI SPEC, section 5 "Error").

    Attributes:
        message: the error object's ``msg``.
        code: the error code of the specification; 999 if there is none.
        details: the error object's ``details``, possibly empty.
    """

    def __init__(self, message: str, code: int = 999, details: str = "", *, culprit: str = "") -> None:
        """`culprit`: prefix of the error text."""
        super().__init__(culprit + message + (f" ({details})" if details else "") + f" [code {code}]")
        self.message = message
        self.code = code
        self.details = details


class CallRefused(CniError):
    """No plugin was run: the configuration or an argument of the call is invalid."""


class ManyFailures(PodagentError):
    """Stands for failures of a pod that are too many to be reported one by one."""


class MacRefused(InputError):
    """The requested MAC address is in use on the network, or may not be requested; the text names the setting."""


class InterfaceForeign(InputError):
    """The pod has an interface of the wanted name, and nothing proves that it is the network's: it is left alone."""


class InterfaceLeft(CniError):
    """DEL succeeded, but the interface still exists."""


class PluginError(CniError):
    """A CNI plugin could not be run, or failed.

    Attributes:
        plugin: the plugin's type.
    """

    def __init__(self, plugin: str, message: str, code: int = 999, details: str = "") -> None:
        super().__init__(message, code, details, culprit=f"CNI plugin {plugin}: ")
        self.plugin = plugin


class PluginNotRun(PluginError):
    """The plugin was not started: it is missing, or cannot be executed."""


class PluginTimeout(PluginError):
    """The plugin exceeded its timeout; its whole process group was killed."""
