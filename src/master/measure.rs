//! What the processes of apps take of the machine, for `status`. `apps` asks for it; the app's own loop,
//! which serves, does not read `/proc`.

use std::collections::HashMap;

use tokio::task::spawn_blocking;

use super::status::{AppStatus, ProcessStatus};
use crate::sys::usage::{self, Usage};

/// What one process takes; `None` where that can't be read.
struct Taken {
    usage: Option<Usage>,
    open_files: Option<u64>,
}

/// Fills in memory, CPU time and open files. A few small reads for each process, on a thread of its own:
/// with hundreds of processes that takes milliseconds. Where that breaks, the apps are shown without.
pub(super) async fn measured(mut apps: Vec<AppStatus>) -> Vec<AppStatus> {
    let os_pids: Vec<u32> =
        apps.iter_mut().flat_map(AppStatus::processes_mut).map(|process| process.os_pid).collect();
    let reading = spawn_blocking(move || {
        let taken =
            |os_pid| Taken { usage: usage::of(os_pid).ok(), open_files: usage::open_files(os_pid).ok() };
        os_pids.into_iter().map(|os_pid| (os_pid, taken(os_pid))).collect::<HashMap<_, _>>()
    });
    let taken = reading.await.unwrap_or_else(|error| {
        tracing::error!(%error, "measuring the processes broke");
        HashMap::new()
    });
    apps.iter_mut().for_each(|app| fill_in(app, &taken));
    apps
}

fn fill_in(app: &mut AppStatus, taken: &HashMap<u32, Taken>) {
    for process in app.processes_mut() {
        let usage = taken.get(&process.os_pid).and_then(|taken| taken.usage);
        process.memory_bytes = usage.map(|usage| usage.memory);
        process.cpu_seconds = usage.map(|usage| usage.cpu.as_secs_f64());
    }
    let processes: Vec<&ProcessStatus> = app.processes_mut().map(|process| &*process).collect();
    let memory = || processes.iter().filter_map(|process| process.memory_bytes);
    let (largest, sum) = (memory().max(), memory().sum());
    let files = processes.iter().filter_map(|process| taken.get(&process.os_pid)?.open_files).max();
    for limit in &mut app.limits {
        match limit.key.as_str() {
            "process-memory" => limit.used = largest,
            "app-memory" => limit.used = Some(sum),
            "open-files" => limit.used = files,
            _ => {}
        }
    }
}
