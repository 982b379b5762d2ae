"""The request with the dispatcher's functions (documentation section 1.4)."""

from libc.string cimport memcpy, memset

from ds_farm.dispatch._live cimport Endpoint, LiveSet
from ds_farm.proxy._relay cimport Relay
from ds_farm.proxy._wire cimport AF_INET, Network, Outbox, Peer, parse_ip
from ds_farm.script._failover cimport Failover
from ds_farm.script._plan cimport Plan

from logging import CRITICAL, DEBUG, ERROR, INFO, WARNING, getLogger

from ds_farm.dispatch.arguments import parse_sets
from ds_farm.dispatch.model import DEFAULT_PARTITION, State
from ds_farm.dispatch.state import Event
from ds_farm.errors import ConfigError
from ds_farm.proxy.codes import FAILED
from ds_farm.script.background import states_asked
from ds_farm.script.pvars import compile_setter

logger = getLogger("ds_farm.routes")

_LEVELS = {
    "L_ALERT": CRITICAL, "L_CRIT": CRITICAL, "L_ERR": ERROR, "L_WARN": WARNING,
    "L_NOTICE": INFO, "L_INFO": INFO, "L_DBG": DEBUG,
}

# States as ds_mark_dst writes them (documentation 1.4.6).
MARKS = {
    "a": Event.ACTIVATE,
    "1": Event.ACTIVATE,
    "i": Event.DEACTIVATE,
    "0": Event.DEACTIVATE,
    "p": Event.FAIL,
    "2": Event.FAIL,
}


