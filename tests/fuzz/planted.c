/* A bug to find: a read past the end of a block, behind four bytes that nobody guesses at once. The fuzzer has to. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int planted(const uint8_t *data_ptr, size_t data_len) {
    uint32_t word;
    if (data_len < 8) return 0;
    memcpy(&word, data_ptr + 4, sizeof word);
    if (data_ptr[0] != 'B' || data_ptr[1] != 'U' || data_ptr[2] != 'G') return 1;
    if (word != 0x62697465u) return 2;
    volatile uint8_t *block_ptr = malloc(4);
    int beyond = block_ptr == NULL ? 0 : block_ptr[data_ptr[3] % 4 + 4];
    free((void *)block_ptr);
    return beyond;
}
