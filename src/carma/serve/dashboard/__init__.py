"""The dashboard: pages at `/` for one account, in the browser.

A page asks the account's memory by the same calls as the HTTP interface, under the same permissions. NiceGUI
draws them, with scripts of its own that come from this server, so that nothing is asked of the internet; it
is loaded when somebody signs in for the first time. Rejected: a page in JavaScript over `/v1` (the browser
would have to keep a key, and there would be a second client to hold in step).
"""

from __future__ import annotations

from carma.serve.dashboard.door import mount_dashboard

__all__ = ["mount_dashboard"]
