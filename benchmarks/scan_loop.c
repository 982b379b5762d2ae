/* Calls a scanner over messages in a loop: what the call of one from Python costs is left out. */
#define _GNU_SOURCE
#include <stddef.h>
#include <string.h>
#include <time.h>

typedef int scanner(const unsigned char *data, int length, void *result);

/* Nanoseconds that `rounds` passes over `count` messages take. */
double scan_loop(scanner *scan, const unsigned char **data, const int *length, int count, int rounds,
                 void *result) {
  struct timespec begin, end;
  volatile int sink = 0;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  for (int i = 0; i < rounds; i++)
    for (int j = 0; j < count; j++) sink += scan(data[j], length[j], result);
  clock_gettime(CLOCK_MONOTONIC, &end);
  return (double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec);
}

/* The least that any scanner does: find the line ends. */
int find_lines(const unsigned char *data, int length, void *result) {
  const unsigned char *at = data, *end = data + length;
  int lines = 0;
  (void)result;
  while ((at = memchr(at, '\n', (size_t)(end - at)))) {
    lines++;
    at++;
  }
  return lines;
}
