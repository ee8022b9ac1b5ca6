/* An entry without its tuples, read from bytes that may be damaged. Only for _tuple_writer.c.

   Nine tenths of an entry are tuples, plain strings, of which a JSON parser would make as many
   objects. Here they are passed over, and what is left is small enough for any parser. That is
   right only where strings can be told from structure at a glance, so a backslash anywhere, or
   anything but printable ASCII in a tuple, is left to Python. */

#include "_pieces.h"

#define MOST_NESTED 64 /* the JSON parser allows more in all; entries nest 7 deep */

#define TUPLES_KEY "flowTuples"
#define HEAD_KEY "records" /* where it stands, this is no entry but the whole blob */

static inline int is_word(const char *at, const char *end, const char *word) {
    size_t size = strlen(word);
    return (size_t)(end - at) == size && memcmp(at, word, size) == 0;
}

/* Pass a string from behind its first quotation mark to behind its last; NULL: it has none. */
static inline const char *pass_string(const char *at, const char *end) {
    const char *quote = memchr(at, '"', (size_t)(end - at));
    return quote ? quote + 1 : NULL;
}

/* What is not ASCII is negative. */
static int is_plain(const char *at, const char *end) {
    int is_other = 0;
    for (; at < end; at++) is_other |= ((signed char)*at < ' ') | (*at == '\\');
    return !is_other;
}

/* Pass a list of plain strings, from behind its `[` to its `]`, and count them. 0, and how far that
   went, where it is anything else. */
static int pass_tuples(const char **from, const char *end, Py_ssize_t *count) {
    const char *at = *from;
    *count = 0;
    while (at < end && *at == '"') {
        at = pass_string(at + 1, end);
        ++*count;
        if (!at || at == end || (*at == ',' && at + 1 == end)) {
            *from = end;
            return 0;
        }
        if (*at == ']' && is_plain(*from, at)) {
            *from = at;
            return 1;
        }
        if (*at++ != ',') break;
    }
    int is_empty = *count == 0 && at < end && *at == ']';
    *from = at;
    return is_empty;
}

/* Behind the object at `from`, or NULL and in `from` how far was read: it may end later, or is
   not of the plain kind. `text` is then of no use. */
static const char *outline_to(Text *text, const char **from, const char *end) {
    const char *start = *from, *at = start, *copied = start;
    int depth = 0, failed = 0;
    for (; !failed && at < end; at += !failed) {
        switch (*at) {
        case '{':
        case '[':
            failed = ++depth > MOST_NESTED;
            break;
        case '}':
        case ']': /* the parser will see whether each closes what it should */
            if (--depth > 0) break;
            return append(text, copied, at + 1 - copied) < 0 ? NULL : at + 1;
        case '\\':
            failed = 1;
            break;
        case '"': {
            const char *first = ++at;
            while (at < end && *at != '"' && *at != '\\') at++;
            if ((failed = at == end || *at == '\\')) break;
            if ((failed = is_word(first, at, HEAD_KEY)) || !is_word(first, at, TUPLES_KEY)) break;
            Py_ssize_t count;
            char run[48];
            const char *tuples = at + 3;
            failed = tuples >= end || at[1] != ':' || at[2] != '[';
            if (failed) break;
            at = tuples;
            failed = !pass_tuples(&at, end, &count);
            if (failed) break;
            int size = PyOS_snprintf(run, sizeof run, "%lld,%lld", (long long)(tuples - start),
                                     (long long)count);
            failed = append(text, copied, tuples - copied) < 0 || append(text, run, size) < 0;
            copied = at--; /* the `]` is structure again, and closes */
            depth++;
            break;
        }
        default:
            break;
        }
    }
    *from = at;
    return NULL;
}

static PyObject *outline(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer buffer;
    Py_ssize_t from, limit;
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(args, "y*nn", &buffer, &from, &limit)) return NULL;
    if (from < 0 || from >= buffer.len || limit < 1 || ((char *)buffer.buf)[from] != '{') {
        PyErr_SetString(PyExc_ValueError, "no object begins there");
    } else {
        Text text = {0};
        const char *start = (char *)buffer.buf + from, *at = start;
        if (limit > buffer.len - from) limit = buffer.len - from;
        const char *end = outline_to(&text, &at, start + limit);
        if (end)
            result = Py_BuildValue("ny#", end - start, text.data, text.used);
        else if (!PyErr_Occurred())
            result = Py_BuildValue("nO", at - start, Py_None);
        PyMem_Free(text.data);
    }
    PyBuffer_Release(&buffer);
    return result;
}
