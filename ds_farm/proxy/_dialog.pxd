"""The request with functions for its URIs, Record-Route and Route."""

from ds_farm.proxy._message cimport MessageRequest


cdef class DialogRequest(MessageRequest):
    cdef object _rewrite(self, str function, str uri)
    cdef object _replace(self, str function, list parts, int first, int end, object text)
    cdef int _own_route(self, int *start, int *end) except -1
