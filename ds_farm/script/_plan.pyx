"""Calls of ds_select_dst and ds_select_domain, parsed, and the walk over what they offer.

Order (documentation 1.4.1, semantics 3.4): the chosen destination c, then c+1, c+2, ... around to
c-1, active ones only, at most ``max_results`` with the first; with flag D the last destination of
the set at the very end, also when it is down (decision 13).  Then the next set of the call.
"""

from libc.stdint cimport uint64_t

from ds_farm.dispatch._live cimport LiveSet

from ds_farm.dispatch.arguments import UnequalLists, parse_choices
from ds_farm.errors import ConfigError
from ds_farm.proxy.codes import FAILED, UNEQUAL_LISTS
from ds_farm.script.pvars import compile_format


cdef class Choice:
    """One set of a call, bound to the current table when it is first used."""

    def __cinit__(self, choice):
        self.partition = choice.partition
        self.set_id = choice.set_id
        self.algorithm = choice.algorithm
        self.failover = choice.flags.failover
        self.user_only = choice.flags.user_only
        self.keep = choice.flags.keep
        self.use_default = choice.flags.use_default
        self.max_results = choice.flags.max_results


cdef class Call:
    """The arguments of one call, parsed.  ``complain(text)`` hears what is wrong with them."""

    def __cinit__(self, sets, alg, flags, complain):
        texts = [None if one is None else str(one) for one in (sets, alg, flags)]
        try:
            if any("$" in text for text in texts if text is not None):
                self.formats = [None if one is None else compile_format(one) for one in texts]
            else:
                self.choices = tuple([Choice(one) for one in parse_choices(*texts)])
        except ConfigError as error:
            complain(str(error))
            self.failure = UNEQUAL_LISTS if isinstance(error, UnequalLists) else FAILED


cdef class Plan:
    """The walk.  One object serves a partition for all requests of a worker."""

    cdef void begin(self, Call call, uint64_t serial) noexcept:
        self.serial = serial
        self.call = call
        self.item = -1
        self.live = None
        self.index = -1
        self.listed = False

    cdef void start(self, LiveSet live, int chosen, list order) noexcept:
        """Begin with destination `chosen` of a set; `order` if it is not the set's own."""
        cdef Choice choice = self.choice()
        self.live = live
        self.index = chosen
        self.chosen = chosen
        self.size = live.size - 1 if choice.use_default and live.size > 1 else live.size
        self.step = 1
        self.given = 1
        self.default_given = not choice.use_default or chosen == live.size - 1
        self.order = order

    cdef Choice choice(self):
        return <Choice>self.call.choices[self.item]

    cdef int following(self):
        """Index of the next alternate in the current set, -1 if there is none."""
        cdef Choice choice = self.choice()
        cdef int index
        if not choice.failover:
            return -1
        while self.given < choice.max_results and self.chosen < self.size:
            if self.order is not None:
                if self.step >= len(self.order):
                    break
                index = self.order[self.step]
            else:
                if self.step >= self.size:
                    break
                index = (self.chosen + self.step) % self.size
            self.step += 1
            if self.live.is_active(index):
                self.given += 1
                return index
        if not self.default_given:
            self.default_given = True
            if self.live.endpoint(self.live.size - 1) != NULL:
                return self.live.size - 1
        return -1

    cdef bint may_use(self, LiveSet live, int index):
        """Whether it takes calls now, or is what flag D keeps for the end."""
        cdef Choice choice
        if live.is_active(index):
            return True
        if index == live.size - 1:
            for choice in self.call.choices:
                if choice.use_default and choice.set_id == live.id:
                    return True
        return False

    cdef Plan copy(self):
        """The same walk at the same place, to look ahead on."""
        cdef Plan other = Plan()
        other.serial = self.serial
        other.call = self.call
        other.item = self.item
        other.live = self.live
        other.index = self.index
        other.size = self.size
        other.chosen = self.chosen
        other.step = self.step
        other.given = self.given
        other.default_given = self.default_given
        other.order = self.order
        other.listed = self.listed
        other.left = self.left
        return other
