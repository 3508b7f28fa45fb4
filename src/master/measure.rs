//! What the processes of apps take of the machine, for `status`. `apps` asks for it; the app's own loop,
//! which serves, does not read `/proc`.

use tokio::task::spawn_blocking;

use super::status::{AppStatus, ProcessStatus};
use crate::sys::usage;

/// Fills in memory and CPU time. One small read for each process, on a thread of its own: with hundreds of
/// processes that takes milliseconds. Where that breaks, the apps are shown without.
pub(super) async fn measured(mut apps: Vec<AppStatus>) -> Vec<AppStatus> {
    let os_pids: Vec<u32> = processes(&mut apps).map(|process| process.os_pid).collect();
    let reading = spawn_blocking(move || os_pids.into_iter().map(usage::of).collect::<Vec<_>>());
    let usages = reading.await.unwrap_or_else(|error| {
        tracing::error!(%error, "measuring the processes broke");
        vec![]
    });
    for (process, usage) in processes(&mut apps).zip(usages) {
        let usage = usage.ok();
        process.memory_bytes = usage.map(|usage| usage.memory);
        process.cpu_seconds = usage.map(|usage| usage.cpu.as_secs_f64());
    }
    apps
}

fn processes(apps: &mut [AppStatus]) -> impl Iterator<Item = &mut ProcessStatus> {
    apps.iter_mut().flat_map(AppStatus::processes_mut)
}
