"""The request with functions that read and change its text."""

from ds_farm.proxy._exchange cimport MAX_LUMPS
from ds_farm.proxy._request cimport BaseRequest
from ds_farm.sip._edit cimport Edit


cdef class MessageRequest(BaseRequest):
    cdef Edit _lumps[MAX_LUMPS]
    cdef list _texts             # what `_lumps` point to
    cdef bytes _rr_params        # what `x.rr_params` points to
    cdef readonly str rr_added   # what add_rr_param has asked for
    cdef object complain         # hears of calls that cannot be done as they are written
    cdef set flags               # None: none has been set
    cdef tuple _base             # what the request route has done to headers, once it is armed
    cdef bint is_reply           # it speaks for a response, in an onreply_route

    cdef object save(self)
    cdef int restore(self, saved) except -1
    cdef int restore_knowledge(self, saved) except -1
    cdef bint change(self, int start, int end, bytes text) except -1
    cdef list lines_of(self, str name)
    cdef bytes header_lines(self, str function, text)
    cdef int _fit_content_length(self) except -1
    cdef int _keep_base(self) except -1
    cdef int _keep_rr_params(self, bytes params) except -1
