/* A tuple's fields, made into the parts of its record. Only for _tuple_writer.c, which says why. */

#include "_tuple_fields.h"

#define MOST_FIELD_BYTES 47 /* of a field that is looked up; what is longer is Python's */
#define MOST_PART_BYTES 512 /* and so is what becomes a longer part of the record */
#define SLOTS 2048          /* of each memory; a power of two */
#define MOST_ASKED 64       /* for one tuple, before it is left to Python */
#define CLOCK "00:00.000Z"
#define CLOCK_BYTES 10

/* What a table gave for a field, where the field's hash says. `text` is followed by a block more. */
typedef struct {
    char *text; /* NULL: the slot is free */
    unsigned short text_size, field_size;
    char field[MOST_FIELD_BYTES + 1];
} Slot;

typedef struct {
    PyObject *table; /* str -> str; raises ValueError for what it cannot read */
    Slot *slots;
} Memory;

typedef struct {
    enum { LOOKUP, TIME, ADDRESS, DECIMAL } kind;
    int place, first;    /* among the columns of the tuple; the field with which it begins */
    int fields;          /* LOOKUP: how many are looked up as one */
    Memory memory;       /* LOOKUP; TIME: of its hours; ADDRESS: of all but IPv4 */
    uint64_t highest;    /* DECIMAL: the rank of its maximum; 0: above all of MOST_DIGITS */
    int may_be_empty;    /* DECIMAL: then null */
    Piece before, after; /* of what goes into the record as it is; followed by a block more */
} Column;

/* NOT_PLAIN: Python will see what it is. ASKED: a table was, so all must be read again.
   FAILED: with an exception set. */
typedef enum { DONE, NOT_PLAIN, ASKED, FAILED } Outcome;

/* What Python cannot read either is for Python to tell. */
static Outcome not_plain_or_failed(void) {
    if (!PyErr_ExceptionMatches(PyExc_ValueError)) return FAILED;
    PyErr_Clear();
    return NOT_PLAIN;
}

static inline Slot *slot_of(Memory *memory, const Field *field) {
    uint64_t first, last;
    memcpy(&first, field->text, 8);
    if (field->size < 8) {
        first &= ((uint64_t)1 << 8 * field->size) - 1;
        last = 0;
    } else {
        memcpy(&last, field->text + field->size - 8, 8);
    }
    uint64_t mixed = (first ^ field->size) * 0x9E3779B97F4A7C15u;
    mixed = (mixed ^ (mixed >> 29) ^ last) * 0xBF58476D1CE4E5B9u;
    return &memory->slots[(mixed >> 40) & (SLOTS - 1)];
}

static inline int is_in(const Slot *slot, const Field *field) {
    if (!slot->text || slot->field_size != field->size) return 0;
    if (field->size > 8) return memcmp(slot->field, field->text, field->size) == 0;
    uint64_t known, asked;
    memcpy(&known, slot->field, 8);
    memcpy(&asked, field->text, 8);
    return field->size == 0 || (known ^ asked) << (64 - 8 * field->size) == 0;
}

/* Ask the table for `key`, and remember its answer in place of another. */
static Outcome ask(Memory *memory, const Field *field, Slot *slot, PyObject *key) {
    PyObject *part = key ? PyObject_GetItem(memory->table, key) : NULL;
    Py_XDECREF(key);
    Piece text;
    if (!part || piece_of(part, &text) < 0) {
        Py_XDECREF(part);
        return not_plain_or_failed();
    }
    char *copy = text.size > MOST_PART_BYTES ? NULL : padded_copy(text);
    if (copy) {
        PyMem_Free(slot->text);
        *slot = (Slot){copy, (unsigned short)text.size, (unsigned short)field->size, {0}};
        memcpy(slot->field, field->text, field->size);
    }
    Py_DECREF(part);
    return copy ? ASKED : PyErr_Occurred() ? FAILED : NOT_PLAIN;
}

/* What the table says of the field. That is good until Python code runs: another thread may then
   replace it. */
static inline Outcome write_looked_up(Memory *memory, const Field *field, char **to) {
    if (field->size > MOST_FIELD_BYTES) return NOT_PLAIN;
    Slot *slot = slot_of(memory, field);
    if (!is_in(slot, field))
        return ask(memory, field, slot, PyUnicode_FromStringAndSize(field->text, field->size));
    *to = put(*to, (Piece){slot->text, slot->text_size});
    return DONE;
}

/* The same of an hour, which is remembered by its number and not by its digits. */
static inline Outcome write_hour(Memory *hours, uint64_t hour, char **to) {
    Field field = {.text = (char *)&hour, .size = sizeof hour};
    Slot *slot = slot_of(hours, &field);
    if (!is_in(slot, &field))
        return ask(hours, &field, slot, PyUnicode_FromFormat("%llu", (unsigned long long)hour));
    *to = put(*to, (Piece){slot->text, slot->text_size});
    return DONE;
}

static inline void put_two_digits(char *to, unsigned number) {
    to[0] = (char)('0' + number / 10);
    to[1] = (char)('0' + number % 10);
}

