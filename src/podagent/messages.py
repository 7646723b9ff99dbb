"""Message IDs of the journal entries that systemd/podagent.catalog explains.

`journalctl -x` shows the explanation below the entry. An ID never changes its meaning; a new meaning gets a new ID
(MESSAGE_ID in systemd.journal-fields(7)).
"""

from __future__ import annotations

from enum import Enum


class Message(str, Enum):
    """The 128-bit IDs, in the notation of the journal."""

    ATTACH_FAILED = "f706c46f13fe4292bd636be1ba68ca54"
    DETACH_FAILED = "04f3c6dbbea040629e2e0361d571e481"
    ANNOTATION_INVALID = "5ba76273d42747bf9f919cec96de77d0"
    UNSEEN = "09d49d63d4b344a1b098f0983cb17ea9"
    DETACHED_OTHERWISE = "0683644c37fa460caa31417e7d4221c4"
    DRIFTED = "2580735994394dc89a9b1123fd62af49"
    SANDBOX_MISSING = "c13c00629fdc4d7f8100cbfedcc66cd2"
    GONE_UNCONFIRMED = "f248b2fe91604fd3b24e56983c5e35fc"
    CREDENTIALS_MISSING = "6babd253b86f48c48023a5bbb6d37158"
    NODE_CONFIGURATION = "f2d87291e66e472b815ff1e8fa870287"
    NODE_UNKNOWN = "7a1dce22fb6349b5b669ef9538bd735e"
    API_LOST = "10b002a564674d6489582d587b0d60a2"
    RUNTIME_LOST = "4624e46242cf4bafa8d290c4ecdb7f17"
    NO_PROGRESS = "f3b72af50cb048ed8f9b1b8ef12688df"
    RECORD_SET_ASIDE = "8a2cc7184249421a876a41f2ad499b78"
    RECORD_SKIPPED = "ea6b12bfdda54e23b3a7eb5973b040c2"
    STATE_WRITTEN_AGAIN = "115f4663fb6b492298e111406afedfb6"
    STATE_UNUSABLE = "fa61c04066ab43a08ddd09f543e8613d"
    INHERITED = "8ee719f9a7e84e11919aca5244373a2c"
    INTERNAL_ERROR = "9c824781e6824ac6b71f657a34c04e68"

    @property
    def field(self) -> dict[str, str]:
        """For the `extra` of a logging call."""
        return {"MESSAGE_ID": self.value}
