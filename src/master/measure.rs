//! What the processes of apps take of the machine, for `status`. `apps` asks for it; the app's own loop,
//! which serves, does not read `/proc`.

use tokio::task::spawn_blocking;

use super::status::AppStatus;
use crate::sys::usage;

/// Fills in memory and CPU time. One small read for each process, on a thread of its own: with hundreds of
/// processes that takes milliseconds.
pub(super) async fn measured(mut apps: Vec<AppStatus>) -> Vec<AppStatus> {
    let reading = spawn_blocking(move || {
        for process in apps.iter_mut().flat_map(AppStatus::processes_mut) {
            let usage = usage::of(process.os_pid).ok();
            process.memory_bytes = usage.map(|usage| usage.memory);
            process.cpu_seconds = usage.map(|usage| usage.cpu.as_secs_f64());
        }
        apps
    });
    reading.await.unwrap_or_else(|error| {
        tracing::error!(%error, "measuring the processes broke");
        vec![]
    })
}
