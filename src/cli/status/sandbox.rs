//! The table of `hatchery status --sandbox`: a line for each process of whatever kind, with what it is shut
//! into. Pure.

use bytesize::ByteSize;

use crate::{
    cluster::Role,
    master::{AppStatus, HelperStatus, Sandbox},
    sys::sandbox::Part,
};

const COLUMNS: usize = 12;

const HEADS: [&str; COLUMNS] = [
    "PROCESS",
    "OS PID",
    "UID",
    "NAMESPACES",
    "ROOT",
    "LANDLOCK",
    "SECCOMP",
    "CAPS",
    "NO NEW PRIVS",
    "DUMPABLE",
    "FILES/PROCS",
    "CGROUP",
];

/// What does not hold.
const NO: &str = "-";

/// The whole table, and below it what is missing. Helpers are those that are not of an app's generation.
pub(super) fn render(apps: &[AppStatus], helpers: &[HelperStatus]) -> String {
    let mut rows: Vec<[String; COLUMNS]> = vec![HEADS.map(str::to_owned)];
    let mut missing: Vec<String> = vec![];
    let mut add = |part: &str, os_pid: u32, sandbox: Option<&Sandbox>| {
        let lacks = sandbox.and_then(|sandbox| sandbox.report.lacks());
        missing.extend(lacks.map(|lacks| format!("{part} lacks: {lacks}\n")));
        rows.push(row(part, os_pid, sandbox));
    };
    for app in apps {
        for generation in &app.generations {
            for slot in &generation.slots {
                let part = match slot.role {
                    Role::Agent => format!("{} agent", app.name),
                    Role::Worker => format!("{} worker {}", app.name, slot.slot),
                };
                for process in slot.process.iter().chain(&slot.others) {
                    add(&part, process.os_pid, process.sandbox.as_ref());
                }
            }
            if let Some(broker) = generation.broker.as_ref().and_then(|broker| broker.process.as_ref()) {
                add(&name(broker), broker.os_pid, broker.sandbox.as_ref());
            }
        }
    }
    for helper in helpers {
        add(&name(helper), helper.os_pid, helper.sandbox.as_ref());
    }
    missing.dedup();
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    });
    let line = |row: [String; COLUMNS]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.into_iter().map(line).chain(missing).collect()
}

fn name(helper: &HelperStatus) -> String {
    match &helper.app {
        Some(app) => format!("{app} {}", helper.role),
        None => helper.role.to_string(),
    }
}

fn row(part: &str, os_pid: u32, sandbox: Option<&Sandbox>) -> [String; COLUMNS] {
    let (part, os_pid) = (part.to_owned(), os_pid.to_string());
    let Some(Sandbox { report, user, cgroup_bytes }) = sandbox else {
        let mut row = std::array::from_fn(|_| "?".to_owned());
        (row[0], row[1]) = (part, os_pid);
        return row;
    };
    let holds = |part| report.in_force.contains(&part);
    let word = |part, word: &str| if holds(part) { word.to_owned() } else { NO.to_owned() };
    let namespaces = [
        (Part::UserNamespace, "user"),
        (Part::MountNamespace, "mnt"),
        (Part::PidNamespace, "pid"),
        (Part::NetNamespace, "net"),
        (Part::IpcNamespace, "ipc"),
        (Part::UtsNamespace, "uts"),
        (Part::CgroupNamespace, "cgroup"),
    ];
    let namespaces: Vec<&str> =
        namespaces.into_iter().filter(|(part, _)| holds(*part)).map(|(_, name)| name).collect();
    let landlock = if holds(Part::Landlock) { format!("ABI {}", report.landlock_abi) } else { NO.to_owned() };
    let processes = report.limits.processes.map_or_else(|| NO.to_owned(), |most| most.to_string());
    [
        part,
        os_pid,
        user.to_string(),
        if namespaces.is_empty() { NO.to_owned() } else { namespaces.join(",") },
        word(Part::EmptyRoot, "empty"),
        landlock,
        word(Part::Seccomp, "list"),
        word(Part::NoCapabilities, "none"),
        word(Part::NoNewPrivileges, "yes"),
        if holds(Part::NotDumpable) { "no".to_owned() } else { "yes".to_owned() },
        format!("{}/{processes}", report.limits.files),
        cgroup_bytes
            .map_or_else(|| NO.to_owned(), |bytes| ByteSize::b(bytes).display().iec_short().to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        master::{Helper, ProcessStatus},
        sys::sandbox::{Missing, Report},
    };

    #[test]
    fn what_holds_and_what_does_not() {
        let mut app = super::super::table::tests::app("cache");
        let mut processes: Vec<&mut ProcessStatus> = app
            .generations
            .iter_mut()
            .flat_map(|generation| &mut generation.slots)
            .filter_map(|slot| slot.process.as_mut())
            .collect();
        let report = Report {
            in_force: vec![Part::UserNamespace, Part::PidNamespace, Part::Landlock],
            missing: vec![Missing { part: Part::Seccomp, errno: 1 }],
            landlock_abi: 7,
            ..Report::default()
        };
        processes[0].sandbox = Some(Sandbox { report, user: 1000, cgroup_bytes: Some(1 << 20) });
        app.generations[0].broker = Some(super::super::table::tests::broker());
        let broker = super::super::table::tests::broker().process.unwrap();
        let keeper = HelperStatus { role: Helper::Storekeeper, app: None, ..broker };
        let text = render(&[app], &[keeper]);
        let names: Vec<&str> = text.lines().map(|line| line.split("  ").next().unwrap_or_default()).collect();
        let named = ["PROCESS", "cache agent", "cache worker 0", "cache broker", "storekeeper"];
        assert_eq!(names[..5], named, "{text}");
        let line = text.lines().nth(1).unwrap();
        for word in ["1000  user,pid", "ABI 7", "0/-", "1.0M"] {
            assert!(line.contains(word), "{word}: {text}");
        }
        assert!(text.lines().nth(2).unwrap().contains('?'), "{text}");
        assert!(text.contains("lacks: no seccomp (Operation not permitted"), "{text}");
    }
}
