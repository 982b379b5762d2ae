/* sipblast - a SIP/UDP load source and sink for dispatcher benchmarks (Linux).
 *
 * One process plays both ends: the caller sends requests to the proxy under
 * test, the destinations answer each with a final reply that goes back through
 * it.  Two threads, batched I/O (sendmmsg/recvmmsg).  Closed loop: at most
 * WINDOW calls are in flight, so that the proxy's own speed sets the rate.
 *
 *   sipblast -t 127.0.0.1:5060 -d 127.0.0.1:7001 -n 4 -w 256 -s 10 -m OPTIONS
 *
 * -t HOST:PORT  proxy under test; given again (up to 8): requests take turns
 * -d HOST:PORT  first destination
 * -n COUNT      destinations: ports PORT..PORT+COUNT-1
 * -w WINDOW     requests in flight           -s SECONDS    measured time (0.5)
 * -W SECONDS    warm-up before it: load, but nothing is counted (default 0)
 * -m METHOD     OPTIONS (one transaction a call) or INVITE (INVITE, 200, ACK,
 *               BYE, 200: the ACK and BYE are routed by the proxy as well)
 * -c PORT       first local port of the caller (default 6000; 0: any)
 * -k COUNT      caller sockets (distinct source ports, default 1)
 * -r            one-way: the destinations only count, nothing is answered
 *               (a request is then 'done' when it reaches a destination)
 * -R RATE       open loop at RATE requests a second instead of a closed loop
 * -T MICROS     open loop: what is due is sent every MICROS (default 1000), so
 *               that the size of the bursts is RATE * MICROS
 * -p PID        a serving process: its CPU clock is read where the measured
 *               time begins and ends (may be given up to 16 times)
 *
 * After the measured time nothing new is sent, and what is under way may still
 * arrive until all is answered or nothing came for 300 ms.
 *
 * Prints one line of JSON.  Of the measured time: transactions completed
 * (done), per-second rate, latency percentiles in microseconds, and of each PID
 * the CPU time in nanoseconds with its user and system part in ticks.  Of the
 * whole run, warm-up included: sent, rejected (final response other than 2xx),
 * lost (no answer at all), and how many requests each destination saw.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 32
#define MAXDST 64
#define MAXCALL 64
#define MAXTARGET 8
#define MAXPID 16
#define MTU 2048
#define GROWTH 128 /* of a reply over its request, and slack for look-ahead */
#define SLOTS (1u << 16)
#define QUIET_NS 200000000ull /* closed loop: so long without an answer, and the window is lost */
#define DRAIN_NS 300000000ull
#define S 1000000000ull
#ifndef SO_RCVBUFFORCE
#define SO_RCVBUFFORCE 33
#endif

static struct sockaddr_in target[MAXTARGET], dst0;
static char target_ip[MAXTARGET][INET_ADDRSTRLEN], dst_ip[INET_ADDRSTRLEN];
static int ntarget, ndst = 1, window = 128, cport = 6000, ncaller = 1, oneway, npid;
static pid_t pids[MAXPID];
static double seconds = 5, warm, open_rate, tick_us = 1000;
static const char *method = "OPTIONS";
static atomic_int stop;
static atomic_ullong seen[MAXDST];
static _Atomic uint64_t oneway_done;
static uint64_t started[SLOTS];
static int dst_fd[MAXDST], call_fd[MAXCALL], call_port[MAXCALL];

struct cpu { uint64_t ns; unsigned long user, system; };

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * S + t.tv_nsec;
}

static void die(const char *m) { fprintf(stderr, "sipblast: "); perror(m); exit(2); }

/* A bound socket; `port` gets the real one. */
static int udp(struct in_addr ip, int *port) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), b = 4 << 20;
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(*port), .sin_addr = ip};
  socklen_t l = sizeof a;
  if (fd < 0) die("socket");
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &b, sizeof b)) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &b, sizeof b);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &b, sizeof b);
  if (bind(fd, (void *)&a, sizeof a) || getsockname(fd, (void *)&a, &l)) die("bind");
  *port = ntohs(a.sin_port);
  return fd;
}

