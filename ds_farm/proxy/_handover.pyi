from shm.segment import Segment

class Handover:
    rank: int
    def __init__(self, segment: Segment, rank: int, socket: int, window_ns: int) -> None: ...
