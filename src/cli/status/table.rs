//! The table of `hatchery status`: for each app a line, and below it one for each process. Pure.
//!
//! What guests and manifests say (versions, reasons) is made harmless for a terminal.

use bytesize::ByteSize;

use super::{
    denied::denied,
    style::{Style, Tone},
};
use crate::{
    cluster::{Role, State},
    log::printable,
    master::{
        AppStatus, BrokerStatus, GenerationState, GenerationStatus, Helper, HelperStatus, ProcessStatus,
        SlotStatus,
    },
};

const COLUMNS: usize = 14;

/// `BUSY`: requests in flight. `IN` and `OUT`: messages to the process and from it.
const HEADS: [&str; COLUMNS] = [
    "PROCESS", "GEN", "PID", "OS PID", "STATE", "UP", "REQS", "BUSY", "IN", "OUT", "DROP", "MEM", "CPU",
    "RESTARTS",
];

/// Words are to the left, numbers to the right. The last one is as wide as it likes.
const WORDS: [usize; 4] = [0, 1, 4, COLUMNS - 1];

/// What is not known, or has no meaning there.
const NONE: &str = "-";

struct Row {
    tone: Tone,
    cells: [String; COLUMNS],
}

/// The whole table; columns are as wide as what is in them, in all apps.
pub(super) fn render(apps: &[AppStatus], style: Style) -> String {
    let apps: Vec<(String, Vec<Row>, String)> =
        apps.iter().map(|app| (headline(app), rows(app), denied(app, style))).collect();
    let all = || apps.iter().flat_map(|(_, rows, _)| rows);
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| {
        all().map(|row| row.cells[column].chars().count()).chain([HEADS[column].len()]).max().unwrap_or(0)
    });
    let heads = line(&HEADS, &widths);
    let mut text = String::new();
    for (index, (headline, rows, denied)) in apps.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        text += &style.line(Tone::Head, headline);
        text += &style.line(Tone::Plain, &heads);
        for row in rows {
            text += &style.line(row.tone, &line(&row.cells.each_ref().map(String::as_str), &widths));
        }
        text += denied;
    }
    text
}

fn line(cells: &[&str; COLUMNS], widths: &[usize; COLUMNS]) -> String {
    let mut line = String::from(" ");
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let width = *width;
        line += if column == 0 { " " } else { "  " };
        line += &if WORDS.contains(&column) { format!("{cell:<width$}") } else { format!("{cell:>width$}") };
    }
    line.truncate(line.trim_end().len());
    line
}

fn headline(app: &AppStatus) -> String {
    let AppStatus { name, generation, address, traffic, dropped, .. } = app;
    let version = one_line(&app.version);
    let address = address.map_or_else(|| "no address".to_owned(), |address| address.to_string());
    let p99 = traffic.p99_ms.map_or_else(|| NONE.to_owned(), millis);
    format!(
        "{name} {version}  generation {generation}  {address}  requests {}  in flight {}  errors {}  \
         traps {}  p99 {p99}  dropped {}",
        count(traffic.requests),
        count(traffic.in_flight),
        count(traffic.errors),
        count(traffic.traps),
        count(*dropped),
    )
}

fn rows(app: &AppStatus) -> Vec<Row> {
    let of = |generation: &GenerationStatus| -> Vec<Row> {
        let slots = generation.slots.iter().flat_map(|slot| of_slot(generation, slot));
        slots.chain(generation.broker.iter().map(|broker| of_broker(generation, broker))).collect()
    };
    app.generations.iter().flat_map(of).collect()
}

/// `REQS` are the connections that it was asked for, `BUSY` those that are neither there nor refused yet.
fn of_broker(generation: &GenerationStatus, broker: &BrokerStatus) -> Row {
    let process = broker.process.as_ref();
    let state = match process {
        _ if broker.failing => "failing",
        Some(process) => word(process.state),
        None => "waiting",
    };
    let of = |what: fn(&HelperStatus) -> Option<String>| process.and_then(what).unwrap_or(NONE.to_owned());
    let none = || NONE.to_owned();
    let cells = [
        Helper::Broker.to_string(),
        number(generation),
        none(),
        of(|process| Some(process.os_pid.to_string())),
        state.to_owned(),
        of(|process| Some(time(process.uptime_seconds))),
        count(broker.asked),
        count(broker.dialing),
        none(),
        none(),
        none(),
        of(|process| process.memory_bytes.map(size)),
        of(|process| process.cpu_seconds.map(cpu)),
        restarts(broker.restarts, broker.last_exit.as_deref()),
    ];
    Row { tone: if broker.failing { Tone::Alarm } else { Tone::Plain }, cells }
}

