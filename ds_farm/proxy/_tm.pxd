"""The request with what the transaction layer offers to a routing function."""

from ds_farm.proxy._relay_request cimport RelayRequest
from ds_farm.proxy._transaction cimport Branch


cdef class TmRequest(RelayRequest):
    cdef object _named(self, str kind, name)
    cdef int _send(self) except? -2
    cdef object _target(self)
    cdef int _aim(self, target) except -1
    cdef Branch *_winner(self) noexcept
    cdef int reply_status(self) except -1
    cdef object _seconds(self, int own_ms, int configured_ms)