/* Unix seconds below 10**11, milliseconds from there on. */
static inline Outcome write_time(Memory *hours, uint64_t time, char **to) {
    uint64_t ms = time < 100000000000u ? time * 1000 : time, hour = ms / 3600000;
    unsigned in_hour = (unsigned)(ms % 3600000);
    Outcome outcome = write_hour(hours, hour, to);
    if (outcome != DONE) return outcome;
    char *clock = *to;
    memcpy(clock, CLOCK, CLOCK_BYTES);
    put_two_digits(clock, in_hour / 60000);
    put_two_digits(clock + 3, in_hour / 1000 % 60);
    put_two_digits(clock + 6, in_hour % 1000 / 10);
    clock[8] = (char)('0' + in_hour % 10);
    *to = clock + CLOCK_BYTES;
    return DONE;
}

static inline Outcome write_column(Column *column, const Fields *fields, char **to) {
    Field field;
    get_fields(fields, column->first, column->fields, &field);
    switch (column->kind) {
    case LOOKUP:
        return write_looked_up(&column->memory, &field, to);
    case ADDRESS:
        if (!is_ipv4(fields, &field)) return write_looked_up(&column->memory, &field, to);
        *to = put(put(put(*to, column->before), (Piece){field.text, field.size}), column->after);
        return DONE;
    case DECIMAL:
        if (field.size == 0 && column->may_be_empty) {
            memcpy(*to, "null", 4);
            *to = put(*to + 4, column->after);
            return DONE;
        }
        if (!is_decimal(fields, &field)) return NOT_PLAIN;
        if (column->highest && (field.size > 8 || rank_of(field.text, field.size) > column->highest))
            return NOT_PLAIN;
        *to = put(put(*to, (Piece){field.text, field.size}), column->after);
        return DONE;
    case TIME:
        if (!is_decimal(fields, &field)) return NOT_PLAIN;
        if (field.size <= 8) return write_time(&column->memory, number_of(field.text, field.size), to);
        return write_time(&column->memory,
                          number_of(field.text, field.size - 8) * 100000000u +
                              number_of(field.text + field.size - 8, 8),
                          to);
    }
    return NOT_PLAIN;
}

/* --- what a column is made of --- */

static int remember(Memory *memory, PyObject *table) {
    memory->slots = PyMem_Calloc(SLOTS, sizeof(Slot));
    if (!memory->slots) {
        PyErr_NoMemory();
        return -1;
    }
    Py_INCREF(table);
    memory->table = table;
    return 0;
}

static void forget(Memory *memory) {
    for (int s = 0; memory->slots && s < SLOTS; s++) PyMem_Free(memory->slots[s].text);
    PyMem_Free(memory->slots);
    Py_XDECREF(memory->table);
}

static int keep_text(Piece *piece, PyObject *text) {
    Piece said;
    if (!PyUnicode_Check(text)) {
        PyErr_SetString(PyExc_TypeError, "what stands before or after a field must be a str");
        return -1;
    }
    if (piece_of(text, &said) < 0 || !(piece->data = padded_copy(said))) return -1;
    piece->size = said.size;
    return 0;
}

/* The kinds of columns are told in _tuple_writer.pyi. */
static int make_column(Column *column, PyObject *said) {
    const char *kind;
    PyObject *one, *two = NULL, *three = NULL;
    if (!PyArg_ParseTuple(said, "sO|OO", &kind, &one, &two, &three)) return -1;
    if (three && keep_text(&column->after, three) < 0) return -1;
    column->fields = 1; /* but for those that say so */
    if (strcmp(kind, "time") == 0 && !two) {
        column->kind = TIME;
        return remember(&column->memory, one);
    }
    if (strcmp(kind, "lookup") == 0 && two && !three) {
        column->kind = LOOKUP;
        long fields = PyLong_AsLong(two);
        if (!PyErr_Occurred() && (fields < 1 || fields > 255))
            PyErr_SetString(PyExc_ValueError, "so many fields cannot be looked up as one");
        column->fields = (int)fields;
        return PyErr_Occurred() ? -1 : remember(&column->memory, one);
    }
    if (strcmp(kind, "address") == 0 && three) {
        column->kind = ADDRESS;
        if (keep_text(&column->before, two) < 0) return -1;
        return remember(&column->memory, one);
    }
    if (strcmp(kind, "decimal") == 0 && three) {
        column->kind = DECIMAL;
        uint64_t maximum = PyLong_AsUnsignedLongLong(one);
        if (PyErr_Occurred()) return -1;
        char digits[24] = {0};
        int size = PyOS_snprintf(digits, sizeof digits, "%llu", (unsigned long long)maximum);
        if (size > 8 && size <= MOST_DIGITS) {
            PyErr_SetString(PyExc_ValueError, "a maximum must have at most 8 digits, or above 16");
            return -1;
        }
        column->highest = size > 8 ? 0 : rank_of(digits, (unsigned)size);
        column->may_be_empty = PyObject_IsTrue(two);
        return column->may_be_empty < 0 ? -1 : 0;
    }
    PyErr_Format(PyExc_ValueError, "no such column: %R", said);
    return -1;
}
