"""The timer: the place of probing (documentation sections 1.3.5 to 1.3.12).

Probing is not there yet.  Until it is, the process holds its place in the table and says so where
an operator has asked for it; states change through MI and scripts alone.
"""

from __future__ import annotations

import logging

from workers.process import ProcessContext

logger = logging.getLogger(__name__)

TURN_S = 0.5


def main(context: ProcessContext) -> None:
    """Entry of the process table."""
    interval_s = context.config.dispatcher.ds_ping_interval
    if interval_s:
        logger.warning(
            "ds_ping_interval = %d: this release does not probe, no destination changes its state "
            "by pings; probing comes with a later release",
            interval_s,
        )
    context.ready()
    while not context.stopping:
        context.wait(TURN_S)
