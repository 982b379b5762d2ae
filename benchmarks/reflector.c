/* reflector - the least that any UDP proxy costs: receive, look at seven bytes, send (Linux).
 *
 * A datagram that begins with "SIP/2.0" goes to where the last request came
 * from, every other one to the destinations in turn, both unmodified.  Its
 * system calls are those of ds_farm's worker (workers/_udp.pyx): recvmmsg with
 * MSG_DONTWAIT until the socket is empty, then poll; sendmmsg of what came of
 * one batch; 128 datagrams a batch; buffers for 64 KiB each, 17 cache lines
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
#include <linux/filter.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "addresses.h"

#define BATCH 128
#define DATAGRAM 65536
#define STRIDE (DATAGRAM + 17 * 64)
#define MAX_DESTINATIONS 64
#define MAX_PROCESSES 16
#define WAIT_MS 100

/* Random member of the socket group: ld rand; mod N; ret a. */
static void spread(int fd, int n) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)(SKF_AD_OFF + SKF_AD_RANDOM)),
      BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, (unsigned)n),
      BPF_STMT(BPF_RET | BPF_A, 0),
  };
  struct sock_fprog program = {.len = 3, .filter = code};
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program))
    die("SO_ATTACH_REUSEPORT_CBPF");
}

/* Where a datagram goes.  `caller` is shared by all processes, as any of them may get the first
 * response; it is written only when it changes. */
static struct sockaddr_in *next_hop(const char *data, unsigned length,
                                    const struct sockaddr_in *source, struct sockaddr_in *caller,
                                    struct sockaddr_in *to, int n) {
  static unsigned turn;
  if (length >= 7 && !memcmp(data, "SIP/2.0", 7)) return caller;
  if (source->sin_port != caller->sin_port || source->sin_addr.s_addr != caller->sin_addr.s_addr)
    *caller = *source;
  return &to[turn++ % (unsigned)n];
}

static void serve(int fd, struct sockaddr_in *to, int n, struct sockaddr_in *caller) {
  static struct mmsghdr message[BATCH];
  static struct iovec vector[BATCH];
  static struct sockaddr_in source[BATCH];
  struct pollfd wanted = {fd, POLLIN, 0};
  char *buffers = malloc((size_t)BATCH * STRIDE);
  if (!buffers) die("memory");
  for (;;) {
    for (int i = 0; i < BATCH; i++) {
      vector[i] = (struct iovec){buffers + (size_t)i * STRIDE, DATAGRAM};
      message[i].msg_hdr = (struct msghdr){.msg_name = &source[i],
                                           .msg_namelen = sizeof source[i],
                                           .msg_iov = &vector[i],
                                           .msg_iovlen = 1};
    }
    int got = recvmmsg(fd, message, BATCH, MSG_DONTWAIT, NULL);
    if (got <= 0) {
      poll(&wanted, 1, WAIT_MS);
      continue;
    }
    for (int i = 0; i < got; i++) {
      vector[i].iov_len = message[i].msg_len;
      message[i].msg_hdr.msg_name =
          next_hop(vector[i].iov_base, message[i].msg_len, &source[i], caller, to, n);
    }
    for (int i = 0; i < got;) {
      int k = sendmmsg(fd, message + i, (unsigned)(got - i), 0);
      i += k > 0 ? k : 1;
    }
  }
}

int main(int argc, char **argv) {
  struct sockaddr_in own, first, to[MAX_DESTINATIONS];
  int c, destinations = 1, processes = 1, fd[MAX_PROCESSES];
  address("127.0.0.1:5060", &own);
  address("127.0.0.1:7001", &first);
  while ((c = getopt(argc, argv, "l:d:n:j:")) != -1) switch (c) {
      case 'l': address(optarg, &own); break;
      case 'd': address(optarg, &first); break;
      case 'n': destinations = number(optarg, 1, MAX_DESTINATIONS, "-n"); break;
      case 'j': processes = number(optarg, 1, MAX_PROCESSES, "-j"); break;
      default: usage("the head of reflector.c has the options");
    }
  for (int i = 0; i < destinations; i++) to[i] = address_after(&first, i);
  struct sockaddr_in *caller =
      mmap(NULL, sizeof *caller, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (caller == MAP_FAILED) die("mmap");
  caller->sin_family = AF_INET;
  for (int i = 0; i < processes; i++) fd[i] = bound(&own, processes > 1 ? SO_REUSEPORT : 0);
  if (processes > 1) spread(fd[0], processes);
  pid_t parent = getpid();
  printf("%d", parent);
  fflush(stdout);
  for (int i = 1; i < processes; i++) {
    pid_t pid = fork();
    if (pid < 0) die("fork");
    if (!pid) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != parent) _exit(1);
      serve(fd[i], to, destinations, caller);
    }
    printf(" %d", pid);
  }
  printf("\n");
  fflush(stdout);
  serve(fd[0], to, destinations, caller);
}
