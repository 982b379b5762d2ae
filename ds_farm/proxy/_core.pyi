from collections.abc import Callable
from typing import Generic, TypeVar

from ds_farm.proxy._handover import Handover
from ds_farm.proxy._notice import NoticeBox
from ds_farm.proxy._relay import Relay
from ds_farm.proxy._request import BaseRequest
from ds_farm.proxy._wire import Network, Outbox
from shm.segment import Segment

R = TypeVar("R", bound=BaseRequest)

class Core(Generic[R]):
    network: Network
    out: Outbox
    notices: NoticeBox
    request: R
    def __init__(
        self,
        network: Network,
        out: Outbox,
        make_request: Callable[[], R],
        route: Callable[[R], object],
        on_error: Callable[[BaseException], None],
        segment: Segment,
        rank: int,
        relay: Relay | None = None,
        handover: Handover | None = None,
    ) -> None: ...
    def refuse(
        self, sent: bytes, ip: str, port: int, now_ns: int = 0
    ) -> list[tuple[bytes, str, int, int]]: ...
    def pass_time(self, now_ns: int) -> list[tuple[bytes, str, int, int]]: ...
    def handle(
        self, data: bytes, ip: str, port: int, listener: int = 0, now_ns: int = 0
    ) -> list[tuple[bytes, str, int, int]]: ...
