/* Carries the coverage of extensions that gcc compiled to the libFuzzer inside atheris.
 *
 * gcc calls __sanitizer_cov_trace_pc() at every basic block, which libFuzzer has given up; it wants a table of 8-bit
 * counters, and the operands of comparisons, which both name alike. This library is preloaded, so that the calls of
 * the extensions end here; comparisons go on to libFuzzer once engine.py has connected it. Without it all of this only
 * counts, and harms nobody.
 */

#include <stddef.h>
#include <stdint.h>

enum { SLOTS = 1 << 16, PROBES = 16, CALLBACKS = 9 };

/* One slot per basic block: its address, taken the first time it runs, and how often it has run. */
static uintptr_t blocks[SLOTS];
static uint8_t counters[SLOTS];

/* libFuzzer's table beside the counters: {address, flags} each. The addresses only have to be there. */
static uintptr_t table[SLOTS][2];

void __sanitizer_cov_trace_pc(void) {
    uintptr_t block = (uintptr_t)__builtin_return_address(0);
    size_t slot = (size_t)((block * 0x9E3779B97F4A7C15u) >> 48);
    for (int probe = 0; probe < PROBES; probe++, slot = (slot + 1) % SLOTS) {
        if (blocks[slot] == 0) blocks[slot] = block;
        if (blocks[slot] == block) {
            counters[slot]++;
            return;
        }
    }
    counters[slot]++; /* a full neighbourhood: shared with another block */
}

/* Tail calls: libFuzzer tells comparisons apart by the address that they return to, which has to be the extension's. */
#define FORWARD(NAME, TYPE)                                                                                            \
    static void (*next_##NAME)(TYPE, TYPE);                                                                            \
    void __sanitizer_cov_trace_##NAME(TYPE left, TYPE right) {                                                         \
        if (next_##NAME != NULL) next_##NAME(left, right);                                                             \
    }
FORWARD(cmp1, uint8_t)
FORWARD(cmp2, uint16_t)
FORWARD(cmp4, uint32_t)
FORWARD(cmp8, uint64_t)
FORWARD(const_cmp1, uint8_t)
FORWARD(const_cmp2, uint16_t)
FORWARD(const_cmp4, uint32_t)
FORWARD(const_cmp8, uint64_t)

static void (*next_switch)(uint64_t, uint64_t *);
void __sanitizer_cov_trace_switch(uint64_t value, uint64_t *cases) {
    if (next_switch != NULL) next_switch(value, cases);
}

/* libFuzzer has nothing to take these. */
void __sanitizer_cov_trace_cmpf(float left, float right) { (void)left, (void)right; }
void __sanitizer_cov_trace_cmpd(double left, double right) { (void)left, (void)right; }

/* The callbacks of libFuzzer in the order above, then what registers counters and their table. */
void cpapi_fast_connect(void *callbacks[CALLBACKS], void (*counters_init)(uint8_t *, uint8_t *),
                        void (*table_init)(const uintptr_t *, const uintptr_t *)) {
    next_cmp1 = (void (*)(uint8_t, uint8_t))callbacks[0];
    next_cmp2 = (void (*)(uint16_t, uint16_t))callbacks[1];
    next_cmp4 = (void (*)(uint32_t, uint32_t))callbacks[2];
    next_cmp8 = (void (*)(uint64_t, uint64_t))callbacks[3];
    next_const_cmp1 = (void (*)(uint8_t, uint8_t))callbacks[4];
    next_const_cmp2 = (void (*)(uint16_t, uint16_t))callbacks[5];
    next_const_cmp4 = (void (*)(uint32_t, uint32_t))callbacks[6];
    next_const_cmp8 = (void (*)(uint64_t, uint64_t))callbacks[7];
    next_switch = (void (*)(uint64_t, uint64_t *))callbacks[8];
    for (size_t slot = 0; slot < SLOTS; slot++) table[slot][0] = slot + 1;
    counters_init(counters, counters + SLOTS);
    table_init(&table[0][0], &table[0][0] + 2 * SLOTS);
}
