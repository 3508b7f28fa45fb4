/* The notes of one process, and what it knows of their numbers. Knows no messages. */
#ifndef NOTES_H
#define NOTES_H

#include "json.h"

/* Keeps a note, given as JSON, unless it is known or dropped. False where it is none. */
bool notes_add(json note);
/* What another process has. False where it is no list. */
bool notes_merge(json list);
/* A new note with the next number, as JSON, or NULL where the text is not UTF-8. It is the notes' own. */
const char *notes_new(const char *text, size_t length, uint64_t at);
void notes_drop_to(uint64_t id);
/* Up to which number there are too many, or 0. */
uint64_t notes_surplus(void);
/* Up to which number they are from that time or before, or 0. */
uint64_t notes_older(uint64_t than);
/* All of them as a JSON array, or as the answer to `list`. To be freed. */
char *notes_all(void);
char *notes_list(void);

#endif
