/* A tuple cut into its fields, and what numbers and addresses among them say. Only for
   _tuple_writer.c, which says why.

   How long the next number is cannot be guessed, and each wrong guess of the processor's costs as
   much as the rest of the field. So a tuple is looked at in blocks, which gives a bit for each of
   its bytes, and a field is then judged by its bits at once. */

#include "_pieces.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "numbers are read as a little-endian processor loads them; Python does without this file"
#endif

#define MOST_TUPLE_BYTES 256 /* with two IPv6 addresses and the largest numbers it is 230 */
#define WORDS (MOST_TUPLE_BYTES / 64)
#define MOST_FIELDS 32
#define MOST_DIGITS BLOCK /* a longer number is left to Python */

/* A bit for each byte of a tuple, and two words more than it can fill. */
typedef uint64_t Bits[WORDS + 2];

typedef struct {
    const char *text; /* of the tuple; a block more may be looked at */
    unsigned ends[MOST_FIELDS];
    Bits digits, dots;
    char copy[MOST_TUPLE_BYTES + BLOCK];
} Fields;

/* One field, or several with the commas between them. */
typedef struct {
    const char *text; /* a block of it may be looked at, however short it is */
    unsigned start, size;
} Field;

/* Which bytes of a block are commas, digits, dots. */
static inline void classify(const char *block, uint64_t *commas, uint64_t *digits, uint64_t *dots) {
#ifdef __SSE2__
    __m128i bytes = _mm_loadu_si128((const __m128i *)block);
    __m128i value = _mm_sub_epi8(bytes, _mm_set1_epi8('0'));
    __m128i is_digit = _mm_cmpeq_epi8(_mm_min_epu8(value, _mm_set1_epi8(9)), value);
    *commas = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(',')));
    *digits = (unsigned)_mm_movemask_epi8(is_digit);
    *dots = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('.')));
#else
    *commas = *digits = *dots = 0;
    for (int b = 0; b < BLOCK; b++) {
        *commas |= (uint64_t)(block[b] == ',') << b;
        *digits |= (uint64_t)(block[b] >= '0' && block[b] <= '9') << b;
        *dots |= (uint64_t)(block[b] == '.') << b;
    }
#endif
}

/* 0 where the tuple is too long, or has not `count` fields. Memory may be looked at up to
   `readable`. */
static inline int cut(Fields *fields, Piece text, const char *readable, int count) {
    Bits commas;
    int words = 0, word = 0;
    if (text.size > MOST_TUPLE_BYTES) return 0;
    fields->text = text.data;
    if (readable - text.data < text.size + BLOCK) {
        memcpy(fields->copy, text.data, (size_t)text.size);
        memset(fields->copy + text.size, 0, BLOCK);
        fields->text = fields->copy;
    }
    for (Py_ssize_t at = 0; at < text.size; words++) {
        commas[words] = fields->digits[words] = fields->dots[words] = 0;
        for (int b = 0; b < 64 && at < text.size; b += BLOCK, at += BLOCK) {
            uint64_t comma, digit, dot;
            classify(fields->text + at, &comma, &digit, &dot);
            commas[words] |= comma << b;
            fields->digits[words] |= digit << b;
            fields->dots[words] |= dot << b;
        }
    }
    for (int more = words; more < words + 2; more++)
        commas[more] = fields->digits[more] = fields->dots[more] = 0;
    commas[text.size / 64] &= ((uint64_t)1 << text.size % 64) - 1; /* those behind it are others' */
    uint64_t left = commas[0];
    for (int field = 0; field < count - 1; field++, left &= left - 1) {
        while (!left && word < words) left = commas[++word];
        if (!left) return 0;
        fields->ends[field] = (unsigned)(word * 64 + __builtin_ctzll(left));
    }
    fields->ends[count - 1] = (unsigned)text.size;
    while (!left && word < words) left = commas[++word];
    return !left;
}

static inline void get_fields(const Fields *fields, int first, int count, Field *field) {
    field->start = first ? fields->ends[first - 1] + 1 : 0;
    field->size = fields->ends[first + count - 1] - field->start;
    field->text = fields->text + field->start;
}

/* Those of up to 63 bytes, the first of them lowest. */
static inline uint64_t bits_of(const Bits bits, unsigned start, unsigned size) {
    uint64_t low = bits[start / 64] >> start % 64, high = bits[start / 64 + 1] << 1;
    return (low | high << (63 - start % 64)) & (((uint64_t)1 << size) - 1);
}

/* Whether it is a number as JSON writes it, of at most MOST_DIGITS. */
static inline int is_decimal(const Fields *fields, const Field *field) {
    if (field->size - 1 >= MOST_DIGITS) return 0;
    uint64_t digits = bits_of(fields->digits, field->start, field->size);
    return (digits + 1 == (uint64_t)1 << field->size) & ((*field->text != '0') | (field->size == 1));
}

/* 1 to 8 digits as a number that grows as the number does that they write: each is a byte. */
static inline uint64_t rank_of(const char *digits, unsigned size) {
    uint64_t word;
    memcpy(&word, digits, 8);
    return __builtin_bswap64(word) >> (64 - 8 * size);
}

/* The number that they write: neighbours become pairs, pairs fours, and those all. */
static inline uint64_t number_of(const char *digits, unsigned size) {
    uint64_t word;
    memcpy(&word, digits, 8);
    word = word << (64 - 8 * size) & 0x0F0F0F0F0F0F0F0Fu;
    word = (word * (1 + (10 << 8))) >> 8 & 0x00FF00FF00FF00FFu;
    word = (word * (1 + (100 << 16))) >> 16 & 0x0000FFFF0000FFFFu;
    return (word * (1 + ((uint64_t)10000 << 32))) >> 32;
}

/* Whether it is four numbers up to 255, as JSON writes them, with dots between them. */
static inline int is_ipv4(const Fields *fields, const Field *field) {
    static const uint32_t least[] = {~0u, '0', '1' << 8 | '0', '1' << 16 | '0' << 8 | '0'};
    static const uint32_t most[] = {~0u, '9', '9' << 8 | '9', '2' << 16 | '5' << 8 | '5'};
    if (field->size - 7 > 8) return 0;
    uint64_t dots = bits_of(fields->dots, field->start, field->size), end = 1u << field->size;
    if ((bits_of(fields->digits, field->start, field->size) | dots) != end - 1) return 0;
    unsigned begin = 0, is_wrong = 0;
    dots |= end;
    for (int octet = 0; octet < 4; octet++, dots &= dots - 1) {
        unsigned stop = (unsigned)__builtin_ctzll(dots | (uint64_t)1 << 63), size = stop - begin;
        uint32_t word;
        memcpy(&word, field->text + (begin < 12 ? begin : 12), 4); /* none begins behind 12 */
        uint32_t rank = (uint32_t)((uint64_t)__builtin_bswap32(word) >> (32 - 8 * (size & 3)));
        is_wrong |= (size > 3) | (rank - least[size & 3] > most[size & 3] - least[size & 3]);
        begin = stop + 1;
    }
    return !(is_wrong | (dots != 0));
}
