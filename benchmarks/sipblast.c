/* sipblast - a SIP/UDP load source and sink for dispatcher benchmarks (Linux).
 *
 * One process plays both ends: the caller sends requests to the proxy under
 * test, the destinations answer each with a final reply that goes back through
 * it.  Two threads, batched I/O (sendmmsg/recvmmsg), closed loop: WINDOW calls
 * are in flight, so that the proxy's own speed sets the rate.
 *
 *   sipblast -t 127.0.0.1:5060 -d 127.0.0.1:7001 -n 4 -w 256 -s 10 -m OPTIONS
 *
 * -t HOST:PORT  proxy under test             -d HOST:PORT  first destination
 * -n COUNT      destinations: ports PORT..PORT+COUNT-1
 * -c HOST:PORT  the caller's address (default 127.0.0.1:6000)
 * -w WINDOW     requests in flight           -R RATE       open loop instead: RATE requests a
 *                                                          second, however many are in flight
 * -W SECONDS    warm-up, not measured        -s SECONDS    measured time
 * -m METHOD     OPTIONS (one transaction a call) or INVITE (INVITE, 200, ACK,
 *               BYE, 200: the ACK and BYE are routed by the proxy as well)
 * -p PID,...    processes whose CPU time is read at both ends of the measured time
 * -o FILE       a line for each call of the measured time: when it was sent (CLOCK_MONOTONIC, ns)
 *               and its latency (us)
 *
 * Prints one line of JSON.  Of the measured time: "done" calls, their rate "per_second" and latency
 * percentiles in microseconds, CPU time of the processes of -p and of itself.  Of the whole run,
 * warm-up included: "sent" calls, those "answered" with 2xx, those "rejected" with another final
 * status, those "lost" (no answer in 500 ms, after which a caller would send again: RFC 3261
 * 17.1.1.1, T1), and how many requests, ACK left out, each of the "destinations" saw.
 * sent = answered + rejected + lost.
 *
 * Exit codes: 0 measured, 1 not one transaction was completed in the measured time, 2 usage, or a
 * socket or process that is not to be had.  It ends of itself: -W and -s and at most 2 s more.
 * TERM ends the measured time early.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>

#include "addresses.h"
#include "measured.h"
#include "messages.h"

#define BATCH 32
#define MAX_DESTINATIONS 64
#define SLOTS (1u << 16) /* calls under way at most; an open loop waits when they are used up */
#define MAX_WINDOW (SLOTS / 2)
#define MAX_LATENCIES (1u << 22)
#define TICK_NS 1000000u /* open loop: what is due is sent so often */
#define LOST_NS 500000000ull
#define POLL_MS 20

static struct sockaddr_in target, first, own;
static const char *method = "OPTIONS", *trace_path;
static int destinations = 1, window = 256, rate, is_invite;
static double warm_up_s, measured_s = 5;
static struct measured measured;
static atomic_int stop;
static volatile sig_atomic_t is_over;
static struct pollfd served[MAX_DESTINATIONS];
static atomic_ullong seen[MAX_DESTINATIONS];

struct mail { /* a batch of datagrams with their buffers */
  struct mmsghdr message[2 * BATCH];
  struct iovec vector[2 * BATCH];
  struct sockaddr_in address[2 * BATCH];
  char data[2 * BATCH][RESPONSE_MTU];
};

/* Room for a received datagram, one byte short of the buffer. */
static int receive(int fd, struct mail *in) {
  for (int i = 0; i < BATCH; i++) {
    in->vector[i] = (struct iovec){in->data[i], MTU - 1};
    in->message[i].msg_hdr = (struct msghdr){.msg_name = &in->address[i],
                                             .msg_namelen = sizeof in->address[i],
                                             .msg_iov = &in->vector[i],
                                             .msg_iovlen = 1};
  }
  int n = recvmmsg(fd, in->message, BATCH, MSG_DONTWAIT, NULL);
  return n < 0 ? 0 : n;
}

static void put(struct mail *out, int i, int length, struct sockaddr_in *to) {
  out->vector[i] = (struct iovec){out->data[i], (size_t)length};
  out->message[i].msg_hdr = (struct msghdr){.msg_name = to,
                                            .msg_namelen = sizeof *to,
                                            .msg_iov = &out->vector[i],
                                            .msg_iovlen = 1};
}

