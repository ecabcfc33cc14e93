"""Where the body of a task runs when it does not run on the event loop: one module per place.

A module here knows how to run a call somewhere and bring its value or exception back to the loop; it knows nothing of
tasks, graphs and runs, and its neighbours only as far as it builds on them.
"""

from __future__ import annotations
