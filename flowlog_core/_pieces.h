/* Pieces of text, and how they are put together. Only for _tuple_writer.c. */

#ifndef FLOWLOG_PIECES_H
#define FLOWLOG_PIECES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define BLOCK 16 /* bytes that are looked at or copied at once */

typedef struct {
    const char *data;
    Py_ssize_t size;
} Piece;

static int piece_of(PyObject *text, Piece *piece) {
    piece->data = PyUnicode_AsUTF8AndSize(text, &piece->size);
    return piece->data ? 0 : -1;
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

/* At least a block, of which too much will be written over: so behind `piece` a block more must be
   readable, and behind where it ends a block more writable. */
static inline char *put(char *to, Piece piece) {
    Py_ssize_t at = 0;
    do
        memcpy(to + at, piece.data + at, BLOCK);
    while ((at += BLOCK) < piece.size);
    return to + piece.size;
}

/* Bytes that grow. */
typedef struct {
    char *data;
    Py_ssize_t used, capacity;
} Text;

static inline int append(Text *text, const char *data, Py_ssize_t size) {
    if (size > text->capacity - text->used) {
        Py_ssize_t capacity = 2 * (text->used + size) + 1024;
        char *grown = PyMem_Realloc(text->data, (size_t)capacity);
        if (!grown) {
            PyErr_NoMemory();
            return -1;
        }
        text->data = grown;
        text->capacity = capacity;
    }
    memcpy(text->data + text->used, data, (size_t)size);
    text->used += size;
    return 0;
}

#endif
