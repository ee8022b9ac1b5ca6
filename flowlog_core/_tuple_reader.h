/* A tuple's fields, read into the pieces of its record. Only for _tuple_writer.c, which says why. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define MOST_FIELD_BYTES 47 /* what is longer is Python's */
#define SLOTS 2048          /* of each memory; a power of two */
#define MOST_ASKED 64       /* for one tuple, before it is left to Python */
#define MAX_COLUMNS 16
#define CLOCK_BYTES 10 /* 59:59.999Z */

typedef struct {
    const char *data;
    Py_ssize_t size;
} Piece;

/* What a table gave for the fields it was asked for, each where its hash says. */
typedef struct {
    PyObject *part; /* a str, which owns what `text` points to; NULL where the slot is free */
    Piece text;
    unsigned char size;
    char field[MOST_FIELD_BYTES];
} Slot;

typedef struct {
    PyObject *table; /* str -> str; raises ValueError for what it cannot read */
    Slot *slots;
} Memory;

typedef struct {
    enum { LOOKUP, TIME, ADDRESS, DECIMAL } kind;
    int fields;         /* LOOKUP: how many are looked up as one */
    Memory memory;      /* LOOKUP; TIME: of its hours; ADDRESS: of all but IPv4 */
    uint64_t maximum;   /* DECIMAL */
    int may_be_empty;   /* DECIMAL: then null */
    Piece before, after; /* of what goes into the record as it is */
    PyObject *owners[2]; /* the str that those two point into */
} Column;

/* What the record of a tuple is put together from: up to three pieces a column. */
typedef struct {
    struct {
        int count;
        Piece piece[3];
    } column[MAX_COLUMNS];
    Py_ssize_t size;         /* of all pieces */
    char clock[CLOCK_BYTES]; /* a piece of the time */
} Tuple;

/* NOT_PLAIN: Python will see what it is. ASKED: a table was, so all must be read again.
   FAILED: with an exception set. */
typedef enum { READ, NOT_PLAIN, ASKED, FAILED } Outcome;

static int piece_of(PyObject *text, Piece *piece) {
    piece->data = PyUnicode_AsUTF8AndSize(text, &piece->size);
    return piece->data ? 0 : -1;
}

static inline Outcome add(Tuple *tuple, int column, Piece piece) {
    tuple->column[column].piece[tuple->column[column].count++] = piece;
    tuple->size += piece.size;
    return READ;
}

/* What Python cannot read either is for Python to tell. */
static Outcome not_plain_or_failed(void) {
    if (!PyErr_ExceptionMatches(PyExc_ValueError)) return FAILED;
    PyErr_Clear();
    return NOT_PLAIN;
}

/* --- looked up --- */

static inline Slot *slot_of(Memory *memory, const char *field, Py_ssize_t size) {
    uint64_t first = 0, last = 0;
    if (size >= 8) {
        memcpy(&first, field, 8);
        memcpy(&last, field + size - 8, 8);
    } else {
        for (Py_ssize_t i = 0; i < size; i++) first = first << 8 | (unsigned char)field[i];
    }
    uint64_t mixed = (first ^ (uint64_t)size) * 0x9E3779B97F4A7C15u;
    mixed = (mixed ^ (mixed >> 29) ^ last) * 0xBF58476D1CE4E5B9u;
    return &memory->slots[(mixed >> 40) & (SLOTS - 1)];
}

/* Ask the table, and remember its answer in place of another. */
static Outcome ask(Memory *memory, const char *field, Py_ssize_t size, Slot *slot) {
    PyObject *key = PyUnicode_FromStringAndSize(field, size);
    PyObject *part = key ? PyObject_GetItem(memory->table, key) : NULL;
    Py_XDECREF(key);
    Piece text;
    if (!part || piece_of(part, &text) < 0) {
        Py_XDECREF(part);
        return not_plain_or_failed();
    }
    PyObject *replaced = slot->part;
    *slot = (Slot){part, text, (unsigned char)size, {0}};
    memcpy(slot->field, field, (size_t)size);
    Py_XDECREF(replaced);
    return ASKED;
}

static inline Outcome look_up(Memory *memory, const char *field, Py_ssize_t size, Tuple *tuple,
                              int column) {
    if (size > MOST_FIELD_BYTES) return NOT_PLAIN;
    Slot *slot = slot_of(memory, field, size);
    if (slot->part && slot->size == size && memcmp(slot->field, field, (size_t)size) == 0)
        return add(tuple, column, slot->text);
    return ask(memory, field, size, slot);
}

/* --- as they are --- */

/* A tuple's text ends with a zero, as that of every str does, so `at` may always be looked at. */

