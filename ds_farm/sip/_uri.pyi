from enum import IntEnum

class Scheme(IntEnum):
    UNKNOWN = 0
    SIP = 1
    SIPS = 2
    TEL = 3

def uri(data: bytes) -> dict[str, int]: ...
def address(data: bytes) -> dict[str, int]: ...
