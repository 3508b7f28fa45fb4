//! What a process prints, line by line, with the time at which each came.

use std::{
    io::{BufRead, BufReader, Read},
    sync::{Arc, Mutex},
    thread,
    time::Instant,
};

use super::eventually;

/// Filled by a thread of its own until the last writer has closed the pipe. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Written>>);

#[derive(Default)]
struct Written {
    lines: Vec<(Instant, String)>,
    /// Nobody can write any more.
    is_over: bool,
}

impl Lines {
    /// What comes out of this pipe.
    pub(crate) fn of(pipe: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let filled = lines.clone();
        thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
                let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
                filled.0.lock().unwrap().lines.push((Instant::now(), text));
                line.clear();
            }
            filled.0.lock().unwrap().is_over = true;
        });
        lines
    }

    /// Those that contain this.
    pub(crate) fn with(&self, part: &str) -> Vec<String> {
        self.timed(part).into_iter().map(|(_, line)| line).collect()
    }

    /// Those that contain this, with their times.
    pub(crate) fn timed(&self, part: &str) -> Vec<(Instant, String)> {
        self.0.lock().unwrap().lines.iter().filter(|(_, line)| line.contains(part)).cloned().collect()
    }

    /// How many contain this.
    pub(crate) fn count(&self, part: &str) -> usize {
        self.0.lock().unwrap().lines.iter().filter(|(_, line)| line.contains(part)).count()
    }

    /// Waits until one contains this.
    pub(crate) async fn wait_for(&self, part: &str) {
        self.wait_for_count(part, 1).await;
    }

    /// Waits until so many contain this.
    pub(crate) async fn wait_for_count(&self, part: &str, count: usize) {
        eventually(&format!("{count} lines with {part:?}"), async || self.count(part) >= count).await;
    }

    /// All of it, once everybody who could write is gone.
    pub(crate) async fn ended(&self) -> String {
        eventually("the end of the lines", async || self.0.lock().unwrap().is_over).await;
        self.all()
    }

    /// All of it.
    pub(crate) fn all(&self) -> String {
        let written = self.0.lock().unwrap();
        written.lines.iter().map(|(_, line)| format!("{line}\n")).collect()
    }
}
