//! What processes take of the machine, and what the kernel holds them to, for `status`. `apps` and `deploy`
//! ask for it; the app's own loop, which serves, does not read `/proc`.

use std::collections::HashMap;

use tokio::task::spawn_blocking;

use super::status::{AppStatus, HelperStatus, Sandbox};
use crate::sys::{
    confines::{self, Confines},
    usage::{self, Usage},
};

/// What one process takes; `None` where that can't be read.
struct Taken {
    usage: Option<Usage>,
    open_files: Option<u64>,
    confines: Option<Confines>,
}

type ByPid = HashMap<u32, Taken>;

/// Fills in memory, CPU time, users and open files. Where that breaks, the apps are shown without.
pub(super) async fn measured(mut apps: Vec<AppStatus>) -> Vec<AppStatus> {
    let mut os_pids: Vec<u32> = vec![];
    for app in &mut apps {
        os_pids.extend(app.processes_mut().map(|process| process.os_pid));
        os_pids.extend(app.brokers_mut().map(|broker| broker.os_pid));
    }
    let taken = take(os_pids).await;
    apps.iter_mut().for_each(|app| fill_in(app, &taken));
    apps
}

/// The same, for those that are of no app.
pub(super) async fn measured_helpers(mut helpers: Vec<HelperStatus>) -> Vec<HelperStatus> {
    let taken = take(helpers.iter().map(|helper| helper.os_pid).collect()).await;
    helpers.iter_mut().for_each(|helper| fill_in_helper(helper, &taken));
    helpers
}

/// A few small reads for each process, on a thread of its own: with hundreds of processes that takes
/// milliseconds.
async fn take(os_pids: Vec<u32>) -> ByPid {
    let reading = spawn_blocking(move || {
        let taken = |os_pid| Taken {
            usage: usage::of(os_pid).ok(),
            open_files: usage::open_files(os_pid).ok(),
            confines: confines::of(os_pid).ok(),
        };
        os_pids.into_iter().map(|os_pid| (os_pid, taken(os_pid))).collect()
    });
    reading.await.unwrap_or_else(|error| {
        tracing::error!(%error, "measuring the processes broke");
        HashMap::new()
    })
}

/// The kernel's word instead of the process's own, which is from before it knew its app.
fn correct(sandbox: &mut Option<Sandbox>, taken: Option<&Taken>) {
    if let (Some(sandbox), Some(confines)) = (sandbox, taken.and_then(|taken| taken.confines)) {
        sandbox.user = confines.user;
        sandbox.report.limits.files = confines.open_files;
    }
}

fn fill_in_helper(helper: &mut HelperStatus, taken: &ByPid) {
    let its = taken.get(&helper.os_pid);
    let usage = its.and_then(|taken| taken.usage);
    helper.memory_bytes = usage.map(|usage| usage.memory);
    helper.cpu_seconds = usage.map(|usage| usage.cpu.as_secs_f64());
    correct(&mut helper.sandbox, its);
}

fn fill_in(app: &mut AppStatus, taken: &ByPid) {
    let (mut memory, mut files) = (vec![], vec![]);
    let mut note = |os_pid: u32, bytes: Option<u64>| {
        memory.extend(bytes);
        files.extend(taken.get(&os_pid).and_then(|taken| taken.open_files));
    };
    for process in app.processes_mut() {
        let its = taken.get(&process.os_pid);
        let usage = its.and_then(|taken| taken.usage);
        process.memory_bytes = usage.map(|usage| usage.memory);
        process.cpu_seconds = usage.map(|usage| usage.cpu.as_secs_f64());
        correct(&mut process.sandbox, its);
        note(process.os_pid, process.memory_bytes);
    }
    for broker in app.brokers_mut() {
        fill_in_helper(broker, taken);
        note(broker.os_pid, broker.memory_bytes);
    }
    let sum = memory.iter().fold(0u64, |sum, bytes| sum.saturating_add(*bytes));
    for limit in &mut app.limits {
        match limit.key.as_str() {
            "process-memory" => limit.used = memory.iter().max().copied(),
            "app-memory" => limit.used = Some(sum),
            "open-files" => limit.used = files.iter().max().copied(),
            _ => {}
        }
    }
}
