/* Addresses, sockets and arguments: what the load generators and the reflector share. */
#ifndef DS_FARM_ADDRESSES_H
#define DS_FARM_ADDRESSES_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES (4 << 20) /* as receive_buffer_bytes of a farm */

static inline void usage(const char *text) {
  fprintf(stderr, "%s\n", text);
  exit(2);
}

static inline void die(const char *call) {
  perror(call);
  exit(2);
}

/* HOST:PORT, IPv4. */
static inline void address(const char *text, struct sockaddr_in *to) {
  char host[INET_ADDRSTRLEN] = "", *end = NULL;
  const char *colon = strrchr(text, ':');
  if (colon && (size_t)(colon - text) < sizeof host) memcpy(host, text, (size_t)(colon - text));
  long port = colon ? strtol(colon + 1, &end, 10) : 0;
  *to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (!colon || end == colon + 1 || *end || port < 1 || port > 65535 ||
      inet_pton(AF_INET, host, &to->sin_addr) != 1) {
    fprintf(stderr, "an IPv4 HOST:PORT is wanted, not %s\n", text);
    exit(2);
  }
}

/* The same host, `count` ports further. */
static inline struct sockaddr_in address_after(const struct sockaddr_in *one, int count) {
  struct sockaddr_in other = *one;
  other.sin_port = htons((uint16_t)(ntohs(one->sin_port) + count));
  return other;
}

static inline int number(const char *text, long least, long most, const char *option) {
  char *end;
  long value = strtol(text, &end, 10);
  if (end == text || *end || value < least || value > most) {
    fprintf(stderr, "%s wants a number from %ld to %ld, not %s\n", option, least, most, text);
    exit(2);
  }
  return (int)value;
}

/* A non-blocking UDP socket with large buffers; `option` of SOL_SOCKET is switched on, if any. */
static inline int bound(const struct sockaddr_in *where, int option) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
  int bytes = BUFFER_BYTES;
  if (fd < 0) die("socket");
  if (option && setsockopt(fd, SOL_SOCKET, option, &one, sizeof one)) die("setsockopt");
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes))
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  if (bind(fd, (const struct sockaddr *)where, sizeof *where)) {
    char host[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &where->sin_addr, host, sizeof host);
    fprintf(stderr, "cannot bind %s:%d: ", host, ntohs(where->sin_port));
    die("bind");
  }
  return fd;
}

#endif
