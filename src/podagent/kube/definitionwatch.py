"""Follows the network definitions of the cluster: their names and versions only, so that their size does not matter."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping

from podagent.act.ports import Beat
from podagent.decide.dialects.kaloom_names import API
from podagent.errors import ApiError, DefinitionError
from podagent.foreign import Json, lenient
from podagent.kube.api import KubeApi
from podagent.kube.definitions import NetworkDefinitions, Seen, require_possible
from podagent.kube.feed import Feed
from podagent.kube.policy import Failure
from podagent.kube.remedies import kind
from podagent.kube.watch import Watch
from podagent.model import DefinitionRef

_log = logging.getLogger(__name__)

_REMEDIES: Mapping[int, str] = {
    403: "let podagent list and watch networks.kaloom.com: apply podagent-serviceaccount-and-rbac.yaml of this version",
    404: "apply networks-crd.yaml",
}
_RESOURCE, _, _GROUP = API.partition(".")


def parse_seen(obj: Json) -> Seen:
    """Reads the metadata of a definition. Raises ValueError if no definition can have it."""
    metadata = lenient(obj, "metadata", dict)
    reference = DefinitionRef(API, lenient(metadata, "namespace", str), lenient(metadata, "name", str))
    try:
        require_possible(reference)
    except DefinitionError as error:
        raise ValueError(str(error)) from None
    return Seen(reference, lenient(metadata, "resourceVersion", str))


DEFINITIONS = Feed(
    path=f"/apis/{_GROUP}/{_RESOURCE}",
    what="network definitions",
    kinds=("PartialObjectMetadata", "Network"),
    parse=parse_seen,
    metadata_only=True,
)


def watch_definitions(api: KubeApi, definitions: NetworkDefinitions, beat: Beat, rng: random.Random) -> Watch[Seen]:
    """The watch, which keeps `definitions` up to date."""
    return Watch(api, DEFINITIONS, definitions, beat, _Contact(definitions), leads=False, rng=rng)


class _Contact:
    """Says once that, and why, definitions are not followed. Failures without a remedy concern the pods too."""

    def __init__(self, definitions: NetworkDefinitions) -> None:
        self._definitions = definitions
        self._reported: object = None
        self.is_lost = False

    def lost(self, failure: Failure) -> None:
        self.is_lost = True
        status = failure.status if isinstance(failure, ApiError) else 0
        if status:  # the server answers, so that they can be read
            self._definitions.followed = False
        if kind(failure) == self._reported:
            return
        self._reported = kind(failure)
        remedy = _REMEDIES.get(status, "")
        why = "; ".join(filter(None, (str(failure), remedy)))
        level = logging.WARNING if remedy else logging.INFO
        _log.log(level, "network definitions are not followed, and changes of them noticed late: %s", why)

    def made(self) -> None:
        self.is_lost = False
        self._definitions.followed = True
        if self._reported is not None:
            self._reported = None
            _log.info("network definitions are followed")
