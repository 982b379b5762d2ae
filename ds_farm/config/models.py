"""The configuration as frozen models: every key with its default and what it means.

The descriptions are the documentation: `ds-farm init` writes them into the commented file.  The
keys of ``[dispatcher]`` are OpenSIPS's (documentation 1.3), with its names and defaults.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    model_validator,
)

from ds_farm.config import opensips
from ds_farm.config.types import (
    Avp,
    Blacklists,
    Column,
    DatabaseUrl,
    Datagrams,
    FarmName,
    Method,
    OptionalAvp,
    OptionalEndpoint,
    OptionalPath,
    OptionalPvar,
    OptionalSocket,
    OptionalText,
    PartitionName,
    RegularExpression,
    ReplyCodes,
    RouteAlgorithms,
    RouteFlags,
    RouteSets,
    SipUri,
    Sockets,
    Subscribers,
    Switch,
    as_list,
)

DEFAULT_MAX_CHILDREN = 32


def default_children(most: int) -> int:
    """One SIP worker for each CPU that this process may run on, at most ``most``."""
    return min(len(os.sched_getaffinity(0)), most)


class Section(BaseModel):
    """A table of the file: nothing unknown, nothing converted silently, nothing changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class FarmConfig(Section):
    """``[farm]``: processes and sockets."""

    name: FarmName = Field(
        default="ds_farm", description="Names the shared segment; farms on one host differ in it."
    )
    children: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="SIP workers; default: the number of CPUs. The signals TTIN and TTOU to the "
        "supervisor make it one more or one less while calls flow.",
    )
    socket: Sockets = Field(
        default=(),
        description="Where SIP is received, one or several: [proto:]host[:port] "
        "[as host[:port]]. 'as' is what peers are told; 0.0.0.0 and [::] need it.",
    )
    route_module: OptionalPath = Field(
        default=None,
        description="Your routing module in Python, relative to this file. Without it the "
        "built-in route of [route] is used.",
    )
    max_children: int = Field(
        default=DEFAULT_MAX_CHILDREN,
        ge=1,
        le=1024,
        description="Ceiling for TTIN; capacity of the segment.",
    )
    max_destinations: int = Field(
        default=16384,
        ge=1,
        le=1 << 20,
        description="Capacity of the segment: destinations of all sets.",
    )
    max_sets: int = Field(
        default=1024, ge=1, le=1 << 16, description="Capacity of the segment: sets."
    )
    stop_timeout_s: float = Field(
        default=10.0,
        gt=0,
        le=3600,
        description="A graceful stop kills what is left after so many seconds.",
    )
    hang_timeout_s: float = Field(
        default=10.0,
        gt=0,
        le=3600,
        description="A process without a heartbeat for so many seconds is killed and replaced.",
    )
    receive_buffer_bytes: int = Field(
        default=4 << 20, ge=4096, le=1 << 30, description="Receive buffer of each SIP socket."
    )
    user: OptionalText = Field(default=None, description="Children drop to this user.")
    group: OptionalText = Field(default=None, description="Children drop to this group.")

    @model_validator(mode="before")
    @classmethod
    def _count_cpus(cls, data: object) -> object:
        if not isinstance(data, dict) or "children" in data:
            return data
        most = data.get("max_children")
        ceiling = most if type(most) is int and most > 0 else DEFAULT_MAX_CHILDREN
        return {**data, "children": default_children(ceiling)}


class RouteConfig(Section):
    """``[route]``: the built-in route, used when there is no routing module.

    It is ``mf_process_maxfwd_header(70)``, ``ds_select_dst(set, algorithm, flags)``, ``forward()``;
    with flag f ``t_relay()``, and after a failure ``ds_mark_dst("p")`` and ``ds_next_dst()``.
    """

    set: RouteSets = Field(default="1", description="As in ds_select_dst: '1', 'part2 : 1', '1,2'.")
    algorithm: RouteAlgorithms = Field(
        default="4", description="As in ds_select_dst: 4 is round robin."
    )
    flags: RouteFlags = Field(
        default="", description="As in ds_select_dst: letters of fusd, 'M n'."
    )
    failover_codes: RegularExpression = Field(
        default="408|5[0-9][0-9]",
        description="With flag f: final responses that let the next destination have the request; "
        "a regular expression. No answer in time is 408.",
    )