/// How many, and why the last one was due.
fn restarts(number: u64, last_exit: Option<&str>) -> String {
    match last_exit {
        Some(reason) => format!("{number}: {}", one_line(reason)),
        None => number.to_string(),
    }
}

fn number(generation: &GenerationStatus) -> String {
    match generation.state {
        GenerationState::Serving => generation.generation.to_string(),
        GenerationState::Coming => format!("{} coming", generation.generation),
        GenerationState::Draining => format!("{} draining", generation.generation),
        GenerationState::Canary => format!("{} canary", generation.generation),
    }
}

/// Who does the work, with what happened in this slot; then those that come and go.
fn of_slot(generation: &GenerationStatus, slot: &SlotStatus) -> Vec<Row> {
    let tone = if slot.failing { Tone::Alarm } else { Tone::Plain };
    let restarts = restarts(slot.restarts, slot.last_exit.as_deref());
    let state = match &slot.process {
        _ if slot.failing => "failing",
        Some(process) => word(process.state),
        None => "waiting",
    };
    let first =
        Row { tone, cells: cells(generation, slot, slot.process.as_ref(), [state.to_owned(), restarts]) };
    let others = slot.others.iter().map(|process| {
        let ends = [word(process.state).to_owned(), String::new()];
        Row { tone: Tone::Plain, cells: cells(generation, slot, Some(process), ends) }
    });
    [first].into_iter().chain(others).collect()
}

fn cells(
    generation: &GenerationStatus,
    slot: &SlotStatus,
    process: Option<&ProcessStatus>,
    [state, restarts]: [String; 2],
) -> [String; COLUMNS] {
    let name = match slot.role {
        Role::Agent => "agent".to_owned(),
        Role::Worker => format!("worker {}", slot.slot),
    };
    let of = |what: fn(&ProcessStatus) -> String| process.map_or_else(|| NONE.to_owned(), what);
    [
        name,
        number(generation),
        of(|process| process.pid.to_string()),
        of(|process| process.os_pid.to_string()),
        state,
        of(|process| time(process.uptime_seconds)),
        of(|process| count(process.traffic.requests)),
        of(|process| count(process.traffic.in_flight)),
        of(|process| count(process.sent)),
        of(|process| count(process.received)),
        of(|process| count(process.dropped)),
        of(|process| process.memory_bytes.map_or_else(|| NONE.to_owned(), size)),
        of(|process| process.cpu_seconds.map_or_else(|| NONE.to_owned(), cpu)),
        restarts,
    ]
}

fn word(state: State) -> &'static str {
    match state {
        State::Starting => "starting",
        State::Ready => "ready",
        State::Draining => "draining",
    }
}

/// Of what others say, the first line, harmless.
fn one_line(text: &str) -> String {
    printable(text.trim().lines().next().unwrap_or_default()).replace('\t', " ")
}

/// Five digits at most; JSON has them all.
fn count(number: u64) -> String {
    const UNITS: [&str; 6] = ["k", "M", "G", "T", "P", "E"];
    if number < 100_000 {
        return number.to_string();
    }
    let (mut rest, mut unit) = (number as f64 / 1000.0, 0);
    while rest >= 999.5 && unit + 1 < UNITS.len() {
        rest /= 1000.0;
        unit += 1;
    }
    format!("{}{}", three_digits(rest), UNITS[unit])
}

fn three_digits(number: f64) -> String {
    let decimals = if number < 9.995 {
        2
    } else if number < 99.95 {
        1
    } else {
        0
    };
    format!("{number:.decimals$}")
}

fn millis(ms: f64) -> String {
    if ms < 999.5 { format!("{}ms", three_digits(ms)) } else { format!("{}s", three_digits(ms / 1000.0)) }
}

/// The two largest units.
fn time(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, ..) => format!("{hours}h{:02}m", minutes % 60),
        (..) => format!("{days}d{:02}h", hours % 24),
    }
}

fn cpu(seconds: f64) -> String {
    if seconds < 59.95 { format!("{seconds:.1}s") } else { time(seconds as u64) }
}

fn size(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec_short().to_string()
}

#[cfg(test)]
pub(super) mod tests;
