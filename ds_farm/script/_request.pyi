from collections.abc import Callable

from ds_farm.dispatch._live import LiveTable
from ds_farm.proxy._request import BaseRequest
from ds_farm.proxy._wire import Network, Outbox
from ds_farm.script.settings import ScriptSettings
from shm.segment import Segment

class Request(BaseRequest):
    var: dict[str, object]
    def __init__(
        self,
        network: Network,
        out: Outbox,
        segment: Segment,
        rank: int,
        settings: ScriptSettings,
        complain: Callable[[str], None],
        seed: int,
    ) -> None: ...
    def use_table(self, table: LiveTable) -> None: ...
    @property
    def avp(self) -> dict[str, object]: ...
    def ds_select_dst(
        self, sets: str | int, alg: str | int, flags: str | int | None = None
    ) -> int: ...
    def ds_select_domain(
        self, sets: str | int, alg: str | int, flags: str | int | None = None
    ) -> int: ...