static void hostport(const char *s, struct sockaddr_in *a, char *ip) {
  const char *c = strrchr(s, ':');
  if (!c || c - s >= INET_ADDRSTRLEN) { fprintf(stderr, "sipblast: HOST:PORT wanted: %s\n", s); exit(2); }
  memcpy(ip, s, c - s); ip[c - s] = 0;
  a->sin_family = AF_INET; a->sin_port = htons(atoi(c + 1));
  if (inet_pton(AF_INET, ip, &a->sin_addr) != 1) { fprintf(stderr, "sipblast: bad address %s\n", s); exit(2); }
}

/* CPU time of a whole process: the exact sum, and the kernel's two parts of it (proc(5), stat 14 and 15). */
static struct cpu cpu_of(pid_t pid) {
  struct cpu u = {0}; struct timespec t; clockid_t clock; char path[64], line[1024]; FILE *f;
  if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &t)) die("-p: no such process");
  u.ns = (uint64_t)t.tv_sec * S + t.tv_nsec;
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  if (!(f = fopen(path, "r")) || !fgets(line, sizeof line, f)) die(path);
  fclose(f);
  char *p = strrchr(line, ')'); /* the name may hold anything */
  if (!p || sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &u.user, &u.system) != 2) die(path);
  return u;
}

/* Final reply to a request: the status line, then Via, From, To, Call-ID, CSeq
 * and Record-Route copied as they stand. */
static int reply(const char *in, int n, char *out) {
  char *o = out; const char *p = in, *e = in + n;
  o += sprintf(o, "SIP/2.0 200 OK\r\n");
  while (p < e) {
    const char *nl = memchr(p, '\n', e - p);
    if (!nl) break;
    if (p != in) {
      if (*p == '\r') break;
      char c0 = *p | 32, c1 = p[1] | 32;
      if ((c0 == 'v' && (c1 == 'i' || p[1] == ':')) || (c0 == 'f' && (c1 == 'r' || p[1] == ':')) ||
          (c0 == 't' && (c1 == 'o' || p[1] == ':')) || (c0 == 'i' && p[1] == ':') ||
          (c0 == 'c' && (!strncasecmp(p, "call-id", 7) || !strncasecmp(p, "cseq", 4))) ||
          !strncasecmp(p, "record-route", 12)) {
        if (c0 == 't' && !memmem(p, nl - p, ";tag=", 5)) {
          int l = nl - p; if (p[l - 1] == '\r') l--;
          memcpy(o, p, l); o += l; o += sprintf(o, ";tag=b1\r\n");
        } else { memcpy(o, p, nl - p + 1); o += nl - p + 1; }
      }
    }
    p = nl + 1;
  }
  o += sprintf(o, "Contact: <sip:uas@127.0.0.1:%d>\r\nContent-Length: 0\r\n\r\n", ntohs(dst0.sin_port));
  return o - out;
}

static void *uas(void *arg) {
  (void)arg;
  struct pollfd pf[MAXDST];
  for (int i = 0; i < ndst; i++) pf[i] = (struct pollfd){dst_fd[i], POLLIN, 0};
  static char rb[BATCH][MTU + GROWTH], wb[BATCH][MTU + GROWTH];
  struct mmsghdr rm[BATCH], wm[BATCH]; struct iovec ri[BATCH], wi[BATCH]; struct sockaddr_in ra[BATCH];
  while (!stop) {
    if (poll(pf, ndst, 50) <= 0) continue;
    for (int i = 0; i < ndst; i++) {
      if (!(pf[i].revents & POLLIN)) continue;
      for (int j = 0; j < BATCH; j++) {
        ri[j] = (struct iovec){rb[j], MTU};
        rm[j].msg_hdr = (struct msghdr){.msg_name = &ra[j], .msg_namelen = sizeof ra[j], .msg_iov = &ri[j], .msg_iovlen = 1};
      }
      int n = recvmmsg(pf[i].fd, rm, BATCH, MSG_DONTWAIT, NULL), w = 0;
      for (int j = 0; j < n; j++) {
        if (!memcmp(rb[j], "ACK ", 4)) continue;
        seen[i]++;
        if (oneway) { oneway_done++; continue; }
        wi[w] = (struct iovec){wb[w], reply(rb[j], rm[j].msg_len, wb[w])};
        wm[w].msg_hdr = (struct msghdr){.msg_name = &ra[j], .msg_namelen = sizeof ra[j], .msg_iov = &wi[w], .msg_iovlen = 1};
        w++;
      }
      for (int s = 0; s < w;) { int k = sendmmsg(pf[i].fd, wm + s, w - s, 0); if (k > 0) s += k; else if (errno != EAGAIN) break; }
    }
  }
  return NULL;
}

