"""THE declaration of the shared segment: every struct, field, size; who writes each, and how.

    +--------+-------------+------------+---------+-------------+------------------------------+
    | Header | Process x P | Worker x W | Set x S | Destination | SetCounters x (W x S)        |
    |        |             |            |         | x D, Change | DestinationCounters x (W x D)|
    |        |             |            |         |             | SetProbes x S, Probe x D     |
    +--------+-------------+------------+---------+-------------+------------------------------+

P processes, W SIP workers, S sets, D destinations: capacities in the header.  A struct that one
process writes for every message fills cache lines of its own (64 bytes), so that no two workers
write into one line.  Any change of size or order is a new LAYOUT_VERSION (shm/layout.py).

All words are 64 bit and naturally aligned; each is read and written by one atomic operation.
`layout.py` gets offsets and sizes from `_native.FIELDS`, which is made from these structs.
"""

from libc.stdint cimport uint8_t, uint64_t


cdef enum:
    SIZES = 8                          # changes of the number of workers that are remembered


cdef struct Header:
    # -- fixed at creation, by the supervisor before the first fork
    uint64_t magic
    uint64_t layout_version
    uint64_t total_size
    uint64_t max_processes
    uint64_t max_workers
    uint64_t max_sets
    uint64_t max_destinations
    uint64_t supervisor_pid
    uint64_t supervisor_start          # its start time in clock ticks since boot: a recycled pid differs
    uint64_t created_ns                # CLOCK_REALTIME
    uint64_t secret[2]                 # key of branches and tags of this farm
    uint64_t spare0[3]
    uint64_t children_asked            # control: so many SIP workers are wanted; supervisor: 0, done
    # -- the table: loader, under LockId.PUBLISH
    uint64_t generation                # number of the current table, 0 before the first one
    uint64_t sets_used                 # high-water mark of set slots
    uint64_t destinations_used         # high-water mark of destination slots
    uint64_t reloads_ok
    uint64_t reloads_failed
    uint64_t discarded[8]              # rows left out of the current table, by dispatch.model.Discard
    uint64_t load_errors[3]            # loads that failed, by dispatch.model.LoadError
    uint64_t last_reload_ns            # CLOCK_REALTIME of the last successful one
    uint64_t reload_requests           # anybody, fetch-and-add: the loader compares with what it has served
    uint64_t database_up               # 1 while the loader reached it at its last try
    uint64_t reload_served             # reload_requests as the last reload that has ended began
    uint64_t reload_fresh              # the latest request for the database's states (inherit_state=0)
    uint64_t reload_successful         # 1 if the last reload was; written before reload_served
    # -- how many SIP workers there are, and were: the supervisor, entry first, number last
    uint64_t size_changes              # number of the latest entry, 0: none yet
    uint64_t sizes[8]                  # SIZES: at change % SIZES
    uint64_t size_since_ns[8]          # CLOCK_MONOTONIC
    # -- names of destinations: the loader
    uint64_t dns_names                 # host names that the table has
    uint64_t dns_failing               # of these, whose last question failed
    uint64_t dns_questions             # how often a name was asked for
    uint64_t dns_failures              # of these, without a usable answer
    # -- changed states on their way to the database: the loader, after each turn of its flusher
    uint64_t flush_due                 # destinations whose state is not in the database
    uint64_t flush_oldest_ns           # CLOCK_REALTIME of the oldest of these changes, 0: none
    uint64_t flush_failures            # turns that could not write all
    # -- probing
    uint64_t probe_replies_ignored     # timer: late, repeated, or of no probe of ours
    uint64_t probe_notices_lost        # workers, fetch-and-add: the way to the timer was full
    # -- what operators ask of every process
    uint64_t log_level                 # control: 0 as configured, else the stdlib's level
    uint64_t stop_requests             # control: the supervisor stops the farm when it is not 0
    uint64_t spare1[6]
    # -- locks: pid of the holder beside each semaphore, compare-and-swap (shm/locks.py)
    uint64_t lock_holder[8]
    uint64_t lock_recoveries[8]        # how often a dead holder's lock was taken over
    # -- changes of state and their events (ds_farm/dispatch/journal.py)
    uint64_t changes_logged            # fetch-and-add by whoever changes a state: records handed out
    uint64_t changes_read              # control: records that it has dealt with
    uint64_t changes_unknown           # control: changes of which nothing but their number is known
    uint64_t events_raised             # control, as are all below
    uint64_t events_accepted           # for one subscriber each; the next two add up to it, or one died
    uint64_t events_delivered
    uint64_t events_dropped
    uint64_t mi_requests
    # -- what a reload is to read, and what came of it
    uint64_t reload_partitions         # a bit for each partition asked for, the top bit for all; CAS
    uint64_t reload_reason[30]         # loader, before reload_served: why the last one failed, a text
    uint64_t steering                  # supervisor: shm.layout.By, how datagrams get to a worker


