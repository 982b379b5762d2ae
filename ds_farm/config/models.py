"""The configuration as frozen models: every key with its default and what it means.

The descriptions are the documentation: `ds-farm init` writes them into the commented file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import (
    Field,
    PrivateAttr,
    model_validator,
)

from ds_farm.config import opensips
from ds_farm.config.dispatcher import DispatcherConfig
from ds_farm.config.section import Section
from ds_farm.config.types import (
    Aliases,
    Datagrams,
    FarmName,
    Mode,
    Nameservers,
    OptionalEndpoint,
    OptionalFile,
    OptionalPath,
    OptionalText,
    RegularExpression,
    RouteAlgorithms,
    RouteFlags,
    RouteSets,
    Sockets,
    Subscribers,
    Switch,
    Users,
)

DEFAULT_MAX_CHILDREN = 32


def default_children(most: int) -> int:
    """One SIP worker for each CPU that this process may run on, at most ``most``."""
    return min(len(os.sched_getaffinity(0)), most)


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
    alias: Aliases = Field(
        default=(),
        description="Other names and addresses of this server, [udp:]host[:port]: a Route with one "
        "of them is our own. Without a port every port is meant.",
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
        description="On a graceful stop a process that has not ended after so many seconds is "
        "killed; those that end after it, the loader for one, have 3 seconds a stage then.",
    )
    hang_timeout_s: float = Field(
        default=10.0,
        ge=2,
        le=3600,
        description="A process without a heartbeat for so many seconds is killed and replaced; "
        "they beat every second.",
    )
    receive_buffer_bytes: int = Field(
        default=4 << 20, ge=4096, le=1 << 30, description="Receive buffer of each SIP socket."
    )
    tos: int = Field(
        default=0,
        ge=0,
        le=255,
        description="Type of service (IPv6: traffic class) of SIP that is sent, four times the "
        "DSCP: 96 is CS3, 104 AF31; 0 leaves it to the system.",
    )
    udp_segmentation: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="Whether datagrams of one batch for one address go to the kernel in one piece, "
        "which it cuts apart (UDP_SEGMENT): that is half of what sending costs. A capture on this "
        "host may show such a piece as one packet; so auto: unless packets are captured "
        "(tcpdump, sngrep).",
    )
    flush_interval_s: float = Field(
        default=30.0,
        ge=1,
        le=3600,
        description="Changed states are written to the database every so many seconds, and its "
        "being there is checked.",
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
    record_route: Switch = Field(
        default=0,
        description="1 keeps the farm in the path of a dialog: it record-routes what begins one, "
        "and later requests go where their routes lead.",
    )


class TmConfig(Section):
    """``[tm]``: transactions, by the names of OpenSIPS's tm module."""

    stateful: Literal["auto", "yes", "no"] = Field(
        default="auto",
        description="Whether the farm keeps transactions. auto: if the routing module has t_relay "
        "or t_newtran in it, or the built-in route has flag f.",
    )
    steering: Literal["auto", "ebpf", "handover"] = Field(
        default="auto",
        description="How a datagram gets to the worker that owns its call. ebpf: the kernel brings "
        "it there (takes root, or CAP_BPF and CAP_NET_ADMIN); handover: workers give it to each "
        "other; auto: ebpf where it can be had.",
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


class DnsConfig(Section):
    """``[dns]``: names of destinations, asked for as RFC 3263 says."""

    nameservers: Nameservers = Field(
        default=(),
        description="Who is asked, one or several: address[:port]. Empty: those of "
        "/etc/resolv.conf. Names of /etc/hosts come first in any case.",
    )
    try_naptr: Switch = Field(
        default=1,
        description="1 asks for NAPTR records of a URI without port and transport, "
        "0 begins with SRV.",
    )
    use_search_list: Switch = Field(
        default=1, description="1 uses the search list of /etc/resolv.conf for addresses."
    )
    timeout_s: float = Field(
        default=2.0, gt=0, le=60, description="Seconds for one question, all nameservers together."
    )
    min_ttl_s: float = Field(
        default=30.0, ge=1, le=86400, description="Names are asked for again no sooner than this."
    )
    max_ttl_s: float = Field(
        default=3600.0,
        ge=1,
        le=86400,
        description="Names are asked for again at the latest after so many seconds.",
    )


class MetricsConfig(Section):
    """``[metrics]``: Prometheus."""

    listen: OptionalEndpoint = Field(
        default=opensips.Endpoint("127.0.0.1", 9464),
        description='HTTP address of /metrics; "" switches it off.',
    )
    tls_cert_file: OptionalFile = Field(
        default=None,
        description="Certificate and its chain (PEM): /metrics is HTTPS then. A relative path "
        "starts at this file's folder; a renewed file is read again by itself.",
    )
    tls_key_file: OptionalFile = Field(
        default=None, description="Key of the certificate (PEM, not encrypted)."
    )
    tls_client_ca_file: OptionalFile = Field(
        default=None,
        description="If it is set, clients need a certificate that one of these (PEM) has signed.",
    )
    basic_auth_users: Users = Field(
        default_factory=dict,
        repr=False,
        description='Who may read /metrics: {user = "$2y$10$..."}, with the bcrypt hash of a '
        "password, as htpasswd -nB prints it. /healthz and /readyz ask for none.",
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
        description="FIFO for commands, made at the start. OpenSIPS's tools look at "
        "/var/run/opensips/opensips_fifo and /tmp/opensips_fifo.",
    )
    fifo_reply_dir: OptionalPath = Field(
        default=Path("/tmp"),
        description="Where clients of the FIFO make the FIFO that they get their reply by.",
    )
    datagram: Datagrams = Field(
        default=(),
        description="Datagram sockets for commands, one or several: udp:127.0.0.1:8080, "
        "unix:/run/ds_farm/mi.sock. UDP has no password: keep it on loopback.",
    )
    mode: Mode = Field(
        default="0660", description="Who may use the FIFO and the Unix sockets, as chmod takes it."
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
    dns: DnsConfig = Field(default_factory=DnsConfig)
    metrics: MetricsConfig = Field(default_factory=MetricsConfig)
    mi: MiConfig = Field(default_factory=MiConfig)
    events: EventsConfig = Field(default_factory=EventsConfig)
    log: LogConfig = Field(default_factory=LogConfig)

    _path: Path = PrivateAttr(Path("ds_farm.toml"))
    _module_text: str | None = PrivateAttr(None)
    _notes: tuple[str, ...] = PrivateAttr(())

    @property
    def path(self) -> Path:
        """Absolute path of the file that this came from."""
        return self._path

    @property
    def module_text(self) -> str | None:
        """Of the routing module: what an OpenSIPS script was translated to; a file's once
        `keep_module` has read it, None before."""
        return self._module_text

    @property
    def notes(self) -> tuple[str, ...]:
        """What a script says that has no effect here."""
        return self._notes

    @property
    def route_module(self) -> Path | None:
        """Absolute path of the routing module, None for the built-in route."""
        module = self.farm.route_module
        return None if module is None else self._path.parent / module
