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
        apps.iter_mut().for_each(fill_in);
        apps
    });
    reading.await.unwrap_or_else(|error| {
        tracing::error!(%error, "measuring the processes broke");
        vec![]
    })
}

/// What the processes take of the limits that only the system knows.
fn fill_in(app: &mut AppStatus) {
    let processes: Vec<_> =
        app.processes_mut().map(|process| (process.os_pid, process.memory_bytes)).collect();
    let memory = || processes.iter().filter_map(|(_, memory)| *memory);
    for limit in &mut app.limits {
        match limit.key.as_str() {
            "process-memory" => limit.used = memory().max(),
            "app-memory" => limit.used = Some(memory().sum()),
            "open-files" => {
                limit.used = processes.iter().filter_map(|(os_pid, _)| usage::open_files(*os_pid).ok()).max();
            }
            _ => {}
        }
    }
}
