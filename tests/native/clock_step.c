/* Shifts the wall clock of one process: put into LD_PRELOAD, it adds a number of nanoseconds to what clock_gettime,
 * gettimeofday and time say of the real-time clock. The number is an int64 in the file that CPAPI_FAST_CLOCK_STEP
 * names; whoever writes the file steps the clock while the process runs. The monotonic clock is left alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NS 1000000000LL

typedef int (*clock_gettime_function)(clockid_t, struct timespec *);

static clock_gettime_function real_clock_gettime;
static volatile int64_t *step_ns;

__attribute__((constructor)) static void prepare(void) {
    real_clock_gettime = (clock_gettime_function)dlsym(RTLD_NEXT, "clock_gettime");
    const char *path = getenv("CPAPI_FAST_CLOCK_STEP");
    if (path == NULL) return;
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    void *const page = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (page != MAP_FAILED) step_ns = page;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    /* Somebody else's constructor may want to know the time before ours has run. */
    if (real_clock_gettime == NULL) prepare();
    const int failed = real_clock_gettime(clock, now);
    if (failed || step_ns == NULL || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return failed;
    const int64_t shifted = now->tv_sec * NS + now->tv_nsec + *step_ns;
    now->tv_sec = shifted / NS;
    now->tv_nsec = shifted % NS;
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec precise;
    const int failed = clock_gettime(CLOCK_REALTIME, &precise);
    if (failed) return failed;
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *result) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now)) return (time_t)-1;
    if (result != NULL) *result = now.tv_sec;
    return now.tv_sec;
}