class TmConfig(Section):
    """``[tm]``: transactions, by the names of OpenSIPS's tm module."""

    stateful: Literal["auto", "yes", "no"] = Field(
        default="auto",
        description="Whether the farm keeps transactions. auto: if the routing module has t_relay "
        "or t_newtran in it, or the built-in route has flag f.",
    )
    fr_timeout: float = Field(
        default=30.0,
        ge=0.1,
        le=3600,
        description="Seconds until a destination that answers nothing has failed.",
    )
    fr_inv_timeout: float = Field(
        default=120.0,
        ge=0.1,
        le=3600,
        description="Seconds from a provisional response to an INVITE until it has failed.",
    )
    T1_timer: int = Field(
        default=500, ge=10, le=10000, description="Milliseconds to the first retransmission. (T1)"
    )
    T2_timer: int = Field(
        default=4000, ge=10, le=60000, description="Milliseconds between retransmissions. (T2)"
    )
    auto_100trying: Switch = Field(
        default=1, description="1 answers 100 to an INVITE as soon as it has a transaction."
    )


class PartitionTable(Section):
    """``[dispatcher.partitions.NAME]`` or a line of ``partition`` (documentation 1.3.20)."""

    db_url: DatabaseUrl = Field(default=None, repr=False)
    table_name: Column | None = None
    dst_avp: OptionalAvp = None
    grp_avp: OptionalAvp = None
    cnt_avp: OptionalAvp = None
    sock_avp: OptionalAvp = None
    attrs_avp: OptionalAvp = None
    ds_define_blacklist: Blacklists = ()


class PartitionLine(PartitionTable):
    """The same from a line of text, which names it."""

    name: PartitionName


def _split_line(line: object) -> object:
    if not isinstance(line, str):
        return line
    name, values = opensips.parse_partition_line(line)
    return {"name": name, **values}


PartitionLines = Annotated[
    tuple[Annotated[PartitionLine, BeforeValidator(_split_line)], ...],
    BeforeValidator(as_list),
    Field(strict=False),
]


class DispatcherConfig(Section):
    """``[dispatcher]``: OpenSIPS's parameters; numbers are sections of the module's documentation.

    What a partition really uses is in `ds_farm.config.partitions.resolve`.
    """

    db_url: DatabaseUrl = Field(
        default=None,
        repr=False,
        description="Database of the default partition, OpenSIPS's or SQLAlchemy's spelling: "
        "mysql://user:password@host/database, sqlite:////path/file. (1.3.1)",
    )
    attrs_avp: OptionalAvp = Field(
        default=None, description="AVP that gets the attributes of the current destination. (1.3.2)"
    )
    hash_pvar: OptionalText = Field(
        default=None, description="Text with pseudo-variables that algorithm 7 hashes. (1.3.3)"
    )
    setid_pvar: OptionalPvar = Field(
        default=None, description="Where ds_is_in_list without a set stores the set id. (1.3.4)"
    )
    ds_ping_method: Method = Field(default="OPTIONS", description="Method of probes. (1.3.5)")
    ds_ping_from: SipUri = Field(
        default="sip:dispatcher@localhost", description="From of probes. (1.3.6)"
    )
    ds_ping_interval: int = Field(
        default=0,
        ge=0,
        le=86400,
        description="Seconds between probes; 0 switches probing off. (1.3.7)",
    )
    ds_probing_sock: OptionalSocket = Field(
        default=None, description="Which of our sockets sends probes: [proto:]host[:port]. (1.3.8)"
    )
    ds_probing_threshold: int = Field(
        default=3,
        ge=1,
        le=1 << 20,
        validation_alias=AliasChoices("ds_probing_threshhold", "ds_probing_threshold"),
        serialization_alias="ds_probing_threshhold",
        description="Failures in a row until a destination is probing; "
        "ds_probing_threshold is accepted too. (1.3.9)",
    )
    ds_probing_mode: Switch = Field(
        default=0, description="0 probes destinations in state probing, 1 active ones too. (1.3.10)"
    )
    ds_define_blacklist: Blacklists = Field(
        default=(), description="Lists of addresses made of sets: 'name = id,id'. (1.3.11)"
    )
    options_reply_codes: ReplyCodes = Field(
        default=(), description="Replies to probes that are good, besides 200: '501, 403'. (1.3.12)"
    )
    dst_avp: Avp = Field(
        default="$avp(ds_dst_failover)", description="AVP of the selected destinations. (1.3.13)"
    )
    grp_avp: Avp = Field(default="$avp(ds_grp_failover)", description="AVP of the set id. (1.3.14)")
    cnt_avp: Avp = Field(
        default="$avp(ds_cnt_failover)", description="AVP of the number of destinations. (1.3.15)"
    )
    sock_avp: Avp = Field(
        default="$avp(ds_sock_failover)", description="AVP of the sockets. (1.3.16)"
    )
    pvar_algo_pattern: OptionalText = Field(
        default=None,
        description="Algorithm 9: the variable that holds a destination's load; %u is its URI. "
        "(1.3.17)",
    )
    persistent_state: Switch = Field(
        default=1,
        description="1 loads the state column and writes changes back, 0 does not. (1.3.18)",
    )
    table_name: Column = Field(default="dispatcher", description="Table of destinations. (1.3.19)")
    partition: PartitionLines = Field(
        default=(),
        repr=False,
        description="Further partitions, a line each: 'part2 : db_url=mysql://...; "
        "table_name=ds_table'. Tables [dispatcher.partitions.part2] will do too. (1.3.20)",
    )
    setid_col: Column = Field(default="setid", description="Column of the set id. (1.3.21)")
    destination_col: Column = Field(
        default="destination", description="Column of the URI. (1.3.22)"
    )
    state_col: Column = Field(default="state", description="Column of the state. (1.3.23)")
    weight_col: Column = Field(default="weight", description="Column of the weight. (1.3.24)")
    priority_col: Column = Field(default="priority", description="Column of the priority. (1.3.25)")
    attrs_col: Column = Field(default="attrs", description="Column of the attributes. (1.3.26)")
    socket_col: Column = Field(
        default="socket", description="Column of the sending socket. (1.3.27)"
    )
    partitions: dict[PartitionName, PartitionTable] = Field(
        default_factory=dict, description="Partitions as TOML tables, by name."
    )


