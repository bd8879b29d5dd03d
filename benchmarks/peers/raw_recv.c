/* The limit: a blocking recv loop in C, without TLS.
 *
 * Jobs: `bytes` only reads until the sender's CLOSE; `count` also parses the frame
 * headers; `latency` records the time of each frame when its last byte is in the buffer.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Large enough for a read to return all bytes that a fast sender has queued; README.md has the measurement. */
#ifndef BUFFER_BYTES
#define BUFFER_BYTES (1024 * 1024)
#endif

/* A masked text frame `go` (mask 0), and the sender's CLOSE: code 1000 and no reason. */
static const char GO[] = "\x81\x82\0\0\0\0go";
static const unsigned char CLOSE[4] = {0x88, 0x02, 0x03, 0xe8};

struct job {
    const char *url, *name, *stamps_path;
    long frames;
};

struct totals {
    uint64_t frames, bytes;
};

static _Noreturn void fail(int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(code);
}

static int64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static int64_t timeval_ns(struct timeval time)
{
    return time.tv_sec * INT64_C(1000000000) + time.tv_usec * INT64_C(1000);
}

static int64_t cpu_ns(const struct rusage *usage)
{
    return timeval_ns(usage->ru_utime) + timeval_ns(usage->ru_stime);
}

/* The peak memory of this program. ru_maxrss would include that of the parent at the fork. */
static long max_rss_kib(void)
{
    char line[256];
    long kib = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status) && sscanf(line, "VmHWM: %ld", &kib) != 1)
        ;
    if (status)
        fclose(status);
    return kib;
}

/* Reads at least one byte. The end of the stream without CLOSE is an error. */
static size_t receive(int connection, void *into, size_t room)
{
    for (;;) {
        ssize_t got = recv(connection, into, room, 0);
        if (got > 0)
            return (size_t)got;
        if (got == 0)
            fail(1, "the server disconnected without a CLOSE frame");
        if (errno != EINTR)
            fail(1, "recv: %s", strerror(errno));
    }
}

static void send_all(int connection, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(connection, data, length, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR)
            fail(1, "send: %s", strerror(errno));
        if (sent > 0) {
            data += sent;
            length -= (size_t)sent;
        }
    }
}

static int open_socket(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found;
    int wrong = getaddrinfo(host, port, &hints, &found), one = 1;
    if (wrong)
        fail(1, "%s: %s", host, gai_strerror(wrong));
    int connection = socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC, 0);
    if (connection < 0 || connect(connection, found->ai_addr, found->ai_addrlen) < 0)
        fail(1, "cannot connect to %s:%s: %s", host, port, strerror(errno));
    freeaddrinfo(found);
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return connection;
}

