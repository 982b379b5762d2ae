/* SIP messages of the load generators: requests with a number in them, and final responses. */
#ifndef DS_FARM_MESSAGES_H
#define DS_FARM_MESSAGES_H

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MTU 2048                 /* longest message that is sent or understood */
#define RESPONSE_MTU (MTU + 256) /* a response is its request's headers and a little more */
#define ID_DIGITS 12
#define MARK "-blast@"           /* in a Call-ID, behind the number of the call */

/* Where a call's number goes; `text_of` writes these and `put_id` the last digits over them. */
#define ID7 "\1\1\1\1\1\1\1"
#define ID12 "\1\1\1\1\1\1\1\1\1\1\1\1"

struct text {
  char data[MTU];
  int length, places;
  struct { int at, digits; } place[16];
};

static const char sdp[] =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n";

/* A request of a method; `routes` is empty or Route header lines. */
static inline void text_of(struct text *t, const char *method, int cseq, const char *routes,
                           const struct sockaddr_in *from, const struct sockaddr_in *to) {
  char us[INET_ADDRSTRLEN], proxy[INET_ADDRSTRLEN];
  int has_body = !strcmp(method, "INVITE"), in_dialog = cseq > 1 || !strcmp(method, "ACK");
  int port = ntohs(from->sin_port);
  inet_ntop(AF_INET, &from->sin_addr, us, sizeof us);
  inet_ntop(AF_INET, &to->sin_addr, proxy, sizeof proxy);
  t->length = snprintf(
      t->data, MTU,
      "%s sip:+1555" ID7 "@%s:%d SIP/2.0\r\n"
      "Via: SIP/2.0/UDP %s:%d;rport;branch=z9hG4bK-" ID12 "-%d%c\r\n"
      "Max-Forwards: 70\r\n"
      "From: \"Caller " ID7 "\" <sip:+1444" ID7 "@example.com>;tag=a" ID12 "\r\n"
      "To: <sip:+1555" ID7 "@example.com>%s\r\n"
      "Call-ID: 5a1c3d77-" ID12 MARK "%s\r\n"
      "CSeq: %d %s\r\n"
      "Contact: <sip:uac@%s:%d>\r\n"
      "%s"
      "User-Agent: sipblast\r\n"
      "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO\r\n"
      "Supported: 100rel, timer, replaces\r\n"
      "%sContent-Length: %d\r\n\r\n%s",
      method, proxy, ntohs(to->sin_port), us, port, cseq, method[0], in_dialog ? ";tag=b1" : "", us,
      cseq, method, us, port, routes, has_body ? "Content-Type: application/sdp\r\n" : "",
      has_body ? (int)sizeof sdp - 1 : 0, has_body ? sdp : "");
  if (t->length >= MTU) {
    fprintf(stderr, "a request does not fit %d bytes\n", MTU);
    exit(2);
  }
  t->places = 0;
  for (int i = 0; i < t->length; i++) {
    if (t->data[i] != 1) continue;
    int at = i;
    while (t->data[i] == 1) i++;
    t->place[t->places].at = at;
    t->place[t->places++].digits = i - at;
  }
}

/* Write a call's number into a copy of a text. */
static inline void put_id(const struct text *t, char *copy, uint64_t id) {
  char digits[ID_DIGITS];
  for (int i = ID_DIGITS - 1; i >= 0; i--, id /= 10) digits[i] = (char)('0' + id % 10);
  for (int i = 0; i < t->places; i++) {
    int n = t->place[i].digits;
    memcpy(copy + t->place[i].at, digits + ID_DIGITS - n, (size_t)n);
  }
}

/* The number of the call that a message belongs to; 0 if it is none of ours. */
static inline uint64_t id_of(const char *message, int length) {
  const char *mark = memmem(message, (size_t)length, MARK, sizeof MARK - 1);
  uint64_t id = 0;
  if (!mark || mark - message < ID_DIGITS) return 0;
  for (const char *p = mark - ID_DIGITS; p < mark; p++) id = id * 10 + (uint64_t)(*p - '0');
  return id;
}

/* Is this line, `n` bytes long, a header that a response repeats (RFC 3261 8.2.6.2, 12.1.1)? */
static inline int is_repeated(const char *line, int n) {
  static const struct { const char *name; int length; } names[] = {
      {"Via:", 4}, {"v:", 2}, {"From:", 5}, {"f:", 2}, {"To:", 3}, {"t:", 2},
      {"Call-ID:", 8}, {"i:", 2}, {"CSeq:", 5}, {"Record-Route:", 13}};
  for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
    if (n > names[i].length && (line[0] | 32) == (names[i].name[0] | 32) &&
        !strncasecmp(line, names[i].name, (size_t)names[i].length))
      return 1;
  return 0;
}

/* The 200 to a request of at most MTU bytes; returns its length, at most RESPONSE_MTU. */
static inline int response_to(const char *request, int length, char *out) {
  static const char status[] = "SIP/2.0 200 OK\r\n", tag[] = ";tag=b1\r\n",
                    tail[] = "Contact: <sip:uas@127.0.0.1>\r\nContent-Length: 0\r\n\r\n";
  const char *end = request + length, *line, *next;
  char *o = mempcpy(out, status, sizeof status - 1);
  for (line = request; line < end; line = next) {
    const char *newline = memchr(line, '\n', (size_t)(end - line));
    if (!newline || line[0] == '\r' || line[0] == '\n') break;
    next = newline + 1;
    int n = (int)(next - line);
    if (line == request || !is_repeated(line, n)) continue;
    int is_to = (line[0] | 32) == 't' && !memmem(line, (size_t)n, ";tag=", 5);
    if (is_to) {
      while (n > 0 && (line[n - 1] == '\r' || line[n - 1] == '\n')) n--;
      o = mempcpy(o, line, (size_t)n);
      o = mempcpy(o, tag, sizeof tag - 1);
    } else {
      o = mempcpy(o, line, (size_t)n);
    }
  }
  o = mempcpy(o, tail, sizeof tail - 1);
  return (int)(o - out);
}

#endif
