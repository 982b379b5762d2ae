"""What the algorithms hash of a message (semantics section 2.2)."""

from libc.stdint cimport uint32_t, uint64_t

from ds_farm.dispatch._hash cimport add_key, finish
from ds_farm.proxy._exchange cimport Exchange
from ds_farm.sip._auth cimport Credentials, parse_credentials
from ds_farm.sip._names cimport SIPS
from ds_farm.sip._text cimport same
from ds_farm.sip._uri cimport Uri, parse_uri


cdef uint64_t message_key(Exchange *x, bytes new_ruri, int algorithm, bint user_only) except? 0:
    """Hash of what algorithm 0, 1, 2, 3 or 5 looks at, 0 if the request does not have it."""
    cdef Credentials credentials
    cdef const unsigned char *data = x.data
    if algorithm == 0:
        return finish(add_key(0, data + x.m.call_id,
                              x.m.call_id_end - x.m.call_id))
    if algorithm == 1:
        return _hash_uri(data, x.from_.uri, x.from_.uri_end, user_only)
    if algorithm == 2:
        return _hash_uri(data, x.to.uri, x.to.uri_end, user_only)
    if algorithm == 3:
        if new_ruri is not None:
            return _hash_uri(new_ruri, 0, len(new_ruri), user_only)
        return _hash_uri(data, x.m.uri, x.m.uri_end, user_only)
    if algorithm == 5:
        if parse_credentials(data, x.m.proxy_authorization,
                             x.m.proxy_authorization_end, &credentials) and \
                parse_credentials(data, x.m.authorization,
                                  x.m.authorization_end, &credentials):
            return 0
        return finish(add_key(0, data + credentials.user,
                              credentials.user_end - credentials.user))
    return 0


cdef uint64_t _hash_uri(
    const unsigned char *data, int start, int end, bint user_only
) except? 0:
    """User part, then host with its port unless that is the transport's default one."""
    cdef Uri uri
    cdef uint32_t h
    cdef int default
    if parse_uri(data, start, end, &uri) or not uri.host_end:
        return 0
    h = add_key(0, data + uri.user, uri.user_end - uri.user)
    if user_only:
        return finish(add_key(h, data, 0))
    default = 5060
    if uri.scheme == SIPS or (
        uri.transport and same(data, uri.transport, uri.transport_end, b"tls", 3)
    ):
        default = 5061
    if uri.port and uri.port != default:
        end = uri.hostport_end
    else:
        end = uri.host_end
    return finish(add_key(h, data + uri.host, end - uri.host))


cdef uint64_t text_key(str text) except? 0:
    """The same of a text, for algorithm 7; 0 if there is nothing in it."""
    cdef bytes key = text.strip(" \t\r\n").encode()
    return finish(add_key(0, key, len(key))) if key else 0