class MetricsConfig(Section):
    """``[metrics]``: Prometheus."""

    listen: OptionalEndpoint = Field(
        default=opensips.Endpoint("127.0.0.1", 9464),
        description='HTTP address of /metrics; "" switches it off.',
    )


class MiConfig(Section):
    """``[mi]``: the management interface."""

    http: OptionalEndpoint = Field(
        default=opensips.Endpoint("127.0.0.1", 8888),
        description='HTTP address of JSON-RPC 2.0 at POST /mi; "" switches it off.',
    )
    http_token: OptionalText = Field(
        default=None,
        repr=False,
        description="If it is set, HTTP requests need 'Authorization: Bearer <token>'.",
    )
    fifo: OptionalPath = Field(
        default=None,
        description="FIFO for commands, made at the start with mode 0660. OpenSIPS's tools look "
        "at /var/run/opensips/opensips_fifo and /tmp/opensips_fifo.",
    )
    fifo_reply_dir: OptionalPath = Field(
        default=Path("/tmp"),
        description="Where clients of the FIFO make the FIFO that they get their reply by.",
    )
    datagram: Datagrams = Field(
        default=(),
        description="Datagram sockets for commands, one or several: udp:127.0.0.1:8080, "
        "unix:/run/ds_farm/mi.sock (mode 0660). UDP has no password: keep it on loopback.",
    )


class EventsConfig(Section):
    """``[events]``: who is told of changes of state (E_DISPATCHER_STATUS, documentation 1.6.1)."""

    subscribers: Subscribers = Field(
        default=(),
        description="One or several of udp:host:port, unix:/path, tcp:host:port, "
        "http://host/path, all JSON-RPC as of OpenSIPS 4.0; line:udp:host:port and "
        "line:unix:/path get the format of 2.1. More can subscribe by MI.",
    )


class LogConfig(Section):
    """``[log]``: what goes to stderr."""

    level: Literal["debug", "info", "notice", "warning", "error"] = Field(
        default="info", description="debug, info, notice (the same as info), warning or error."
    )
    format: Literal["text", "json"] = Field(default="text", description="text or json.")


class Config(Section):
    """A whole file."""

    farm: FarmConfig = Field(default_factory=FarmConfig)
    route: RouteConfig = Field(default_factory=RouteConfig)
    tm: TmConfig = Field(default_factory=TmConfig)
    dispatcher: DispatcherConfig = Field(default_factory=DispatcherConfig)
    metrics: MetricsConfig = Field(default_factory=MetricsConfig)
    mi: MiConfig = Field(default_factory=MiConfig)
    events: EventsConfig = Field(default_factory=EventsConfig)
    log: LogConfig = Field(default_factory=LogConfig)

    _path: Path = PrivateAttr(Path("ds_farm.toml"))

    @property
    def path(self) -> Path:
        """Absolute path of the file that this came from."""
        return self._path

    @property
    def route_module(self) -> Path | None:
        """Absolute path of the routing module, None for the built-in route."""
        module = self.farm.route_module
        return None if module is None else self._path.parent / module
