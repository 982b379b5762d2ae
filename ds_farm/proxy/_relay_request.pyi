from collections.abc import Callable, Mapping

from ds_farm.proxy._relay import Relay
from ds_farm.proxy._request import BaseRequest
from ds_farm.proxy._wire import Network, Outbox
from shm.segment import Segment

class RelayRequest(BaseRequest):
    relay: Relay | None
    T_fr_timeout: float
    T_fr_inv_timeout: float
    def __init__(
        self,
        network: Network,
        out: Outbox,
        segment: Segment,
        rank: int,
        relay: Relay | None,
        on_error: Callable[[Exception], None] | None,
        routes: Mapping[str, Callable[..., object]] | None,
    ) -> None: ...
    def t_newtran(self) -> int: ...
    def t_relay(self) -> int: ...
    def t_reply(self, code: int | str, reason: str, headers: str = "") -> int: ...
    def t_on_failure(self, name: str = "") -> int: ...
    def t_check_status(self, pattern: str | int) -> int: ...
    def t_was_cancelled(self) -> int: ...
    def t_check_trans(self) -> int: ...
    @property
    def T_reply_code(self) -> int: ...
