from ds_farm.proxy._core import Core
from shm.segment import Segment

class Loop:
    def __init__(
        self, fds: list[int], wake_fd: int, core: Core, segment: Segment, slot: int, rank: int
    ) -> None: ...
    def turn(self, timeout_ms: int, generation: int) -> int: ...
