from dataclasses import dataclass

from ds_farm.proxy._wire import Network, Outbox
from shm.segment import Segment

@dataclass(frozen=True)
class Timers:
    t1_ms: int = 500
    t2_ms: int = 4000
    fr_timeout_ms: int = 30000
    fr_inv_timeout_ms: int = 120000
    auto_100: bool = True

class Relay:
    rank: int
    unfinished: int
    def __init__(
        self,
        network: Network,
        out: Outbox,
        timers: Timers,
        segment: Segment,
        rank: int,
        now_ns: int = 0,
    ) -> None: ...
    def __len__(self) -> int: ...
    def timers(self) -> int: ...
