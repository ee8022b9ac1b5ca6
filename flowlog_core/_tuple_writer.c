/* The records of ordinary tuples, at the speed of memory: optional, see compiled.py.

   What a field may say and what becomes of it is Python's to know (tuple_tables.py, formats.py): its
   tables are asked once for each new field, and their answers remembered. Only numbers, IPv4
   addresses and times, which rarely repeat, are read here. A tuple with anything unusual in it is
   handed to Python whole, so nothing is refused here and no reason given. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "_tuple_fields.h"

#include "_entry_outline.h"

/* Goes up when Python must not go on with what was compiled before; also in compiled.py. */
#define INTERFACE 2

#define MAX_COLUMNS 16
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
    uint64_t highest;    /* DECIMAL: the rank of its maximum; 0: any decimal is below it */
    int may_be_empty;    /* DECIMAL: then null */
    Piece before, after; /* of what goes into the record as it is; followed by a block more */
} Column;

typedef struct {
    PyObject_HEAD
    int count, fields;
    Column columns[MAX_COLUMNS]; /* as they stand in the record */
    Py_ssize_t most_bytes;       /* of a record, beside its tuple's own and what is repeated */
} Writer;

/* NOT_PLAIN: Python will see what it is. ASKED: a table was, so all must be read again.
   FAILED: with an exception set. */
typedef enum { DONE, NOT_PLAIN, ASKED, FAILED } Outcome;

static int piece_of(PyObject *text, Piece *piece) {
    piece->data = PyUnicode_AsUTF8AndSize(text, &piece->size);
    return piece->data ? 0 : -1;
}

/* What Python cannot read either is for Python to tell. */
static Outcome not_plain_or_failed(void) {
    if (!PyErr_ExceptionMatches(PyExc_ValueError)) return FAILED;
    PyErr_Clear();
    return NOT_PLAIN;
}

/* --- looked up --- */

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

