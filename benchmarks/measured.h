/* Time, and the CPU time of the processes under test (Linux). */
#ifndef DS_FARM_MEASURED_H
#define DS_FARM_MEASURED_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

#include "addresses.h"

#define MAX_MEASURED 32

static inline uint64_t read_clock(clockid_t clock) {
  struct timespec t;
  if (clock_gettime(clock, &t)) die("a process under test is gone");
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t now_ns(void) { return read_clock(CLOCK_MONOTONIC); }

/* CPU of one process: exact in ns, and as the kernel divides it, in clock ticks. */
struct cpu { uint64_t ns, user, system; };

struct measured {
  int count;
  pid_t pid[MAX_MEASURED];
  clockid_t clock[MAX_MEASURED];
};

/* "12,34": processes whose CPU is wanted. */
static inline void measure(struct measured *m, char *list) {
  for (char *word = strtok(list, ","); word; word = strtok(NULL, ",")) {
    if (m->count == MAX_MEASURED) usage("-p: too many processes");
    m->pid[m->count] = number(word, 1, 1 << 22, "-p");
    if (clock_getcpuclockid(m->pid[m->count], &m->clock[m->count])) usage("-p: no such process");
    m->count++;
  }
}

/* proc(5): the name in parentheses may hold anything, utime and stime are fields 14 and 15. */
static inline void read_cpu(const struct measured *m, struct cpu *cpu) {
  for (int i = 0; i < m->count; i++) {
    char path[64], line[1024];
    unsigned long long user = 0, system = 0;
    cpu[i].ns = read_clock(m->clock[i]);
    snprintf(path, sizeof path, "/proc/%d/stat", m->pid[i]);
    FILE *file = fopen(path, "r");
    size_t n = file ? fread(line, 1, sizeof line - 1, file) : 0;
    if (file) fclose(file);
    line[n] = 0;
    char *rest = strrchr(line, ')');
    if (!rest || sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
                        &system) != 2)
      die("/proc/PID/stat");
    cpu[i].user = user;
    cpu[i].system = system;
  }
}

static inline void print_cpu(const struct measured *m, const struct cpu *before,
                             const struct cpu *after) {
  printf("\"cpu\":[");
  for (int i = 0; i < m->count; i++)
    printf("%s{\"pid\":%d,\"ns\":%llu,\"user_ticks\":%llu,\"system_ticks\":%llu}", i ? "," : "",
           m->pid[i], (unsigned long long)(after[i].ns - before[i].ns),
           (unsigned long long)(after[i].user - before[i].user),
           (unsigned long long)(after[i].system - before[i].system));
  printf("]");
}

#endif
