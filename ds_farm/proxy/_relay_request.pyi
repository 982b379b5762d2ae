from collections.abc import Callable, Mapping

from ds_farm.proxy._dialog import DialogRequest
from ds_farm.proxy._relay import Relay
from ds_farm.proxy._wire import Network, Outbox
from shm.segment import Segment

class RelayRequest(DialogRequest):
    relay: Relay | None
    def __init__(
        self,
        network: Network,
        out: Outbox,
        segment: Segment,
        rank: int,
        relay: Relay | None,
        on_error: Callable[[BaseException], None] | None,
        routes: Mapping[str, Callable[..., object]] | None,
    ) -> None: ...
