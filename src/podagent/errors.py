"""Every error the agent raises on purpose, split by whose fault it is.

The text of an error is shown to operators (journal, Event): it names the object, file or key, and says what is wrong.
This module must not import anything else of the project.
"""

from __future__ import annotations


class PodagentError(Exception):
    """Base of all errors raised on purpose; anything else is a bug."""


class InputError(PodagentError):
    """Somebody handed us something that cannot be used as it is: a retry alone will not mend it."""


class SettingsError(InputError):
    """A flag, an environment variable or the settings file is wrong; the text names the key."""


class KubeconfigError(InputError):
    """The kubeconfig is missing, unreadable or unusable; the text names the file."""


class AnnotationError(InputError):
    """The network annotation of a pod, or one entry of it, is malformed."""


class DefinitionError(InputError):
    """A network definition is missing, may not be used from this pod, or is malformed."""


class NetConfError(InputError):
    """A CNI network configuration (list) is malformed; the text names the file or the definition."""


class HostNetworkRefused(InputError):
    """The pod, or the network namespace found for it, is the host's own: never touched."""


class NotYet(PodagentError):
    """Nothing is wrong: something that will come by itself is not there yet. Waited for, not reported as a failure."""


class SandboxNotFound(NotYet):
    """The container runtime knows no running sandbox of this pod (yet)."""


class PodNotReady(NotYet):
    """The kubelet is still setting the pod up, and what is asked for is its part until it has finished."""


class SandboxChanged(PodagentError):
    """The sandbox ended or was replaced while a CNI plugin was at work in it."""


class RuntimeUnavailable(PodagentError):
    """The container runtime does not answer, or answered with an error."""


class NetnsGone(PodagentError):
    """The network namespace that was recorded no longer exists (or its path now names another one)."""


class ApiError(PodagentError):
    """The API server refused, or could not be reached.

    Attributes:
        status: HTTP status code; 0 when there was no HTTP answer at all.
        retry_after: seconds the server asked to wait, or None.
    """

    def __init__(self, message: str, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class AnswerTooLarge(ApiError):
    """The API server's answer is larger than we are willing to hold in memory: ask for less at a time."""


class StoreError(PodagentError):
    """The state directory cannot be read or written; the text names the path."""


class UnknownSchema(StoreError):
    """A record was written by a newer version, in a way that this one cannot read: it is left where it is."""


class NotUndone(PodagentError):
    """Undoing what a failed step had begun failed too. It stays recorded, and is tried again."""


class CniError(PodagentError):
    """A CNI operation failed (CNI SPEC, section 5 "Error").

    Attributes:
        message: what is wrong, as the error object's ``msg``.
        code: the error code of the specification; 999 when there is none.
        details: as the error object's ``details``, possibly empty.
    """

    def __init__(self, message: str, code: int = 999, details: str = "", *, culprit: str = "") -> None:
        """`culprit`: what the text begins with."""
        super().__init__(culprit + message + (f" ({details})" if details else "") + f" [code {code}]")
        self.message = message
        self.code = code
        self.details = details


class CallRefused(CniError):
    """No plugin was run: the call has a configuration or an argument that no plugin can be given."""


class InterfaceLeft(CniError):
    """DEL succeeded, and the interface is still there."""


class PluginError(CniError):
    """A CNI plugin could not be run, or failed.

    Attributes:
        plugin: the plugin's type.
    """

    def __init__(self, plugin: str, message: str, code: int = 999, details: str = "") -> None:
        super().__init__(message, code, details, culprit=f"CNI plugin {plugin}: ")
        self.plugin = plugin


class PluginNotRun(PluginError):
    """The plugin was not even started: it is missing, or cannot be executed."""


class PluginTimeout(PluginError):
    """The plugin did not end in time; its whole process group was ended."""