/* Send the first `n`; what the kernel will not take is lost, as on a network. */
static void transmit(int fd, struct mail *out, int n) {
  for (int sent = 0; sent < n;) {
    int k = sendmmsg(fd, out->message + sent, (unsigned)(n - sent), 0);
    if (k < 0 && errno == EINTR) continue;
    if (k < 0 && errno == EAGAIN) {
      struct pollfd wanted = {fd, POLLOUT, 0};
      if (!atomic_load(&stop) && poll(&wanted, 1, POLL_MS) >= 0) continue;
    }
    sent += k > 0 ? k : 1;
  }
}

/* The destinations: answer all but ACK. */
static void *serve(void *unused) {
  static struct mail in, out;
  (void)unused;
  while (!atomic_load(&stop)) {
    if (poll(served, (nfds_t)destinations, POLL_MS) <= 0) continue;
    for (int i = 0; i < destinations; i++) {
      if (!(served[i].revents & POLLIN)) continue;
      int n = receive(served[i].fd, &in), answers = 0;
      for (int j = 0; j < n; j++) {
        if (!strncmp(in.data[j], "ACK ", 4)) continue;
        put(&out, answers, response_to(in.data[j], (int)in.message[j].msg_len, out.data[answers]),
            &in.address[j]);
        answers++;
      }
      atomic_fetch_add(&seen[i], (unsigned long long)answers);
      transmit(served[i].fd, &out, answers);
    }
  }
  return NULL;
}

/* The caller.  Calls have consecutive numbers; those from `oldest` up to `next` are under way. */
static struct {
  int fd;
  struct text request, ack, bye;
  char routes[512]; /* Route lines that `ack` and `bye` were made with */
  uint64_t oldest, next, sent, answered, rejected, lost, done;
  struct { uint64_t id, sent_ns; } call[SLOTS]; /* by number; id 0: it is over */
  uint64_t begin_ns;                            /* of the measured time; 0 before it */
  int is_measuring;
  uint32_t *latency_us, latencies;
  uint64_t *when_ns;
} caller;

/* Copies of a request in place `i` of a batch. */
static void put_request(struct mail *out, int i, const struct text *text, uint64_t id) {
  memcpy(out->data[i], text->data, (size_t)text->length);
  put_id(text, out->data[i], id);
  put(out, i, text->length, &target);
}

static void send_calls(int count, uint64_t now) {
  static struct mail out;
  for (int i = 0; i < count; i++, caller.next++) {
    caller.call[caller.next % SLOTS].id = caller.next;
    caller.call[caller.next % SLOTS].sent_ns = now;
    put_request(&out, i, &caller.request, caller.next);
  }
  caller.sent += (uint64_t)count;
  transmit(caller.fd, &out, count);
}

/* Forget what is over, and give up what has waited for too long. */
static void clear_calls(uint64_t now) {
  for (; caller.oldest < caller.next; caller.oldest++) {
    if (!caller.call[caller.oldest % SLOTS].id) continue;
    if (now - caller.call[caller.oldest % SLOTS].sent_ns < LOST_NS) return;
    caller.call[caller.oldest % SLOTS].id = 0;
    caller.lost++;
  }
}

/* The next line that begins with `name`, after `from`; NULL if there is none. */
static const char *header(const char *from, const char *name) {
  size_t n = strlen(name);
  for (const char *line = strchr(from, '\n'); line; line = strchr(line + 1, '\n'))
    if (!strncasecmp(line + 1, name, n)) return line + 1;
  return NULL;
}

/* ACK and BYE go by the routes that the 200 recorded, last one first (RFC 3261 12.1.2). */
static void follow_routes(const char *response) {
  char routes[sizeof caller.routes] = "", rest[sizeof routes];
  const char *line = response;
  while ((line = header(line, "Record-Route:"))) {
    memcpy(rest, routes, sizeof rest);
    const char *value = line + strlen("Record-Route:");
    int n = snprintf(routes, sizeof routes, "Route:%.*s\r\n%s", (int)strcspn(value, "\r\n"), value,
                     rest);
    if (n >= (int)sizeof routes) usage("the recorded routes are too long");
  }
  if (caller.ack.length && !strcmp(routes, caller.routes)) return;
  memcpy(caller.routes, routes, sizeof routes);
  text_of(&caller.ack, "ACK", 1, routes, &own, &target);
  text_of(&caller.bye, "BYE", 2, routes, &own, &target);
}

