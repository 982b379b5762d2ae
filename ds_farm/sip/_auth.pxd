"""The user name of digest credentials (RFC 3261 20.7, 20.28), for algorithm 5 alone."""


cdef struct Credentials:
    int user, user_end           # without quotes and without "@realm"; 0, 0 if there is none


cdef int parse_credentials(const unsigned char *data, int start, int end, Credentials *c) noexcept nogil
