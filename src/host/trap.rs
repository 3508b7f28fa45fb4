//! A trap in words: what happened first, then where.

use wasmtime::WasmBacktrace;

/// One line, and the guest's functions below it where they are known.
pub(super) fn describe(trap: &wasmtime::Error) -> String {
    match trap.downcast_ref::<WasmBacktrace>() {
        Some(backtrace) => {
            let backtrace = backtrace.to_string();
            let frames = backtrace.split_once('\n').map_or("", |(_, frames)| frames);
            format!("{}\n{frames}", trap.root_cause())
        }
        None => format!("{trap:#}"),
    }
}
