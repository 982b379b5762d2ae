"""``[dispatcher]``: the module's parameters under OpenSIPS's names, with its defaults."""

from __future__ import annotations

from typing import Annotated

from pydantic import AliasChoices, BeforeValidator, Field

from ds_farm.config import opensips
from ds_farm.config.section import Section
from ds_farm.config.types import (
    Avp,
    Blacklists,
    Column,
    DatabaseUrl,
    Method,
    OptionalAvp,
    OptionalPvar,
    OptionalSocket,
    OptionalText,
    PartitionName,
    ReplyCodes,
    SipUri,
    Switch,
    as_list,
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
    description_col: Column = Field(
        default="description", description="Column of the description. (OpenSIPS 4.0)"
    )
    probe_mode_col: Column = Field(
        default="probe_mode",
        description="Column that says whether active ones are probed too. (OpenSIPS 4.0)",
    )
    ds_ping_maxfwd: int = Field(
        default=70, ge=0, le=255, description="Max-Forwards of probes. (OpenSIPS 4.0)"
    )
    partitions: dict[PartitionName, PartitionTable] = Field(
        default_factory=dict, description="Partitions as TOML tables, by name."
    )