/* Followed by a block of zeroes; NULL with an exception set. */
static char *padded_copy(Piece piece) {
    char *copy = PyMem_Malloc((size_t)piece.size + BLOCK);
    if (!copy) {
        PyErr_NoMemory();
        return NULL;
    }
    memcpy(copy, piece.data, (size_t)piece.size);
    memset(copy + piece.size, 0, BLOCK);
    return copy;
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

/* --- written --- */

/* A block, or two for what may be longer: what is too much will be written over. So behind `piece`
   and behind `to` there must be a block more. */
static inline char *put(char *to, Piece piece) {
    memcpy(to, piece.data, BLOCK);
    if (piece.size > BLOCK) memcpy(to + BLOCK, piece.data + BLOCK, (size_t)piece.size - BLOCK);
    return to + piece.size;
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
    if (!is_in(slot, &field)) return ask(hours, &field, slot, PyUnicode_FromFormat("%llu", hour));
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

/* PLAIN: up to 18 digits, of which more than 8 only for numbers that have no lower bound. */
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

/* --- records --- */

typedef struct {
    PyObject *bytes; /* a bytearray */
    char *data;
    Py_ssize_t used, capacity;
    Text ends;       /* where each record ends: int64_t */
    Py_ssize_t left; /* how many tuples will follow, as far as was said */
} Output;

/* Where up to `more` bytes may be written, behind a comma; NULL on failure. Most records of an entry
   are of one size; what is too much is given back in the end. */
static char *begin_record(Output *output, Py_ssize_t more) {
    more += 1;
    if (more > output->capacity - output->used) {
        if (more > PY_SSIZE_T_MAX / 4 - output->used) {
            PyErr_NoMemory();
            return NULL;
        }
        Py_ssize_t count = output->ends.used / (Py_ssize_t)sizeof(int64_t);
        Py_ssize_t capacity = 2 * (output->used + more);
        if (count && output->left > 0) {
            Py_ssize_t expected = output->used / count + 16;
            if (output->left < (64 << 20) / expected)
                capacity = output->used + more + expected * output->left;
        }
        if (PyByteArray_Resize(output->bytes, capacity) < 0) return NULL;
        output->data = PyByteArray_AsString(output->bytes);
        output->capacity = capacity;
    }
    char *to = output->data + output->used;
    if (output->used) *to++ = ',';
    return to;
}

static inline int end_record(Output *output, const char *to) {
    int64_t end = output->used = to - output->data;
    return append(&output->ends, (const char *)&end, sizeof end);
}

/* What many records have in common: all, those of a group; and the present tuple's index. */
typedef struct {
    Piece head, common;
    char digits[24 + BLOCK]; /* of the index: from `first` to 24 */
    int first;
} Repeated;

static void start_index(Repeated *repeated, Py_ssize_t index) {
    for (repeated->first = 24; index || repeated->first == 24; index /= 10)
        repeated->digits[--repeated->first] = (char)('0' + index % 10);
}

static inline void next_index(Repeated *repeated) {
    int place = 23;
    while (place >= repeated->first && repeated->digits[place] == '9') repeated->digits[place--] = '0';
    if (place < repeated->first) repeated->digits[repeated->first = place] = '0';
    repeated->digits[place]++;
}

static inline Outcome write_once(Writer *self, Output *output, const Fields *fields,
                                 const Repeated *repeated) {
    Piece head = repeated->head, common = repeated->common;
    char *to = begin_record(output, self->most_bytes + head.size + common.size +
                                        fields->ends[self->fields - 1]);
    if (!to) return FAILED;
    memcpy(to, head.data, (size_t)head.size);
    to = put(to + head.size, (Piece){repeated->digits + repeated->first, 24 - repeated->first});
    for (int c = 0; c < self->count; c++) {
        Outcome outcome = write_column(&self->columns[c], fields, &to);
        if (outcome != DONE) return outcome;
        if (c > 0) continue;
        memcpy(to, common.data, (size_t)common.size); /* behind the time */
        to += common.size;
    }
    return end_record(output, to) < 0 ? FAILED : DONE;
}

/* A tuple for which a table was asked is written again from its beginning: see write_looked_up. */
static Outcome write_tuple(Writer *self, Output *output, Piece text, const char *readable,
                           const Repeated *repeated) {
    Fields fields;
    if (!cut(&fields, text, readable, self->fields)) return NOT_PLAIN;
    for (int asked = 0; asked < MOST_ASKED; asked++) {
        Outcome outcome = write_once(self, output, &fields, repeated);
        if (outcome != ASKED) return outcome;
    }
    return NOT_PLAIN;
}

/* Python's turn: it gives the record, or nothing and has noted what is wrong. */
static int write_otherwise(Output *output, PyObject *otherwise, PyObject *text, Py_ssize_t index,
                           PyObject *common) {
    PyObject *record = PyObject_CallFunction(otherwise, "OnO", text, index, common);
    int failed = !record;
    if (record && record != Py_None) {
        Piece piece;
        failed = piece_of(record, &piece) < 0;
        if (!failed && piece.size) {
            char *to = begin_record(output, piece.size);
            if (to) memcpy(to, piece.data, (size_t)piece.size);
            failed = !to || end_record(output, to + piece.size) < 0;
        }
    }
    Py_XDECREF(record);
    return failed ? -1 : 0;
}

/* The next tuple of a list; `text` is to be released. */
static Outcome next_in_list(PyObject *texts, Py_ssize_t place, PyObject **text, Piece *piece) {
    *text = PyList_GetItem(texts, place);
    Py_INCREF(*text); /* as Python code may run */
    if (!PyUnicode_Check(*text)) return NOT_PLAIN;
    return piece_of(*text, piece) < 0 ? not_plain_or_failed() : DONE; /* half a surrogate pair */
}

/* The next tuple in the entry's bytes: a string, which ends with the next quotation mark. */
static Outcome next_in_raw(const char **at, const char *end, Piece *piece) {
    const char *text = *at < end && **at == '"' ? *at + 1 : NULL, *behind;
    if (!text || !(behind = pass_string(text, end))) {
        PyErr_SetString(PyExc_ValueError, "no tuple is where one was said to be");
        return FAILED;
    }
    *piece = (Piece){text, behind - 1 - text};
    *at = behind + (behind < end); /* the comma, or the end of the list */
    return DONE;
}

/* A group's tuples: a list of str, or, where there is `raw`, where in it they begin and how many. */
static int write_group(Writer *self, Output *output, PyObject *group, Piece head, Piece raw,
                       PyObject *otherwise) {
    PyObject *texts, *common;
    Py_ssize_t index, start = 0, count = 0;
    Repeated repeated = {.head = head};
    Piece piece = {0};
    if (!PyArg_ParseTuple(group, "O!nU", &PyList_Type, &texts, &index, &common)) return -1;
    if (piece_of(common, &repeated.common) < 0) return -1;
    if (raw.data) {
        if (PyList_Size(texts) == 2) {
            start = PyLong_AsSsize_t(PyList_GetItem(texts, 0));
            count = PyLong_AsSsize_t(PyList_GetItem(texts, 1));
        } else {
            start = -1;
        }
        if (PyErr_Occurred()) return -1;
    }
    if (index < 0 || index > PY_SSIZE_T_MAX / 2 || count < 0 || start < 0 || start > raw.size) {
        PyErr_SetString(PyExc_ValueError, "no place or index of a tuple");
        return -1;
    }
    start_index(&repeated, index);
    const char *at = raw.data ? raw.data + start : NULL, *end = at ? raw.data + raw.size : NULL;
    for (Py_ssize_t t = 0; t < (at ? count : PyList_Size(texts)); t++, index++) {
        PyObject *text = NULL;
        Outcome outcome =
            at ? next_in_raw(&at, end, &piece) : next_in_list(texts, t, &text, &piece);
        if (outcome == DONE) {
            const char *readable = at ? end : piece.data + piece.size;
            outcome = write_tuple(self, output, piece, readable, &repeated);
        }
        int failed = outcome == FAILED;
        if (outcome == NOT_PLAIN) {
            if (!text) text = PyUnicode_FromStringAndSize(piece.data, piece.size);
            failed = !text || write_otherwise(output, otherwise, text, index, common) < 0;
        }
        output->left--;
        next_index(&repeated);
        Py_XDECREF(text);
        if (failed) return -1;
    }
    return 0;
}

static PyObject *Writer_write(Writer *self, PyObject *args) {
    PyObject *head, *groups, *otherwise, *result = NULL;
    Piece head_text, raw;
    Output output = {0};
    if (!PyArg_ParseTuple(args, "UO!nOz#", &head, &PyList_Type, &groups, &output.left, &otherwise,
                          &raw.data, &raw.size) ||
        piece_of(head, &head_text) < 0)
        return NULL;
    output.bytes = PyByteArray_FromStringAndSize(NULL, 0);
    int failed = !output.bytes;
    for (Py_ssize_t g = 0; !failed && g < PyList_Size(groups); g++) {
        PyObject *group = PyList_GetItem(groups, g);
        Py_INCREF(group); /* and with it what it holds */
        failed = write_group(self, &output, group, head_text, raw, otherwise) < 0;
        Py_DECREF(group);
    }
    if (!failed && PyByteArray_Resize(output.bytes, output.used) == 0)
        result = Py_BuildValue("Oy#", output.bytes, output.ends.data ? output.ends.data : "",
                               output.ends.used);
    Py_XDECREF(output.bytes);
    PyMem_Free(output.ends.data);
    return result;
}

/* --- the type --- */

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

static PyObject *Writer_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kwargs)) {
    PyObject *columns, *order;
    if (!PyArg_ParseTuple(args, "O!O!", &PyTuple_Type, &columns, &PyTuple_Type, &order)) return NULL;
    Py_ssize_t count = PyTuple_Size(columns);
    if (count < 1 || count > MAX_COLUMNS || PyTuple_Size(order) != count) {
        PyErr_SetString(PyExc_ValueError, "columns and their order must be as many, 1 to 16");
        return NULL;
    }
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Writer *self = (Writer *)alloc(type, 0); /* zeroed */
    if (!self) return NULL;
    self->count = (int)count; /* so that all is freed, whatever fails */
    unsigned taken = 0;       /* places, a bit each */
    for (int c = 0; c < self->count; c++) {
        /* The column at `place` in the tuple is the one with this place in `order`. */
        long place = PyLong_AsLong(PyTuple_GetItem(order, c));
        if (!PyErr_Occurred() && (place < 0 || place >= count || taken & 1u << place))
            PyErr_SetString(PyExc_ValueError, "each column must have one place in the order");
        if (!PyErr_Occurred()) {
            taken |= 1u << place;
            Column *column = &self->columns[c];
            column->place = (int)place;
            if (make_column(column, PyTuple_GetItem(columns, place)) == 0)
                self->most_bytes += 2 * BLOCK + CLOCK_BYTES + MOST_PART_BYTES + column->before.size +
                                    column->after.size;
        }
        if (PyErr_Occurred()) {
            Py_DECREF((PyObject *)self);
            return NULL;
        }
    }
    for (int place = 0; place < self->count; place++) {
        Column *column = self->columns;
        while (column->place != place) column++;
        column->first = self->fields;
        self->fields += column->fields;
    }
    if (self->fields > MOST_FIELDS) {
        PyErr_SetString(PyExc_ValueError, "a tuple cannot have so many fields");
        Py_DECREF((PyObject *)self);
        return NULL;
    }
    return (PyObject *)self;
}

