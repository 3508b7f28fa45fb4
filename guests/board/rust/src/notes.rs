//! The notes of one process, and what it knows of their numbers. Knows no messages.

use serde::{Deserialize, Serialize};

/// The most that are kept; the agent drops the oldest.
const MAX_NOTES: usize = 100;

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Note {
    pub(crate) id: u64,
    pub(crate) text: String,
    /// Milliseconds since 1970.
    pub(crate) at: u64,
}

/// The answer to `list`.
#[derive(Deserialize, Serialize)]
pub(crate) struct List {
    last: u64,
    notes: Vec<Note>,
}

#[derive(Default)]
pub(crate) struct Notes {
    /// By number.
    kept: Vec<Note>,
    /// The highest number known.
    last: u64,
    /// Everything up to this one is dropped, whatever comes later.
    dropped: u64,
}

impl Notes {
    pub(crate) fn all(&self) -> &[Note] {
        &self.kept
    }

    pub(crate) fn list(&self) -> List {
        List { last: self.last, notes: self.kept.clone() }
    }

    /// What another process has.
    pub(crate) fn merge(&mut self, list: List) {
        self.last = self.last.max(list.last);
        for note in list.notes {
            self.add(note);
        }
    }

    /// A note with the next number.
    pub(crate) fn new_note(&mut self, text: String, at: u64) -> Note {
        let note = Note { id: self.last + 1, text, at };
        self.add(note.clone());
        note
    }

    /// Keeps it, unless it is known or dropped.
    pub(crate) fn add(&mut self, note: Note) {
        self.last = self.last.max(note.id);
        if note.id <= self.dropped {
            return;
        }
        if let Err(place) = self.kept.binary_search_by_key(&note.id, |other| other.id) {
            self.kept.insert(place, note);
        }
    }

    /// Drops all up to this number.
    pub(crate) fn drop_to(&mut self, id: u64) {
        self.dropped = self.dropped.max(id);
        self.kept.retain(|note| note.id > id);
    }

    /// Up to which number there are too many.
    pub(crate) fn surplus(&self) -> Option<u64> {
        let surplus = self.kept.len().checked_sub(MAX_NOTES + 1)?;
        Some(self.kept[surplus].id)
    }

    /// Up to which number they are from that time or before.
    pub(crate) fn older(&self, than: u64) -> Option<u64> {
        self.kept.iter().take_while(|note| note.at <= than).last().map(|note| note.id)
    }
}
