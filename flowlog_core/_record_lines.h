/* Finished records, side by side in memory that grows: what `Lines` in records.py holds. Only for
   _tuple_writer.c. */

#include "_pieces.h"

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
