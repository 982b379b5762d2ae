"""What comes after a selection: the next destination, and the AVPs that show what is left
(documentation 1.3.13 to 1.3.17, 1.4.3, 1.4.4).

NOTES
 (a) AVPs are made when a script first reads them.  From then on they, and not the walk, say what
     ds_next_dst() takes next: a script may have changed them.
"""

from ds_farm.dispatch._live cimport LiveSet
from ds_farm.script._plan cimport Choice, Plan
from ds_farm.script._selector cimport Selector
from ds_farm.sip._uri cimport Uri, parse_uri

from ds_farm.dispatch.model import DEFAULT_PARTITION
from ds_farm.errors import ConfigError
from ds_farm.proxy.codes import FAILED
from ds_farm.script.avps import Avps


cdef class Failover(Selector):
    """Under `ds_farm.script._request.Request`."""

    @property
    def avp(self):
        """AVPs of this request ($avp(name)); those of the dispatcher are made when first read."""
        cdef Plan plan
        self.check_open()
        if self._avp is None:
            self._avp = Avps()
        for partition, one in self.plans.items():
            plan = <Plan>one
            if plan.serial == self.serial and plan.live is not None and not plan.listed:
                self._list_plan(partition, plan)
        return self._avp

    cdef object next(self, partition, bint domain):
        cdef Plan plan
        cdef int index
        self.check_open()
        try:
            partition = self.expand(partition).strip() or DEFAULT_PARTITION
        except ConfigError as error:
            self.complain(f"ds_next_{'domain' if domain else 'dst'}: {error}")
            return FAILED
        plan = self.plans.get(partition)
        if plan is None or plan.serial != self.serial or plan.live is None:
            return FAILED
        if plan.listed:
            return self._next_listed(partition, plan, domain)
        while True:
            index = plan.following()
            if index < 0:
                break
            if not self._is_blacklisted(plan.live, index) and self._direct(plan.live, index, domain):
                plan.index = index
                plan.live.count_failover(index)
                return 1
        # What a set's algorithm reads of AVPs is no reason to list a walk that is between two sets.
        plan.listed = True
        try:
            if self._next_set(plan, domain, True):
                plan.live.count_failover(plan.index)
                return 1
        finally:
            plan.listed = False
        return FAILED

    # -- the AVPs of a selection (documentation 1.3.13 to 1.3.17), made when they are read

    cdef int _list_plan(self, str partition, Plan plan) except -1:
        """Write what a selection has to offer into its AVPs; from then on they are what counts.

        The destination in use first, then what sets with flag f have; no dst_avp without that flag.
        """
        cdef Plan ahead = plan.copy()
        cdef Choice choice
        cdef int index = plan.index
        plan.listed = True  # now: a set's algorithm may read AVPs
        names = self.settings.avps[partition]
        uris, sockets, attrs, groups, counts = [], [], [], [], []
        du, ruri, x = self.dst_uri, self.new_ruri, self.x
        listed = any([(<Choice>one).failover for one in ahead.call.choices[ahead.item:]])
        while True:
            choice = ahead.choice()
            before = len(uris)
            while index >= 0:
                attrs.append(ahead.live.attr(index))
                if listed:
                    uris.append(ahead.live.uri_text(index).decode())
                    sockets.append(ahead.live.socket(index))
                index = ahead.following()
            groups.append(choice.set_id)
            counts.append(len(uris) - before)
            if not self._next_set(ahead, False, True):
                break
            index = ahead.index
        self.dst_uri, self.new_ruri, self.x = du, ruri, x
        for name, values in (
            (names.dst, uris), (names.sock, sockets), (names.grp, groups), (names.cnt, counts)
        ):
            self._avp.put_all(name, values)
        if names.attrs:
            self._avp.put_all(names.attrs, attrs)
        plan.left = counts[0]
        return 0

    cdef object _next_listed(self, str partition, Plan plan, bint domain):
        """`_next` after the AVPs were made: by what they hold, also what a script wrote there."""
        cdef LiveSet live
        cdef int index
        names = self.settings.avps[partition]
        avp = self._avp
        while avp.pop(names.dst, "") and names.dst in avp:
            avp.pop(names.sock, "")
            if names.attrs:
                avp.pop(names.attrs, "")
            plan.left -= 1
            if plan.left <= 0 and len(avp.all(names.grp)) > 1:
                avp.pop(names.grp)
                avp.pop(names.cnt, 0)
                plan.left = int(avp.get(names.cnt, 0))
            uri = str(avp[names.dst])
            try:
                live = self.table.find(partition, int(avp.get(names.grp, -1)))
            except ValueError:
                live = None
            index = -1 if live is None else live.find_uri(uri.encode())
            if index >= 0:
                if (
                    plan.may_use(live, index)
                    and not self._is_blacklisted(live, index)
                    and self._direct(live, index, domain)
                ):
                    plan.live, plan.index = live, index
                    live.count_failover(index)
                    return 1
                continue
            try:
                # Not of the set: a script has put it there; ds_mark_dst has nothing to mark.
                if domain:
                    self._foreign_domain(uri)
                else:
                    self.du = uri
                plan.index = -1
                self.x.next_listener = self._listener(str(avp.get(names.sock, "")))
            except ValueError as error:
                self.complain(f"ds_next_dst: {error}")
                continue
            return 1
        return FAILED

    cdef object _foreign_domain(self, str text):
        """Host and port of a URI that is in no set into the Request-URI."""
        cdef bytes uri = text.encode(), current = self.ru.encode()
        cdef Uri parsed, own
        if parse_uri(uri, 0, len(uri), &parsed) or parse_uri(current, 0, len(current), &own):
            raise ValueError(f"{text!r} is not a URI")
        self.set_ruri(
            current[:own.host] + uri[parsed.host:parsed.hostport_end] + current[own.hostport_end:]
        )
        self.x.has_next = False
        self.x.slot = -1
        return 1
