/* reflector - the least that any UDP proxy costs: receive, look at seven bytes, send (Linux).
 *
 * A datagram that begins with "SIP/2.0" goes to where the last request came
 * from, every other one to the destinations in turn, both unmodified.  Its
 * system calls are those of ds_farm's worker (workers/_udp.pyx): recvmmsg with
 * MSG_DONTWAIT until the socket is empty, then poll; sendmmsg of what came of
 * one batch; 64 datagrams a batch; buffers for 64 KiB each, 17 cache lines
 * apart from a power of two (ds_farm/proxy/_wire.pyx says why).
 *
 *   reflector -l 127.0.0.1:5060 -d 127.0.0.1:7001 -n 4 -j 2
 *
 * -l HOST:PORT  listen here                  -d HOST:PORT  first destination
 * -n COUNT      destinations: ports PORT..PORT+COUNT-1
 * -j COUNT      processes (default 1).  More than one share the address as the
 *               farm does: SO_REUSEPORT and a classic BPF program that draws
 *               one of them at random for each datagram
 *
 * Prints its process numbers on one line when all are bound, and runs until it
 * is killed; its children end with it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH 64
#define DATAGRAM 65536
#define STRIDE (DATAGRAM + 17 * 64)
#define MAXDST 64
#define MAXPROC 16
#ifndef SO_RCVBUFFORCE
#define SO_RCVBUFFORCE 33
#endif

static void die(const char *m) { fprintf(stderr, "reflector: "); perror(m); exit(2); }

static void hostport(const char *s, struct sockaddr_in *a) {
  char h[INET_ADDRSTRLEN]; const char *c = strrchr(s, ':');
  if (!c || c - s >= (int)sizeof h) { fprintf(stderr, "reflector: HOST:PORT wanted: %s\n", s); exit(2); }
  memcpy(h, s, c - s); h[c - s] = 0;
  a->sin_family = AF_INET; a->sin_port = htons(atoi(c + 1));
  if (inet_pton(AF_INET, h, &a->sin_addr) != 1) { fprintf(stderr, "reflector: bad address %s\n", s); exit(2); }
}

static int udp(const struct sockaddr_in *a, int shared) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), b = 4 << 20, on = 1;
  if (fd < 0) die("socket");
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &b, sizeof b)) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &b, sizeof b);
  if (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on)) die("SO_REUSEPORT");
  if (bind(fd, (const void *)a, sizeof *a)) die("bind");
  return fd;
}

/* Random member of the socket group: ld rand; mod N; ret a. */
static void spread(int fd, int n) {
  struct sock_filter code[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)(SKF_AD_OFF + SKF_AD_RANDOM)),
    BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, (unsigned)n),
    BPF_STMT(BPF_RET | BPF_A, 0),
  };
  struct sock_fprog program = {.len = 3, .filter = code};
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program)) die("SO_ATTACH_REUSEPORT_CBPF");
}

/* `caller` is shared by all processes: any of them may get the first response.  Written only when it changes. */
static void serve(int fd, struct sockaddr_in *to, int n, struct sockaddr_in *caller) {
  char *buffers = malloc((size_t)BATCH * STRIDE);
  struct mmsghdr m[BATCH]; struct iovec v[BATCH]; struct sockaddr_in source[BATCH];
  struct pollfd wanted = {fd, POLLIN, 0};
  unsigned turn = 0;
  if (!buffers) die("memory");
  for (;;) {
    for (int i = 0; i < BATCH; i++) {
      v[i] = (struct iovec){buffers + (size_t)i * STRIDE, DATAGRAM};
      m[i].msg_hdr = (struct msghdr){.msg_name = &source[i], .msg_namelen = sizeof source[i], .msg_iov = &v[i], .msg_iovlen = 1};
    }
    int got = recvmmsg(fd, m, BATCH, MSG_DONTWAIT, NULL);
    if (got <= 0) { poll(&wanted, 1, 100); continue; }
    for (int i = 0; i < got; i++) {
      v[i].iov_len = m[i].msg_len;
      if (m[i].msg_len >= 7 && !memcmp(v[i].iov_base, "SIP/2.0", 7)) { m[i].msg_hdr.msg_name = caller; continue; }
      if (source[i].sin_port != caller->sin_port || source[i].sin_addr.s_addr != caller->sin_addr.s_addr) *caller = source[i];
      m[i].msg_hdr.msg_name = &to[turn++ % n];
    }
    for (int i = 0; i < got;) { int k = sendmmsg(fd, m + i, got - i, 0); i += k > 0 ? k : 1; }
  }
}

int main(int argc, char **argv) {
  struct sockaddr_in own = {0}, first = {0}, to[MAXDST];
  int c, ndst = 1, nproc = 1, fd[MAXPROC];
  hostport("127.0.0.1:5060", &own); hostport("127.0.0.1:7001", &first);
  while ((c = getopt(argc, argv, "l:d:n:j:")) != -1) switch (c) {
    case 'l': hostport(optarg, &own); break;      case 'd': hostport(optarg, &first); break;
    case 'n': ndst = atoi(optarg); break;         case 'j': nproc = atoi(optarg); break;
    default: fprintf(stderr, "see the head of reflector.c\n"); return 2;
  }
  if (ndst < 1 || ndst > MAXDST || nproc < 1 || nproc > MAXPROC) { fprintf(stderr, "reflector: -n 1..%d, -j 1..%d\n", MAXDST, MAXPROC); return 2; }
  for (int i = 0; i < ndst; i++) { to[i] = first; to[i].sin_port = htons(ntohs(first.sin_port) + i); }
  struct sockaddr_in *caller = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (caller == MAP_FAILED) die("mmap");
  caller->sin_family = AF_INET;
  for (int i = 0; i < nproc; i++) fd[i] = udp(&own, nproc > 1);
  if (nproc > 1) spread(fd[0], nproc);
  pid_t parent = getpid();
  printf("%d", parent);
  fflush(stdout);
  for (int i = 1; i < nproc; i++) {
    pid_t pid = fork();
    if (pid < 0) die("fork");
    if (!pid) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != parent) _exit(1);
      serve(fd[i], to, ndst, caller);
    }
    printf(" %d", pid);
  }
  printf("\n");
  fflush(stdout);
  serve(fd[0], to, ndst, caller);
}
