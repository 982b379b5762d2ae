from collections.abc import Callable, Mapping

from ds_farm.dispatch._live import LiveTable
from ds_farm.dispatch.state import Event
from ds_farm.proxy._relay import Relay
from ds_farm.proxy._relay_request import RelayRequest
from ds_farm.proxy._wire import Network, Outbox
from ds_farm.script.avps import Avps, Value
from ds_farm.script.settings import ScriptSettings
from shm.segment import Segment

class Request(RelayRequest):
    var: dict[str, Value]
    def __init__(
        self,
        network: Network,
        out: Outbox,
        segment: Segment,
        rank: int,
        settings: ScriptSettings,
        mark: Callable[[int, Event], object],
        complain: Callable[[str], None],
        seed: int,
        relay: Relay | None = None,
        on_error: Callable[[Exception], None] | None = None,
        routes: Mapping[str, Callable[..., object]] | None = None,
    ) -> None: ...
    def use_table(self, table: LiveTable) -> None: ...
    @property
    def avp(self) -> Avps: ...
    def ds_select_dst(
        self, sets: str | int, alg: str | int, flags: str | int | None = None
    ) -> int: ...
    def ds_select_domain(
        self, sets: str | int, alg: str | int, flags: str | int | None = None
    ) -> int: ...
    def ds_next_dst(self, partition: str = "") -> int: ...
    def ds_next_domain(self, partition: str = "") -> int: ...
    def ds_mark_dst(self, *arguments: str | int) -> int: ...
    def ds_count(self, sets: str | int, filter: str | int, result: str) -> int: ...
    def ds_is_in_list(
        self, ip: str, port: str | int = "", set: str | int = "", active_only: str | int = 0
    ) -> int: ...
    def use_blacklist(self, name: str) -> int: ...
    def unuse_blacklist(self, name: str) -> int: ...
    def is_blacklisted(self, name: str, ip: str) -> int: ...
