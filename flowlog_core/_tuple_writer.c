/* The records of ordinary tuples, at the speed of memory: optional, see compiled.py. The other files
   of C belong to this one: _entry_outline.h finds an entry's tuples, _tuple_fields.h cuts them,
   _record_parts.h makes of their fields what _record_lines.h keeps.

   What a field may say and what becomes of it is Python's to know (tuple_tables.py, formats.py): its
   tables are asked once for each new field, and their answers remembered. Only numbers, IPv4
   addresses and times, which rarely repeat, are read here. A tuple with anything unusual in it is
   handed to Python whole, so nothing is refused here and no reason given. */

#include "_entry_outline.h"
#include "_record_lines.h"
#include "_record_parts.h"

/* Goes up when Python must not go on with what was compiled before; also in compiled.py. */
#define INTERFACE 3

#define MAX_COLUMNS 16

typedef struct {
    PyObject_HEAD
    int count, fields;
    Column columns[MAX_COLUMNS]; /* as they stand in the record */
    Py_ssize_t most_bytes;       /* of a record, beside its tuple's own and what is repeated */
} Writer;

/* What all records have in common, and those of a group; and the index of the present tuple. */
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
        if (output->left > 0) output->left--;
        next_index(&repeated);
        Py_XDECREF(text);
        if (failed) return -1;
    }
    return 0;
}

static PyObject *Writer_write(Writer *self, PyObject *args) {
    PyObject *head, *groups, *otherwise, *bytes, *result = NULL;
    Piece head_text, raw = {0};
    Output output = {0};
    if (!PyArg_ParseTuple(args, "UO!nOO", &head, &PyList_Type, &groups, &output.left, &otherwise,
                          &bytes) ||
        piece_of(head, &head_text) < 0)
        return NULL;
    /* Bytes, and nothing else with a buffer: they stay where they are. */
    if (bytes != Py_None && PyBytes_AsStringAndSize(bytes, (char **)&raw.data, &raw.size) < 0)
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

static PyObject *Writer_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *columns, *order;
    if (!PyArg_ParseTuple(args, "O!O!", &PyTuple_Type, &columns, &PyTuple_Type, &order)) return NULL;
    if (kwargs && PyDict_Size(kwargs)) {
        PyErr_SetString(PyExc_TypeError, "Writer() takes no keyword arguments");
        return NULL;
    }
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
