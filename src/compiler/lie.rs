//! A compiler that was taken over, in builds for tests only: it does what a variable says. What comes of it
//! is in `tests/hostile/cache.rs`.

/// `nothing`: writes nothing. `garbage`: writes something else. `more`: writes more than it says. `late`: goes
/// on writing after its reply, and does not end. `far`: writes as far as it can.
#[cfg(debug_assertions)]
const VARIABLE: &str = "HATCHERY_TEST_LYING_COMPILER";

#[cfg(debug_assertions)]
mod tests_only {
    use std::{
        fs::File,
        io::{Write as _, stderr},
        os::unix::fs::FileExt as _,
        sync::OnceLock,
        thread,
        time::Duration,
    };

    use crate::ipc::compile::CODE_LIMIT;

    /// What it goes on writing to.
    static KEPT: OnceLock<File> = OnceLock::new();

    fn is(lie: &str) -> bool {
        std::env::var(super::VARIABLE).is_ok_and(|asked| asked == lie)
    }

    /// Of this code, what it writes. May have written some by then.
    pub(in super::super) fn about<'a>(code: &'a [u8], to: &mut File) -> &'a [u8] {
        if is("garbage") {
            let _ = to.write_all(&[0x7f; 100]);
            return &code[100..];
        }
        if is("more") {
            let _ = to.write_all(b"x");
        }
        if is("far") {
            let last = to.write_at(b"x", CODE_LIMIT - 1);
            let line = format!("the last byte: {last:?}, one more: {:?}\n", to.write_at(b"x", CODE_LIMIT));
            let _ = stderr().write_all(line.as_bytes());
        }
        if is("nothing") { &[] } else { code }
    }

    /// When it has written.
    pub(in super::super) fn keep(file: File) {
        let _ = KEPT.set(file);
    }

    pub(in super::super) fn after_the_reply() {
        let Some(file) = KEPT.get().filter(|_| is("late")) else { return };
        loop {
            let _ = file.write_at(b"late", 1000);
            thread::sleep(Duration::from_millis(1));
        }
    }
}

#[cfg(debug_assertions)]
pub(super) use tests_only::{about, after_the_reply, keep};

/// The truth, in a build in which nothing else is told.
#[cfg(not(debug_assertions))]
pub(super) fn about<'a>(code: &'a [u8], _to: &mut std::fs::File) -> &'a [u8] {
    code
}

/// Nothing, in such a build.
#[cfg(not(debug_assertions))]
pub(super) fn keep(_file: std::fs::File) {}

/// Nothing, in such a build.
#[cfg(not(debug_assertions))]
pub(super) fn after_the_reply() {}
