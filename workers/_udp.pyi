from ds_farm.proxy._core import Core
from ds_farm.script._request import Request
from shm.segment import Segment

class Loop:
    def __init__(
        self,
        fds: list[int],
        handover_fd: int,
        wake_fd: int,
        core: Core[Request],
        segment: Segment,
        slot: int,
        rank: int,
        notice_fd: int,
    ) -> None: ...
    def turn(self, timeout_ms: int, generation: int) -> int: ...
    def join(self, is_joining: bool) -> None: ...