static void Writer_dealloc(Writer *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    for (int c = 0; c < self->count; c++) {
        forget(&self->columns[c].memory);
        PyMem_Free((char *)self->columns[c].before.data);
        PyMem_Free((char *)self->columns[c].after.data);
    }
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"write", (PyCFunction)Writer_write, METH_VARARGS, "See _tuple_writer.pyi."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Writes the records of one format's tuples: Writer(columns, order)."},
    {Py_tp_new, Writer_new},
    {Py_tp_dealloc, Writer_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyMethodDef functions[] = {
    {"outline", outline, METH_VARARGS, "See _tuple_writer.pyi."},
    {NULL, NULL, 0, NULL},
};

static PyType_Spec spec = {
    "flowlog_core._tuple_writer.Writer", sizeof(Writer), 0, Py_TPFLAGS_DEFAULT, slots,
};

static int fill(PyObject *module) {
    PyObject *type = PyType_FromSpec(&spec);
    int failed = !type || PyModule_AddObjectRef(module, "Writer", type) < 0 ||
                 PyModule_AddIntMacro(module, INTERFACE) < 0;
    Py_XDECREF(type);
    return failed ? -1 : 0;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, fill}, {0, NULL}};

static PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_tuple_writer",
    .m_doc = "The records of ordinary tuples, see _tuple_writer.pyi.",
    .m_methods = functions,
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__tuple_writer(void) { return PyModuleDef_Init(&definition); }