cdef struct Process:                   # written by the process itself, read by all
    uint64_t pid                       # 0: slot is free
    uint64_t role                      # shm.layout.Role
    uint64_t rank                      # of a SIP worker, else 0
    uint64_t status                    # shm.layout.Status
    uint64_t heartbeat_ns              # CLOCK_MONOTONIC, each turn of its loop
    uint64_t started_ns                # CLOCK_REALTIME
    uint64_t starts                    # how often a process has started in this slot
    uint64_t generation                # table it works with; older ones may be removed


cdef struct Worker:                    # counters of one SIP worker, written by it alone
    uint64_t requests                  # received and well formed
    uint64_t responses
    uint64_t received_bytes
    uint64_t forwarded_requests
    uint64_t forwarded_responses
    uint64_t sent_bytes
    uint64_t send_errors
    uint64_t route_errors              # exceptions in routing functions
    uint64_t batches
    uint64_t busy_ns                   # time spent with messages, not waiting for them
    uint64_t absorbed                  # ACKs of our own negative replies
    uint64_t replies[8]                # own replies by class: [4] counts 4xx
    uint64_t malformed[24]             # by ds_farm.sip.names.Fault
    uint64_t dropped[12]               # by ds_farm.sip.names.Drop
    uint64_t transactions              # open now
    uint64_t retransmissions           # sent by us, requests and responses
    uint64_t handover_port             # of its socket for datagrams of other workers, 0: none yet
    uint64_t handed_over               # to other workers
    uint64_t unfinished                # transactions that have no final response yet
    uint64_t repeated                  # requests that came again and went no further
    uint64_t queued_bytes              # in the kernel's receive queues of its SIP sockets, each second
    uint64_t queue_limit_bytes         # when the kernel drops
    uint64_t kernel_drops              # datagrams that found them full
    uint64_t waits[12]                 # of batches' first datagrams, by ds_farm.dispatch.times
    uint64_t wait_ns                   # their sum
    uint64_t joined                    # datagrams that went to the kernel behind another one
    uint64_t unknown_sets              # selections from sets that the table does not have
    uint64_t spare[1]


cdef struct Set:
    uint64_t state_version             # fetch-and-add by whoever changed a state in this set
    uint64_t spare0[7]
    uint64_t cursor                    # round robin: fetch-and-add by SIP workers; a line of its own
    uint64_t spare1[7]


cdef struct Destination:
    uint64_t word                      # state 8 bit | failures 24 bit | change number 32 bit; compare-and-swap
    uint64_t changed_ns                # CLOCK_REALTIME of the last change; by whoever won the swap
    uint64_t set_slot                  # loader, under LockId.PUBLISH
    uint64_t changes_base              # loader: change number when the slot was allotted
    uint64_t announced                 # control: change number of its last event; loader at allotment
    uint64_t address                   # number of the one in use, modulo how many; CAS by who finds it dead
    uint64_t spare[2]


cdef struct Change:                    # a change of state; a ring, record n is at n mod CHANGES
    uint64_t number                    # n + 1 when it is complete; 0 while it is written
    uint64_t slot                      # of the destination
    uint64_t change                    # its change number
    uint64_t what                      # state before 8 bit | after 8 bit | reason 8 bit


cdef struct SetCounters:               # [rank][set], written by that worker alone
    uint64_t selections[11]            # that found a destination, by algorithm; the last: any other
    uint64_t failures                  # that found none
    uint64_t spare[4]


cdef struct DestinationCounters:       # [rank][destination], written by that worker alone
    uint64_t selected                  # picked by an algorithm
    uint64_t requests                  # forwarded to it
    uint64_t responses[7]              # by class; [0] is unused
    uint64_t failures                  # datagrams that the kernel would not send
    uint64_t failovers                 # taken by ds_next_dst or ds_next_domain
    uint64_t timeouts                  # no final response in time
    uint64_t open                      # branches to it that wait for a final response, of this life
    uint64_t first_response[8]         # by ds_farm.dispatch.times.BOUNDS_S, each with its own alone
    uint64_t first_response_ns         # their sum
    uint64_t final_response[8]
    uint64_t final_response_ns
    uint64_t failovers_away            # requests that went on to another one because it had failed


cdef struct SetProbes:                 # answers to the probes of a set, written by the timer alone
    uint64_t rtt_sum_ns
    uint64_t rtt_buckets[15]           # by ds_farm.probe.rtt.BOUNDS_S, each with its own answers only


cdef struct Probe:                     # of one destination, written by the timer alone
    uint64_t number                    # of its last probe, from 1
    uint64_t sent_ns                   # CLOCK_MONOTONIC, when that was first sent; before it is
    uint64_t open                      # 1 until its transaction has ended
    uint64_t results[6]                # ended probes by ds_farm.probe.prober.Result
    uint64_t retransmissions
    uint64_t status                    # of the last final reply
    uint64_t rtt_ns                    # of the last final reply
    uint64_t rtt_smoothed_ns           # over the last eight or so (RFC 6298's weight of 1/8)
    uint64_t spare[3]