/* Connects and upgrades. The sender sends nothing until `go`, so no frame can follow the head of its response. */
static int open_websocket(const char *url)
{
    char host[256], port[6], path[1024], head[4096];
    if (sscanf(url, "ws://%255[^:/]:%5[0-9]/%1023s", host, port, path) != 3)
        fail(2, "not ws://HOST:PORT/PATH (TLS is not supported): %s", url);
    int connection = open_socket(host, port);
    int length = snprintf(head, sizeof head,
                          "GET /%s HTTP/1.1\r\nHost: %s:%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                          path, host, port);
    send_all(connection, head, (size_t)length);
    size_t filled = 0;
    do {
        if (filled == sizeof head - 1)
            fail(1, "the response of the server is too long");
        filled += receive(connection, head + filled, sizeof head - 1 - filled);
        head[filled] = 0;
    } while (!strstr(head, "\r\n\r\n"));
    if (strncmp(head, "HTTP/1.1 101 ", 13) != 0)
        fail(1, "no upgrade: %.*s", (int)strcspn(head, "\r"), head);
    return connection;
}

/* Reads until the last four bytes are the sender's CLOSE; JSON text has no byte 0x88 before 0x02. */
static struct totals drain_bytes(int connection, unsigned char *buffer)
{
    struct totals totals = {0};
    unsigned char *data = buffer + sizeof CLOSE; /* after the last bytes of the previous read */
    for (;;) {
        size_t got = receive(connection, data, BUFFER_BYTES);
        totals.bytes += got;
        memmove(buffer, data + got - sizeof CLOSE, sizeof CLOSE);
        if (memcmp(buffer, CLOSE, sizeof CLOSE) == 0)
            return totals;
    }
}

/* Parses the frame headers and discards the payloads until CLOSE. `stamps` is null or has room for `room` stamps. */
static struct totals drain_frames(int connection, unsigned char *buffer, int64_t *stamps, uint64_t room)
{
    struct totals totals = {0};
    size_t start = 0, end = 0; /* received and not parsed yet */
    for (;;) {
        size_t got = receive(connection, buffer + end, BUFFER_BYTES - end);
        end += got;
        totals.bytes += got;
        for (;;) {
            const unsigned char *frame = buffer + start;
            size_t have = end - start, header = 2;
            if (have < header)
                break;
            uint64_t length = frame[1];
            if (length >= 126) {
                size_t width = length == 126 ? 2 : 8;
                header += width;
                if (have < header)
                    break;
                length = 0;
                for (size_t i = 0; i < width; i++)
                    length = length << 8 | frame[2 + i];
            }
            if (length > BUFFER_BYTES - header)
                fail(1, "a frame of %llu bytes; the buffer holds %d", (unsigned long long)length, BUFFER_BYTES);
            if (have < header + length)
                break;
            start += header + length;
            if ((frame[0] & 0x0f) == 0x08)
                return totals;
            if (frame[0] & 0x08) /* PING or PONG */
                continue;
            if (stamps && totals.frames < room)
                stamps[totals.frames] = monotonic_ns();
            totals.frames++;
        }
        memmove(buffer, buffer + start, end - start);
        end -= start;
        start = 0;
    }
}

static void write_stamps(const char *path, const int64_t *stamps, size_t count)
{
    unsigned char bytes[8];
    FILE *file = fopen(path, "wb");
    if (!file)
        fail(1, "%s: %s", path, strerror(errno));
    for (size_t i = 0; i < count; i++) {
        for (int byte = 0; byte < 8; byte++)
            bytes[byte] = (unsigned char)((uint64_t)stamps[i] >> (8 * byte));
        fwrite(bytes, 1, sizeof bytes, file);
    }
    if (ferror(file) || fclose(file))
        fail(1, "cannot write %s", path);
}

static struct job parse(int count, char **words)
{
    struct job job = {0};
    for (int i = 1; i < count; i++) {
        const char *word = words[i], *value = i + 1 < count ? words[i + 1] : NULL;
        if (strcmp(word, "--check") == 0)
            continue; /* neither job has a digest */
        if (!value)
            fail(2, "%s needs a value", word);
        if (strcmp(word, "--url") == 0)
            job.url = value;
        else if (strcmp(word, "--job") == 0)
            job.name = value;
        else if (strcmp(word, "--stamps") == 0)
            job.stamps_path = value;
        else if (strcmp(word, "--frames") == 0)
            job.frames = strtol(value, NULL, 10);
        else
            fail(2, "unknown argument %s", word);
        i++;
    }
    if (!job.url || !job.name)
        fail(2, "usage: raw_recv --url ws://HOST:PORT/PATH --job bytes|count|latency [--frames N] [--stamps FILE]");
    if (strcmp(job.name, "bytes") && strcmp(job.name, "count") && strcmp(job.name, "latency"))
        fail(2, "job %s is not supported; supported are bytes, count and latency", job.name);
    if (strcmp(job.name, "latency") == 0 && (job.frames < 1 || !job.stamps_path))
        fail(2, "--job latency needs --frames N and --stamps FILE");
    return job;
}

int main(int count, char **words)
{
    struct job job = parse(count, words);
    bool bytes_only = strcmp(job.name, "bytes") == 0, stamped = strcmp(job.name, "latency") == 0;
    unsigned char *buffer = calloc(1, sizeof CLOSE + BUFFER_BYTES);
    int64_t *stamps = stamped ? calloc((size_t)job.frames, sizeof *stamps) : NULL;
    if (!buffer || (stamped && !stamps))
        fail(1, "no memory");
    /* Write to the memory now, so that no page fault occurs during the measurement. */
    memset(buffer, 1, sizeof CLOSE + BUFFER_BYTES);
    if (stamped)
        memset(stamps, 1, (size_t)job.frames * sizeof *stamps);
    int connection = open_websocket(job.url);

    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    int64_t start_ns = monotonic_ns();
    send_all(connection, GO, sizeof GO - 1);
    struct totals totals = bytes_only ? drain_bytes(connection, buffer)
                                      : drain_frames(connection, buffer, stamps, (uint64_t)job.frames);
    int64_t wall_ns = monotonic_ns() - start_ns;
    getrusage(RUSAGE_SELF, &after);
    close(connection);

    if (stamped)
        write_stamps(job.stamps_path, stamps,
                     totals.frames < (uint64_t)job.frames ? totals.frames : (uint64_t)job.frames);
    if (bytes_only)
        totals.frames = (uint64_t)job.frames; /* from --frames; nothing was parsed here */
    printf("{\"frames\": %llu, \"bytes\": %llu, \"digest\": null, \"wall_ns\": %lld, \"cpu_ns\": %lld, "
           "\"max_rss_kib\": %ld, \"versions\": {\"cc\": \"%s\"}}\n",
           (unsigned long long)totals.frames, (unsigned long long)totals.bytes, (long long)wall_ns,
           (long long)(cpu_ns(&after) - cpu_ns(&before)), max_rss_kib(), __VERSION__);
    free(stamps);
    free(buffer);
    return 0;
}