/* A response in a batch of received ones; returns how many requests it put into `out`. */
static int take(const char *message, int length, uint64_t now, struct mail *out, int place) {
  if (length < 12 || strncmp(message, "SIP/2.0 ", 8) || message[8] == '1') return 0;
  uint64_t id = id_of(message, length);
  if (!id || caller.call[id % SLOTS].id != id) return 0;
  const char *cseq = header(message, "CSeq:");
  if (message[8] == '2' && is_invite && cseq && memmem(cseq, strcspn(cseq, "\r\n"), "INVITE", 6)) {
    follow_routes(message);
    put_request(out, place, &caller.ack, id);
    put_request(out, place + 1, &caller.bye, id);
    return 2;
  }
  uint64_t sent_ns = caller.call[id % SLOTS].sent_ns;
  caller.call[id % SLOTS].id = 0;
  if (message[8] != '2') {
    caller.rejected++;
    return 0;
  }
  caller.answered++;
  if (!caller.is_measuring) return 0;
  caller.done++;
  if (sent_ns >= caller.begin_ns && caller.latencies < MAX_LATENCIES) {
    if (caller.when_ns) caller.when_ns[caller.latencies] = sent_ns;
    caller.latency_us[caller.latencies++] = (uint32_t)((now - sent_ns) / 1000);
  }
  return 0;
}

static void receive_calls(void) {
  static struct mail in, out;
  int n = receive(caller.fd, &in), requests = 0;
  uint64_t now = now_ns();
  for (int i = 0; i < n; i++) {
    int length = (int)in.message[i].msg_len;
    in.data[i][length] = 0;
    requests += take(in.data[i], length, now, &out, requests);
  }
  if (requests) transmit(caller.fd, &out, requests);
}

static uint64_t under_way(void) {
  return caller.sent - caller.answered - caller.rejected - caller.lost;
}

/* Sleep until something comes, or the time of the next tick. */
static void wait_until(uint64_t tick) {
  struct pollfd wanted = {caller.fd, POLLIN, 0};
  uint64_t now = now_ns(), ns = tick > now ? tick - now : 0;
  struct timespec timeout = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
  ppoll(&wanted, 1, &timeout, NULL);
}

static void end_early(int number) {
  (void)number;
  is_over = 1;
}

/* Load until `end`; returns when it really ended. */
static uint64_t load_until(uint64_t end) {
  static double due;
  uint64_t now = now_ns(), tick = now + TICK_NS;
  while (now < end && !is_over) {
    clear_calls(now);
    uint64_t slots = SLOTS - (caller.next - caller.oldest), wanted = (uint64_t)window;
    uint64_t room = rate ? (uint64_t)due : under_way() < wanted ? wanted - under_way() : 0;
    int count = (int)(room < BATCH ? room : BATCH);
    if ((uint64_t)count > slots) count = 0;
    if (count) send_calls(count, now);
    if (rate) due -= count;
    if (rate && due < 1) wait_until(tick < end ? tick : end);
    if (!rate && !count) wait_until(now + POLL_MS * 1000000u);
    receive_calls();
    for (now = now_ns(); rate && tick <= now; tick += TICK_NS) due += rate * (TICK_NS / 1e9);
  }
  return now;
}

static void drain(void) {
  for (uint64_t now; clear_calls(now = now_ns()), caller.oldest < caller.next;) {
    wait_until(now + POLL_MS * 1000000u);
    receive_calls();
  }
}

static void write_trace(void) {
  FILE *file = fopen(trace_path, "w");
  if (!file) die(trace_path);
  for (uint32_t i = 0; i < caller.latencies; i++)
    fprintf(file, "%llu %u\n", (unsigned long long)caller.when_ns[i], caller.latency_us[i]);
  if (fclose(file)) die(trace_path);
}