cdef class Request(Failover):
    """What a routing function is called with.

    ``settings`` is the configuration as `ds_farm.script.settings` compiles it; ``mark(slot,
    event)`` applies an event to a destination's state; ``complain(text)`` hears of calls that
    cannot be done as they are written; ``seed`` starts the random numbers of algorithm 6.
    """

    cdef object _mark

    def __init__(self, Network network, Outbox out, segment, int rank, settings, mark, complain,
                 seed, Relay relay=None, on_error=None, routes=None):
        super().__init__(network, out, segment, rank, settings, complain, seed, relay, on_error,
                         routes)
        self._mark = mark

    # -- selection

    def ds_select_dst(self, sets, alg, flags=None):
        """Select a destination; the request will be sent there ($du).  Documentation 1.4.1.

        Returns 1; -1 if nothing can be selected; -2 if lists differ in length.
        """
        return self.select(sets, alg, flags, False)

    def ds_select_domain(self, sets, alg, flags=None):
        """Select a destination and write its host and port into the Request-URI.
        Documentation 1.4.2; returns as `ds_select_dst`."""
        return self.select(sets, alg, flags, True)

    def ds_next_dst(self, partition=""):
        """Direct the request to the next destination of the last selection with flag f.
        Documentation 1.4.3.  Returns 1; -1 if there is none."""
        return self.next(partition, False)

    def ds_next_domain(self, partition=""):
        """The same, into the Request-URI's host and port.  Documentation 1.4.4."""
        return self.next(partition, True)

    def ds_mark_dst(self, *arguments):
        """Mark the destination in use: ``ds_mark_dst([partition,] state)``, by default inactive.
        Documentation 1.4.5 and 1.4.6: i, a, p or 0, 1, 2; "p" counts towards the threshold.
        Returns 1; -1 if nothing has been selected or an argument is wrong."""
        cdef Plan plan
        self.check_open()
        if len(arguments) > 2:
            raise TypeError("ds_mark_dst takes a partition and a state at most")
        try:
            *before, state = [self.expand(one).strip() for one in arguments or ("i",)]
        except ConfigError as error:
            self.complain(f"ds_mark_dst: {error}")
            return FAILED
        state = state.lower()
        partition = before[0] if before else DEFAULT_PARTITION
        plan = self.plans.get(partition or DEFAULT_PARTITION)
        event = MARKS.get(state)
        if event is None:
            self.complain(f"ds_mark_dst: unknown state {state!r}, expected i, a, p or 0, 1, 2")
        if event is None or plan is None or plan.serial != self.serial or plan.live is None:
            return FAILED
        if plan.index < 0:
            return FAILED  # the destination in use is a script's own
        self._mark(plan.live.slots[plan.index], event)
        return 1

    # -- looking at sets

    def ds_count(self, sets, filter, result):
        """Store in ``result`` ($avp(name) or $var(name)) how many destinations of a set are in
        the states that ``filter`` names: letters of a, i, p or 1, 0, 2; none of them means all.
        Documentation 1.4.7.  Returns 1, also for 0 of them; -1 if there is no such set."""
        cdef LiveSet live
        self.check_open()
        try:
            partition, ids = parse_sets(self.expand(sets))
            assign = compile_setter(result)
            asked = states_asked(self.expand(filter))
        except ConfigError as error:
            self.complain(f"ds_count: {error}")
            return FAILED
        live = self.table.find(partition, <int>ids[0]) if self.table is not None else None
        if live is None or len(ids) != 1:
            return FAILED
        assign(self, live.count(*[state in asked for state in State]))
        return 1

    def ds_is_in_list(self, ip, port="", set="", active_only=0):
        """Whether an IP address and port (0 or "": any) belong to a destination.
        Documentation 1.4.8; ``set`` is ``[partition:][id]``, without id or with -1 all sets.
        With all sets setid_pvar gets the set's id.  Returns 1, or -1."""
        cdef Endpoint wanted
        cdef LiveSet live
        cdef int index
        self.check_open()
        try:
            name, colon, number = self.expand(set).rpartition(":")
            ip = self.expand(ip).strip()
            port = self.expand(port).strip() or "0"
            only_active = self.expand(active_only).strip() not in ("", "0", "False")
        except ConfigError as error:
            self.complain(f"ds_is_in_list: {error}")
            return FAILED
        partition = (name.strip() if colon else "") or DEFAULT_PARTITION
        number = number.strip()
        if not _endpoint(ip, port, &wanted) or not (
            number == "" or (number.isascii() and number.removeprefix("-").isdigit())
        ):
            self.complain(f"ds_is_in_list: {ip!r}, {port!r}, {set!r}: expected an IP address, a "
                          "port and [partition:]id")
            return FAILED
        if self.table is None:
            return FAILED
        any_set = number in ("", "-1")
        for live in self.table.in_partition(partition, None if any_set else int(number)):
            for index in range(live.size):
                if live.holds(index, &wanted) and not (only_active and live.state(index)):
                    if any_set and self.settings.set_setid is not None:
                        self.settings.set_setid(self, live.id)
                    attrs = self.settings.avps[partition].attrs
                    if attrs:
                        self.avp.push(attrs, live.attr(index))
                    return 1
        return FAILED

    def use_blacklist(self, name):
        """From here on skip destinations whose address is on the list of that name
        (documentation 1.3.11), or on "all" of them.  Returns 1; -1 if there is no such list."""
        self.check_open()
        if name == "all":
            self.used_blacklists[:] = self.settings.blacklists
            return 1
        if name not in self.settings.blacklists:
            return FAILED
        if name not in self.used_blacklists:
            self.used_blacklists.append(name)
        return 1

    def unuse_blacklist(self, name):
        """End what `use_blacklist` began, of "all" lists if that is the name.  Returns 1; -1 if
        the list was not in use."""
        self.check_open()
        if name == "all":
            self.used_blacklists.clear()
            return 1
        if name not in self.used_blacklists:
            return FAILED
        self.used_blacklists.remove(name)
        return 1

    def is_blacklisted(self, name, ip):
        """Whether an IP address is on the list of that name.  Returns 1, or -1."""
        cdef Endpoint wanted
        self.check_open()
        try:
            ip = self.expand(ip)
        except ConfigError as error:
            self.complain(f"is_blacklisted: {error}")
            return FAILED
        if name not in self.settings.blacklists or not _endpoint(ip, "0", &wanted):
            return FAILED
        return 1 if self.is_listed(name, &wanted) else FAILED

    def update_stat(self, name, value=1):
        """Add ``value``, a number or text such as "+1" and "-1", to the statistic $stat(name).
        It begins at 0 and lives as long as the worker, each worker has its own.  Returns 1; -1
        if the value is no number."""
        try:
            number = int(value)
        except ValueError:
            self.complain(f"update_stat: {value!r} is no number")
            return FAILED
        key = self.expand(name)
        self.stat[key] = self.stat.get(key, 0) + number
        return 1

    def reset_stat(self, name):
        """Let the statistic begin at 0 again.  Returns 1; -1 if there is none of that name."""
        return 1 if self.stat.pop(self.expand(name), None) is not None else FAILED

    def xlog(self, *arguments):
        """Write a line to the farm's log, variables filled in: ``xlog([level,] text)`` with a
        level of OpenSIPS ("L_INFO", default; "L_ERR", ...).  1."""
        *level, text = arguments
        logger.log(_LEVELS.get(str(level[0]).upper(), INFO) if level else INFO,
                   "%s", self.expand(text).rstrip("\n"))
        return 1


cdef bint _endpoint(str ip, str port, Endpoint *endpoint) except -1:
    """An IP address and port (0: any) as the table has them; False if they are none."""
    cdef Peer peer
    cdef bytes text = ip.encode()
    if not (port.isascii() and port.isdigit()) or len(port) > 5 or int(port) > 65535:
        return False
    if parse_ip(text, 0, len(text), int(port), &peer) < 0:
        return False
    memset(endpoint, 0, sizeof(Endpoint))
    endpoint.port = int(port)
    if peer.any.sa_family == AF_INET:
        endpoint.version = 4
        memcpy(endpoint.address, &peer.v4.sin_addr, 4)
    else:
        endpoint.version = 6
        memcpy(endpoint.address, &peer.v6.sin6_addr, 16)
    return True
