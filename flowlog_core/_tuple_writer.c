/* The records of ordinary tuples, at the speed of memory: optional, see compiled.py.

   What a field may say and what becomes of it is Python's to know (tuple_tables.py, formats.py): its
   tables are asked once for each new field, and their answers remembered. Only numbers, IPv4
   addresses and times, which rarely repeat, are read here. A tuple with anything unusual in it is
   handed to Python whole, so nothing is refused here and no reason given. */

#include "_tuple_reader.h"

/* Goes up when Python must not go on with what was compiled before; also in compiled.py. */
#define INTERFACE 1

typedef struct {
    PyObject_HEAD
    int count;
    Column columns[MAX_COLUMNS];
    int order[MAX_COLUMNS]; /* in which the columns stand in the record */
} Writer;

/* --- records --- */

typedef struct {
    PyObject *bytes; /* a bytearray */
    PyObject *ends;  /* a list of int: where each record ends */
    char *data;
    Py_ssize_t used, capacity;
    Py_ssize_t left; /* how many tuples will follow, as far as was said */
} Output;

/* Most records of an entry are of one size. What is too much is given back in the end. */
static int make_room(Output *output, Py_ssize_t more) {
    if (more <= output->capacity - output->used) return 0;
    if (more > PY_SSIZE_T_MAX / 4 - output->used) {
        PyErr_NoMemory();
        return -1;
    }
    Py_ssize_t capacity = 2 * (output->used + more);
    if (output->used == 0 && output->left > 1 && output->left < (64 << 20) / more)
        capacity = (more + 32) * output->left;
    if (PyByteArray_Resize(output->bytes, capacity) < 0) return -1;
    output->data = PyByteArray_AsString(output->bytes);
    output->capacity = capacity;
    return 0;
}

/* Most pieces are short: two moves, which may overlap, and no call. */
static inline char *put(char *to, Piece piece) {
    const char *from = piece.data;
    Py_ssize_t size = piece.size;
    if (size > 32) {
        memcpy(to, from, (size_t)size);
    } else if (size >= 16) {
        memcpy(to, from, 16);
        memcpy(to + size - 16, from + size - 16, 16);
    } else if (size >= 8) {
        memcpy(to, from, 8);
        memcpy(to + size - 8, from + size - 8, 8);
    } else if (size >= 4) {
        memcpy(to, from, 4);
        memcpy(to + size - 4, from + size - 4, 4);
    } else if (size) {
        to[0] = from[0];
        to[size / 2] = from[size / 2];
        to[size - 1] = from[size - 1];
    }
    return to + size;
}

/* Where a record of `size` bytes is to be written, behind a comma; NULL on failure. */
static char *begin_record(Output *output, Py_ssize_t size) {
    if (make_room(output, size + 1) < 0) return NULL;
    char *to = output->data + output->used;
    if (output->used) *to++ = ',';
    return to;
}

static int end_record(Output *output, const char *to) {
    output->used = to - output->data;
    PyObject *end = PyLong_FromSsize_t(output->used);
    int failed = !end || PyList_Append(output->ends, end) < 0;
    Py_XDECREF(end);
    return failed ? -1 : 0;
}

static int write_record(Writer *self, Output *output, const Tuple *tuple, Piece head,
                        Py_ssize_t index, Piece common) {
    char digits[24], *last = digits + sizeof digits, *first = put_digits(last, (uint64_t)index, 1);
    Piece number = {first, last - first};
    char *to = begin_record(output, head.size + number.size + common.size + tuple->size);
    if (!to) return -1;
    to = put(put(to, head), number);
    for (int c = 0; c < self->count; c++) {
        int column = self->order[c];
        for (int p = 0; p < tuple->column[column].count; p++)
            to = put(to, tuple->column[column].piece[p]);
        if (c == 0) to = put(to, common); /* behind the time */
    }
    return end_record(output, to);
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
            failed = !to || end_record(output, put(to, piece)) < 0;
        }
    }
    Py_XDECREF(record);
    return failed ? -1 : 0;
}