static int by_size(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

static unsigned percentile(unsigned per_mille) {
  uint64_t n = caller.latencies;
  return n ? caller.latency_us[(n - 1) * per_mille / 1000] : 0;
}

static void print_counts(double seconds) {
  printf("{\"method\":\"%s\",\"seconds\":%.3f,\"sent\":%llu,\"answered\":%llu,\"rejected\":%llu,"
         "\"lost\":%llu,\"done\":%llu,\"per_second\":%.0f,",
         method, seconds, (unsigned long long)caller.sent, (unsigned long long)caller.answered,
         (unsigned long long)caller.rejected, (unsigned long long)caller.lost,
         (unsigned long long)caller.done, (double)caller.done / seconds);
  printf("\"p50_us\":%u,\"p90_us\":%u,\"p99_us\":%u,\"p999_us\":%u,\"max_us\":%u,"
         "\"destinations\":[",
         percentile(500), percentile(900), percentile(990), percentile(999), percentile(1000));
  for (int i = 0; i < destinations; i++)
    printf("%s%llu", i ? "," : "", (unsigned long long)atomic_load(&seen[i]));
  printf("],");
}

static double seconds(const char *text, const char *option) {
  char *end;
  double value = strtod(text, &end);
  if (end == text || *end || !(value >= 0 && value <= 3600)) {
    fprintf(stderr, "%s wants seconds from 0 to 3600, not %s\n", option, text);
    exit(2);
  }
  return value;
}

static void arguments(int argc, char **argv) {
  int c;
  address("127.0.0.1:5060", &target);
  address("127.0.0.1:7001", &first);
  address("127.0.0.1:6000", &own);
  while ((c = getopt(argc, argv, "t:d:c:n:w:R:W:s:m:p:o:")) != -1) switch (c) {
      case 't': address(optarg, &target); break;
      case 'd': address(optarg, &first); break;
      case 'c': address(optarg, &own); break;
      case 'n': destinations = number(optarg, 1, MAX_DESTINATIONS, "-n"); break;
      case 'w': window = number(optarg, 1, MAX_WINDOW, "-w"); break;
      case 'R': rate = number(optarg, 1, 100000, "-R"); break;
      case 'W': warm_up_s = seconds(optarg, "-W"); break;
      case 's': measured_s = seconds(optarg, "-s"); break;
      case 'm': method = optarg; break;
      case 'p': measure(&measured, optarg); break;
      case 'o': trace_path = optarg; break;
      default: usage("the head of sipblast.c has the options");
    }
  is_invite = !strcmp(method, "INVITE");
  if (!is_invite && strcmp(method, "OPTIONS")) usage("-m wants OPTIONS or INVITE");
  if (optind != argc) usage("sipblast has options only");
}

static void prepare(void) {
  struct sigaction action = {.sa_handler = end_early};
  sigaction(SIGTERM, &action, NULL);
  prctl(PR_SET_TIMERSLACK, 1000ul, 0, 0, 0);
  for (int i = 0; i < destinations; i++) {
    struct sockaddr_in where = address_after(&first, i);
    served[i] = (struct pollfd){bound(&where, 0), POLLIN, 0};
  }
  caller.fd = bound(&own, 0);
  text_of(&caller.request, method, 1, "", &own, &target);
  caller.oldest = caller.next = 1 + now_ns() / 1000 % 100000000000u; /* 11 of ID_DIGITS digits */
  caller.latency_us = malloc(MAX_LATENCIES * sizeof *caller.latency_us);
  if (!caller.latency_us) die("memory");
  memset(caller.latency_us, 1, MAX_LATENCIES * sizeof *caller.latency_us); /* no page fault later */
  if (!trace_path) return;
  caller.when_ns = calloc(MAX_LATENCIES, sizeof *caller.when_ns);
  if (!caller.when_ns) die("memory");
}

int main(int argc, char **argv) {
  static struct cpu before[MAX_MEASURED], after[MAX_MEASURED];
  pthread_t thread;
  arguments(argc, argv);
  prepare();
  if ((errno = pthread_create(&thread, NULL, serve, NULL))) die("thread");
  load_until(now_ns() + (uint64_t)(warm_up_s * 1e9));
  read_cpu(&measured, before);
  uint64_t own_ns = read_clock(CLOCK_PROCESS_CPUTIME_ID);
  caller.begin_ns = now_ns();
  caller.is_measuring = 1;
  uint64_t end_ns = load_until(caller.begin_ns + (uint64_t)(measured_s * 1e9));
  read_cpu(&measured, after);
  own_ns = read_clock(CLOCK_PROCESS_CPUTIME_ID) - own_ns;
  caller.is_measuring = 0;
  drain();
  atomic_store(&stop, 1);
  pthread_join(thread, NULL);
  if (trace_path) write_trace();
  qsort(caller.latency_us, caller.latencies, sizeof *caller.latency_us, by_size);
  print_counts((double)(end_ns - caller.begin_ns) / 1e9);
  printf("\"own_ns\":%llu,", (unsigned long long)own_ns);
  print_cpu(&measured, before, after);
  printf("}\n");
  return caller.done ? 0 : 1;
}