/* Pass a number as JSON writes it, of up to 19 digits; 0 where there is none. */
static inline int pass_decimal(const char **at, uint64_t *number) {
    const char *first = *at, *next = first;
    uint64_t value = 0;
    for (unsigned digit; (digit = (unsigned char)*next - (unsigned)'0') <= 9; next++) {
        if (next - first == 19) return 0;
        value = value * 10 + digit;
    }
    *number = value;
    *at = next;
    return next - first == 1 || (next > first && *first != '0');
}

/* Pass four numbers up to 255 with dots between them; 0 where there are none. */
static inline int pass_ipv4(const char **at) {
    uint64_t octet;
    for (int octets = 1;; octets++) {
        if (!pass_decimal(at, &octet) || octet > 255) return 0;
        if (octets == 4) return 1;
        if (*(*at)++ != '.') return 0;
    }
}

static inline void pass_fields(const char **at, const char *end, int fields) {
    while (*at < end && (**at != ',' || --fields > 0)) ++*at;
}

/* Writes in front of `end`; returns where it begins. */
static inline char *put_digits(char *end, uint64_t number, int least) {
    for (; number || least > 0; number /= 10, least--) *--end = (char)('0' + number % 10);
    return end;
}

/* --- a column, a tuple --- */

/* Unix seconds below 10**11, milliseconds from there on. */
static inline Outcome read_time(Memory *hours, uint64_t time, Tuple *tuple, int column) {
    uint64_t ms = time < 100000000000u ? time * 1000 : time;
    char digits[24], *end = digits + sizeof digits, *hour = put_digits(end, ms / 3600000, 1);
    Outcome outcome = look_up(hours, hour, end - hour, tuple, column);
    if (outcome != READ) return outcome;
    unsigned in_hour = (unsigned)(ms % 3600000);
    memcpy(tuple->clock, "00:00.000Z", CLOCK_BYTES);
    put_digits(tuple->clock + 2, in_hour / 60000, 2);
    put_digits(tuple->clock + 5, in_hour / 1000 % 60, 2);
    put_digits(tuple->clock + 9, in_hour % 1000, 3);
    return add(tuple, column, (Piece){tuple->clock, CLOCK_BYTES});
}

/* Read what stands at `at`, and pass it: a comma, or the end, must be next. */
static inline Outcome read_column(Column *column, const char **at, const char *end, Tuple *tuple,
                                  int c) {
    const char *field = *at;
    uint64_t number;
    tuple->column[c].count = 0;
    switch (column->kind) {
    case LOOKUP:
        pass_fields(at, end, column->fields);
        return look_up(&column->memory, field, *at - field, tuple, c);
    case TIME:
        if (!pass_decimal(at, &number)) return NOT_PLAIN;
        return read_time(&column->memory, number, tuple, c);
    case ADDRESS:
        if (pass_ipv4(at)) {
            add(tuple, c, column->before);
            add(tuple, c, (Piece){field, *at - field});
            return add(tuple, c, column->after);
        }
        *at = field;
        pass_fields(at, end, 1);
        return look_up(&column->memory, field, *at - field, tuple, c);
    case DECIMAL:
        if (pass_decimal(at, &number)) {
            if (number > column->maximum) return NOT_PLAIN;
            add(tuple, c, (Piece){field, *at - field});
        } else if (*at == field && column->may_be_empty) {
            add(tuple, c, (Piece){"null", 4});
        } else {
            return NOT_PLAIN;
        }
        return column->after.size ? add(tuple, c, column->after) : READ;
    }
    return NOT_PLAIN;
}

static Outcome read_once(Column *columns, int count, Piece text, Tuple *tuple) {
    const char *at = text.data, *end = at + text.size;
    tuple->size = 0;
    for (int c = 0; c < count; c++) {
        if (c > 0 && *at++ != ',') return NOT_PLAIN;
        Outcome outcome = read_column(&columns[c], &at, end, tuple, c);
        if (outcome != READ) return outcome;
    }
    return at == end ? READ : NOT_PLAIN;
}

/* The pieces are good until Python code runs: another thread may then replace what they point to.
   So a tuple for which a table was asked is read again from its beginning. */
static Outcome read_tuple(Column *columns, int count, PyObject *text, Tuple *tuple) {
    Piece whole;
    if (!PyUnicode_Check(text)) return NOT_PLAIN;
    if (piece_of(text, &whole) < 0) return not_plain_or_failed(); /* half a surrogate pair */
    for (int asked = 0; asked < MOST_ASKED; asked++) {
        Outcome outcome = read_once(columns, count, whole, tuple);
        if (outcome != ASKED) return outcome;
    }
    return NOT_PLAIN;
}
