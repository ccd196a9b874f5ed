"""Pictures, videos and sounds by web address, where the user allows the host: off unless asked for.

`Fetcher` turns an ``https`` address into a file, within a `UrlPolicy`. Everything behind it sees a path.
"""

from __future__ import annotations

from savs.media.addresses.fetcher import Fetcher
from savs.media.addresses.policy import UrlPolicy

__all__ = ["Fetcher", "UrlPolicy"]
