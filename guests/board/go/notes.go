package board

import (
	"cmp"
	"slices"
)

const maxNotes = 100

// Note is one note; At is in milliseconds since 1970.
type Note struct {
	ID   uint64 `json:"id"`
	Text string `json:"text"`
	At   int64  `json:"at"`
}

// List is the answer to the question list.
type List struct {
	Last  uint64 `json:"last"`
	Notes []Note `json:"notes"`
}

// Notes are those of one process, and what it knows of their numbers. It knows no messages.
type Notes struct {
	kept    []Note // by number
	last    uint64 // the highest number known
	dropped uint64 // everything up to this one is dropped, whatever comes later
}

// List is never nil in its notes, so that it is [] in JSON.
func (n *Notes) List() List {
	return List{n.last, append([]Note{}, n.kept...)}
}

// Merge takes what another process has.
func (n *Notes) Merge(list List) {
	n.last = max(n.last, list.Last)
	for _, note := range list.Notes {
		n.Add(note)
	}
}

// New makes a note with the next number.
func (n *Notes) New(text string, at int64) Note {
	note := Note{n.last + 1, text, at}
	n.Add(note)
	return note
}

// Add keeps it, unless it is known or dropped.
func (n *Notes) Add(note Note) {
	n.last = max(n.last, note.ID)
	place, known := slices.BinarySearchFunc(n.kept, note.ID, func(one Note, id uint64) int { return cmp.Compare(one.ID, id) })
	if note.ID > n.dropped && !known {
		n.kept = slices.Insert(n.kept, place, note)
	}
}

// DropTo drops all up to this number.
func (n *Notes) DropTo(id uint64) {
	n.dropped = max(n.dropped, id)
	n.kept = slices.DeleteFunc(n.kept, func(note Note) bool { return note.ID <= id })
}

// Surplus is up to which number there are too many, or 0.
func (n *Notes) Surplus() uint64 {
	if len(n.kept) <= maxNotes {
		return 0
	}
	return n.kept[len(n.kept)-maxNotes-1].ID
}

// Older is up to which number they are from that time or before, or 0.
func (n *Notes) Older(than int64) (id uint64) {
	for _, note := range n.kept {
		if note.At > than {
			break
		}
		id = note.ID
	}
	return id
}