static int request(char *b, const char *m, uint64_t id, int port, int cseq, const char *extra) {
  static const char sdp[] = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n";
  int inv = m[0] == 'I', t = id % ntarget;
  return snprintf(b, MTU,
    "%s sip:+1555%07llu@%s:%d SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 127.0.0.1:%d;rport;branch=z9hG4bK-%llx-%d\r\n"
    "Max-Forwards: 70\r\n"
    "From: \"Caller %llu\" <sip:+1444%07llu@example.com>;tag=a%llx\r\n"
    "To: <sip:+1555%07llu@example.com>%s\r\n"
    "Call-ID: %llx-blast-%llu@127.0.0.1\r\n"
    "CSeq: %d %s\r\n"
    "Contact: <sip:uac@127.0.0.1:%d>\r\n"
    "%s"
    "User-Agent: sipblast\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO\r\nSupported: 100rel, timer, replaces\r\n"
    "%sContent-Length: %d\r\n\r\n%s",
    m, (unsigned long long)id % 10000000, target_ip[t], ntohs(target[t].sin_port), port, (unsigned long long)id, cseq,
    (unsigned long long)id % 9973, (unsigned long long)id % 9999991, (unsigned long long)id,
    (unsigned long long)id % 10000000, cseq > 1 || m[0] == 'A' ? ";tag=b1" : "", (unsigned long long)id * 2654435761ull, (unsigned long long)id,
    cseq, m, port, extra, inv ? "Content-Type: application/sdp\r\n" : "", inv ? (int)sizeof sdp - 1 : 0, inv ? sdp : "");
}

static struct mmsghdr datagram(struct iovec *v, uint64_t id) {
  int t = id % ntarget;
  return (struct mmsghdr){.msg_hdr = {.msg_name = &target[t], .msg_namelen = sizeof target[t], .msg_iov = v, .msg_iovlen = 1}};
}

static int cmp(const void *a, const void *b) { uint32_t x = *(uint32_t *)a, y = *(uint32_t *)b; return (x > y) - (x < y); }

static void arguments(int argc, char **argv) {
  int c;
  hostport("127.0.0.1:5060", &target[0], target_ip[0]); hostport("127.0.0.1:7001", &dst0, dst_ip);
  while ((c = getopt(argc, argv, "t:d:n:w:s:W:m:c:k:rR:T:p:")) != -1) switch (c) {
    case 't': if (ntarget < MAXTARGET) { hostport(optarg, &target[ntarget], target_ip[ntarget]); ntarget++; } break;
    case 'd': hostport(optarg, &dst0, dst_ip); break;
    case 'n': ndst = atoi(optarg); break;         case 'w': window = atoi(optarg); break;
    case 's': seconds = atof(optarg); break;      case 'W': warm = atof(optarg); break;
    case 'm': method = optarg; break;             case 'c': cport = atoi(optarg); break;
    case 'k': ncaller = atoi(optarg); break;      case 'r': oneway = 1; break;
    case 'R': open_rate = atof(optarg); break;    case 'T': tick_us = atof(optarg); break;
    case 'p': if (npid < MAXPID) pids[npid++] = atoi(optarg); break;
    default: fprintf(stderr, "see the head of sipblast.c\n"); exit(2);
  }
  if (!ntarget) ntarget = 1;
  if (ndst < 1 || ndst > MAXDST || ncaller < 1 || ncaller > MAXCALL || window < 1 || (unsigned)window > SLOTS || tick_us < 1) {
    fprintf(stderr, "sipblast: -n 1..%d, -k 1..%d, -w 1..%u, -T from 1\n", MAXDST, MAXCALL, SLOTS); exit(2);
  }
}