static int write_group(Writer *self, Output *output, PyObject *group, Piece head,
                       PyObject *otherwise) {
    PyObject *texts, *common;
    Py_ssize_t index;
    Piece common_text;
    Tuple tuple;
    if (!PyArg_ParseTuple(group, "O!nU", &PyList_Type, &texts, &index, &common)) return -1;
    if (piece_of(common, &common_text) < 0) return -1;
    if (index < 0 || index > PY_SSIZE_T_MAX / 2) {
        PyErr_SetString(PyExc_ValueError, "no index of a tuple");
        return -1;
    }
    for (Py_ssize_t t = 0; t < PyList_Size(texts); t++, index++, output->left--) {
        PyObject *text = PyList_GetItem(texts, t);
        Py_INCREF(text); /* as Python code may run */
        int failed = -1;
        switch (read_tuple(self->columns, self->count, text, &tuple)) {
        case READ:
            failed = write_record(self, output, &tuple, head, index, common_text);
            break;
        case NOT_PLAIN:
            failed = write_otherwise(output, otherwise, text, index, common);
            break;
        default:
            break;
        }
        Py_DECREF(text);
        if (failed) return -1;
    }
    return 0;
}

static PyObject *Writer_write(Writer *self, PyObject *args) {
    PyObject *head, *groups, *otherwise, *result = NULL;
    Piece head_text;
    Output output = {0};
    if (!PyArg_ParseTuple(args, "UO!nO", &head, &PyList_Type, &groups, &output.left, &otherwise) ||
        piece_of(head, &head_text) < 0)
        return NULL;
    output.bytes = PyByteArray_FromStringAndSize(NULL, 0);
    output.ends = PyList_New(0);
    int failed = !output.bytes || !output.ends;
    for (Py_ssize_t g = 0; !failed && g < PyList_Size(groups); g++) {
        PyObject *group = PyList_GetItem(groups, g);
        Py_INCREF(group); /* and with it what it holds */
        failed = write_group(self, &output, group, head_text, otherwise) < 0;
        Py_DECREF(group);
    }
    if (!failed && PyByteArray_Resize(output.bytes, output.used) == 0)
        result = PyTuple_Pack(2, output.bytes, output.ends);
    Py_XDECREF(output.bytes);
    Py_XDECREF(output.ends);
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
    for (int s = 0; memory->slots && s < SLOTS; s++) Py_XDECREF(memory->slots[s].part);
    PyMem_Free(memory->slots);
    Py_XDECREF(memory->table);
}

static int keep_text(PyObject **owner, Piece *piece, PyObject *text) {
    if (!PyUnicode_Check(text)) {
        PyErr_SetString(PyExc_TypeError, "what stands before or after a field must be a str");
        return -1;
    }
    Py_INCREF(text);
    *owner = text;
    return piece_of(text, piece);
}

/* The kinds of columns are told in _tuple_writer.pyi. */
static int make_column(Column *column, PyObject *said) {
    const char *kind;
    PyObject *one, *two = NULL, *three = NULL;
    if (!PyArg_ParseTuple(said, "sO|OO", &kind, &one, &two, &three)) return -1;
    if (three && keep_text(&column->owners[1], &column->after, three) < 0) return -1;
    column->fields = 1;
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
        if (keep_text(&column->owners[0], &column->before, two) < 0) return -1;
        return remember(&column->memory, one);
    }
    if (strcmp(kind, "decimal") == 0 && three) {
        column->kind = DECIMAL;
        column->maximum = PyLong_AsUnsignedLongLong(one);
        if (PyErr_Occurred()) return -1;
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
    unsigned taken = 0; /* places, a bit each */
    for (self->count = 0; self->count < count; self->count++) {
        Column *column = &self->columns[self->count];
        long place = PyLong_AsLong(PyTuple_GetItem(order, self->count));
        if (!PyErr_Occurred() && (place < 0 || place >= count || taken & 1u << place))
            PyErr_SetString(PyExc_ValueError, "each column must have one place in the order");
        if (!PyErr_Occurred()) taken |= 1u << place;
        self->order[self->count] = (int)place;
        if (PyErr_Occurred() || make_column(column, PyTuple_GetItem(columns, self->count)) < 0) {
            self->count++; /* what was made of this one is to be freed as well */
            Py_DECREF((PyObject *)self);
            return NULL;
        }
    }
    return (PyObject *)self;
}

static void Writer_dealloc(Writer *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    for (int c = 0; c < self->count; c++) {
        forget(&self->columns[c].memory);
        Py_XDECREF(self->columns[c].owners[0]);
        Py_XDECREF(self->columns[c].owners[1]);
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
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__tuple_writer(void) { return PyModuleDef_Init(&definition); }
