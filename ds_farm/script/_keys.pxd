"""Hashes of a message's parts: the numbers that algorithms 0 to 3, 5 and 7 draw with."""

from libc.stdint cimport uint64_t

from ds_farm.proxy._exchange cimport Exchange


cdef uint64_t message_key(Exchange *x, bytes new_ruri, int algorithm, bint user_only) except? 0
cdef uint64_t text_key(str text) except? 0
