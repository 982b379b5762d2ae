"""The request with what is left of its selections."""

from ds_farm.script._plan cimport Plan
from ds_farm.script._selector cimport Selector


cdef class Failover(Selector):
    cdef object next(self, partition, bint domain)
    cdef int _list_plan(self, str partition, Plan plan) except -1
    cdef object _next_listed(self, str partition, Plan plan, bint domain)
    cdef object _foreign_domain(self, str text)