int main(int argc, char **argv) {
  arguments(argc, argv);
  prctl(PR_SET_TIMERSLACK, 1000ul, 0, 0, 0);
  for (int i = 0; i < ndst; i++) { int port = ntohs(dst0.sin_port) + i; dst_fd[i] = udp(dst0.sin_addr, &port); }
  struct pollfd pf[MAXCALL]; struct in_addr local = {htonl(INADDR_LOOPBACK)};
  for (int i = 0; i < ncaller; i++) { call_port[i] = cport ? cport + i : 0; call_fd[i] = udp(local, &call_port[i]); pf[i] = (struct pollfd){call_fd[i], POLLIN, 0}; }
  pthread_t th; if (pthread_create(&th, NULL, uas, NULL)) die("thread");
  static char sb[BATCH][MTU], rb[BATCH][MTU], ab[2 * BATCH][MTU];
  struct mmsghdr sm[BATCH], rm[BATCH], am[2 * BATCH]; struct iovec si[BATCH], ri[BATCH], ai[2 * BATCH];
  uint64_t next = (now_ns() / 1000) & 0xffffffffffull, sent = 0, answered = 0, done = 0, inflight = 0, non200 = 0;
  size_t nlat = 0, caplat = 1 << 22; uint32_t *lat = malloc(caplat * sizeof *lat);
  if (!lat) die("memory");
  memset(lat, 1, caplat * sizeof *lat); /* no page faults while it counts */
  struct cpu from[MAXPID] = {{0}}, to[MAXPID] = {{0}};
  int invite = !strcmp(method, "INVITE"), turn = 0;
  double due = 0, elapsed = 0;
  enum { WARM, MEASURE, DRAIN } phase = WARM;
  uint64_t t0 = now_ns(), begin = t0 + (uint64_t)(warm * S), end = 0, last = t0, tick = t0, tick_ns = tick_us * 1000, oneway_before = 0, oneway_seen = 0;
  for (;;) {
    uint64_t t = now_ns();
    if (phase == WARM && t >= begin) {
      for (int i = 0; i < npid; i++) from[i] = cpu_of(pids[i]);
      phase = MEASURE; oneway_before = oneway_done; begin = t = now_ns(); end = t + (uint64_t)(seconds * S);
    }
    if (phase == MEASURE && t >= end) {
      for (int i = 0; i < npid; i++) to[i] = cpu_of(pids[i]);
      phase = DRAIN; elapsed = (now_ns() - begin) / 1e9; last = t;
      if (oneway) done = oneway_done - oneway_before;
    }
    if (oneway) { answered = oneway_done; if (answered != oneway_seen) { oneway_seen = answered; last = t; } }
    if (phase == DRAIN && (answered + non200 >= sent || t - last > DRAIN_NS)) break;
    if (open_rate > 0) for (; tick <= t; tick += tick_ns) due += open_rate * tick_ns / 1e9;
    int room = phase == DRAIN ? 0 : open_rate > 0 ? (int)due : oneway ? window - (int)(sent - answered) : window - (int)inflight;
    if (oneway && open_rate <= 0 && room <= 0 && t - last > QUIET_NS) room = window;
    int n = room < BATCH ? room : BATCH;
    if (n > 0) {
      int w = turn++ % ncaller;
      for (int j = 0; j < n; j++) {
        uint64_t id = next + j; started[id % SLOTS] = t;
        si[j] = (struct iovec){sb[j], request(sb[j], method, id, call_port[w], 1, "")};
        sm[j] = datagram(&si[j], id);
      }
      int k = sendmmsg(pf[w].fd, sm, n, 0); if (k < 0) k = 0;
      next += k; sent += k; due -= open_rate > 0 ? k : 0; if (!oneway) inflight += k;
      if (oneway && k) last = t;
    }
    if (oneway) { if (n <= 0) sched_yield(); continue; }
    if (open_rate > 0 && phase != DRAIN) { /* sleep to the next tick, unless there is more to send now */
      uint64_t u = now_ns(), wait = due >= 1 || tick <= u ? 0 : tick - u;
      struct timespec ts = {wait / S, wait % S};
      ppoll(pf, ncaller, &ts, NULL);
    } else if (n <= 0) poll(pf, ncaller, 20);
    for (int s = 0; s < ncaller; s++) {
      for (int j = 0; j < BATCH; j++) { ri[j] = (struct iovec){rb[j], MTU - 1}; rm[j].msg_hdr = (struct msghdr){.msg_iov = &ri[j], .msg_iovlen = 1}; }
      int got = recvmmsg(pf[s].fd, rm, BATCH, MSG_DONTWAIT, NULL), a = 0;
      uint64_t tr = now_ns();
      for (int j = 0; j < got; j++) {
        char *m = rb[j]; m[rm[j].msg_len] = 0;
        if (strncmp(m, "SIP/2.0 ", 8) || m[8] == '1') continue;
        last = tr;
        if (m[8] != '2') { non200++; if (inflight) inflight--; continue; }
        char *q = strstr(m, "-blast-"); if (!q) continue;
        uint64_t id = strtoull(q + 7, NULL, 10);
        char *cs = strstr(m, "CSeq: "); int isinv = cs && strstr(cs, "INVITE") && strstr(cs, "INVITE") < cs + 20;
        if (invite && isinv) {
          char rr[512] = ""; char *r = strstr(m, "Record-Route: ");
          if (r) { char *x = strstr(r, "\r\n"); if (x) snprintf(rr, sizeof rr, "Route: %.*s\r\n", (int)(x - r - 14), r + 14); }
          for (int b = 0; b < 2; b++, a++) {
            ai[a] = (struct iovec){ab[a], request(ab[a], b ? "BYE" : "ACK", id, call_port[s], b ? 2 : 1, rr)};
            am[a] = datagram(&ai[a], id);
          }
          continue;
        }
        answered++; if (inflight) inflight--;
        if (phase == MEASURE) {
          done++;
          if (nlat < caplat && started[id % SLOTS] >= begin) lat[nlat++] = (tr - started[id % SLOTS]) / 1000;
        }
      }
      for (int x = 0; x < a;) { int k = sendmmsg(pf[s].fd, am + x, a - x, 0); if (k > 0) x += k; else break; }
    }
    if (open_rate <= 0 && phase != DRAIN && inflight && now_ns() - last > QUIET_NS) { inflight = 0; last = now_ns(); }
  }
  stop = 1;
  pthread_join(th, NULL);
  qsort(lat, nlat, sizeof *lat, cmp);
  uint64_t back = answered + non200;
  printf("{\"method\":\"%s\",\"seconds\":%.3f,\"sent\":%llu,\"done\":%llu,\"lost\":%llu,\"rejected\":%llu,\"per_second\":%.0f,\"p50_us\":%u,\"p99_us\":%u,\"max_us\":%u,\"destinations\":[", method, elapsed,
    (unsigned long long)sent, (unsigned long long)done, (unsigned long long)(sent > back ? sent - back : 0), (unsigned long long)non200, done / elapsed,
    nlat ? lat[nlat / 2] : 0, nlat ? lat[nlat * 99 / 100] : 0, nlat ? lat[nlat - 1] : 0);
  for (int i = 0; i < ndst; i++) printf("%s%llu", i ? "," : "", (unsigned long long)seen[i]);
  printf("],\"cpu\":[");
  for (int i = 0; i < npid; i++) printf("%s{\"pid\":%d,\"ns\":%llu,\"user_ticks\":%lu,\"system_ticks\":%lu}", i ? "," : "", pids[i],
    (unsigned long long)(to[i].ns - from[i].ns), to[i].user - from[i].user, to[i].system - from[i].system);
  printf("]}\n");
  return 0;
}
