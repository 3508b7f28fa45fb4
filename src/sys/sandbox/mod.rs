//! The room that a child shuts itself into, first thing in `main`, before it has a thread, a runtime or a
//! byte of a guest's.
//!
//! ```text
//!   master: a Profile -> spawn: new namespaces at the clone -> child: enter()
//!       rlimits -> an empty root -> its tenant's user, where it is not -> no new privileges -> Landlock -> no capabilities -> seccomp
//! ```
//!
//! Assume that a guest has escaped wasmtime and owns its process: what it then finds is decided here. Each
//! part holds by itself where another one can't be had on this machine, which a trial finds out. A child that
//! lacks more than the trial did ends. What can't be had is in the [`Report`], which the child sends to the
//! master.
//!
//! `main` calls [`enter`]; `spawn` hands the profile over. Which role gets what is decided in `master`.

#[cfg(debug_assertions)]
pub mod drill;
pub(super) mod hand;
mod idmap;
mod landlock;
mod limits;
mod mounts;
mod namespaces;
mod privileges;
mod profile;
mod report;
mod seccomp;
pub(super) mod signals;
mod tree;

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use anyhow::{Context as _, bail};
use nix::libc;

pub use self::{
    limits::PROCESSES,
    namespaces::Namespaces,
    profile::{At, Folder, Handed, Isolation, Listener, Network, Profile, Room, User},
    report::{MAX_PARTS, Missing, Part, Report},
};
use super::{inherit, limits::machine_memory, memfd, misbehave, point, usage};

/// The most bytes of a profile.
const MAX_PROFILE: u64 = 1 << 20;

/// What holds in this process.
struct Entered {
    report: Report,
    /// Where folders are now, by where they were.
    places: Vec<(PathBuf, PathBuf)>,
}

static ENTERED: OnceLock<Entered> = OnceLock::new();

/// Shuts this process in, where it was started to be.
///
/// # Errors
/// The profile can't be read; something can't be had, and it is strict or the trial had it.
pub fn enter() -> anyhow::Result<()> {
    let Ok(fd) = inherit::take(inherit::SANDBOX_FD) else { return Ok(()) };
    // Else it is something that a shell left open.
    if !memfd::is_sealed(&fd)? {
        return Ok(());
    }
    let (mut packet, mut file) = (vec![], File::from(fd));
    // The master wrote it through the same open file.
    file.rewind()?;
    file.take(MAX_PROFILE).read_to_end(&mut packet)?;
    let profile: Profile = postcard::from_bytes(&packet).context("the sandbox's profile is garbage")?;
    let entered = apply(&profile)?;
    let missing = &entered.report.missing;
    if profile.isolation == Isolation::Strict && !missing.is_empty() {
        bail!("cannot start with isolation = \"strict\": {}", report::list(missing));
    }
    let lost: Vec<Missing> = missing.iter().filter(|one| !profile.may_lack(one.part)).copied().collect();
    if !lost.is_empty() {
        bail!("cannot shut this process in as the others are: {}", report::names(&lost));
    }
    let _ = ENTERED.set(entered);
    Ok(())
}

/// What holds here. `None` where the process has not shut itself in.
pub fn report() -> Option<&'static Report> {
    ENTERED.get().map(|entered| &entered.report)
}

/// Says what holds here to a master that waits for it on the pipe, once all is set. (Agents and workers say it
/// on their control sockets.)
pub fn tell() {
    let Ok(pipe) = inherit::take(inherit::REPORT_FD) else { return };
    if let Some(packet) = report().and_then(|report| postcard::to_stdvec(report).ok()) {
        // A master that is gone has other worries, and without a report the process is shown without one.
        let _ = File::from(pipe).write_all(&packet);
    }
}

/// Where a folder or file of the profile is now; the same path where nothing has moved.
#[must_use]
pub fn place(path: &Path) -> PathBuf {
    let places = ENTERED.get().map(|entered| entered.places.as_slice()).unwrap_or_default();
    // The nearest counts.
    let inside = places.iter().filter_map(|(from, to)| Some((from, to, path.strip_prefix(from).ok()?)));
    match inside.max_by_key(|(from, ..)| from.as_os_str().len()) {
        Some((_, to, rest)) if rest.as_os_str().is_empty() => to.clone(),
        Some((_, to, rest)) => to.join(rest),
        None => path.to_owned(),
    }
}

/// The folder in which each of this process's fds has a name.
#[must_use]
pub fn fds() -> &'static Path {
    let moved = report().is_some_and(|report| report.in_force.contains(&Part::EmptyRoot));
    Path::new(if moved { mounts::FDS } else { "/proc/self/fd" })
}

/// The tenant's, where the process is not that already.
fn become_user(profile: &Profile) -> io::Result<()> {
    match profile.runs_as {
        User::Master => Err(io::Error::from_raw_os_error(libc::EPERM)),
        // Its root is the tenant.
        User::Tenant { .. } if profile.namespaces.user() => Ok(()),
        User::Tenant { uid, gid } => privileges::become_user(uid, gid),
    }
}

fn apply(profile: &Profile) -> anyhow::Result<Entered> {
    let mut report = Report::default();
    // What is not there any more in a moment.
    usage::keep_open();
    let _ = machine_memory();
    point::keep();
    misbehave::keep();
    namespaces::note(profile, &mut report);
    if profile.namespaces.pid() {
        signals::end_by_code();
    }
    let limits = limits::set(profile).map(|limits| report.limits = limits);
    report.note(Part::ResourceLimits, limits);
    let places = match mounts::enter(profile) {
        Ok(places) => {
            report.note(Part::EmptyRoot, Ok(()));
            places
        }
        // With the path that it was about.
        Err(error) if !profile.may_lack(Part::EmptyRoot) => {
            return Err(error).context("cannot shut this process in: no empty root");
        }
        Err(error) => {
            report.note(Part::EmptyRoot, Err(error));
            vec![]
        }
    };
    if let User::Tenant { .. } = profile.user {
        report.note(Part::OwnUser, become_user(profile));
    }
    if profile::is_left_out() {
        for part in
            [Part::NoNewPrivileges, Part::Landlock, Part::NoCapabilities, Part::NotDumpable, Part::Seccomp]
        {
            report.note(part, Err(io::Error::from_raw_os_error(libc::ENOSYS)));
        }
        return Ok(Entered { report, places });
    }
    report.note(Part::NoNewPrivileges, privileges::no_new());
    let landlock = landlock::restrict(profile, &places).map(|abi| report.landlock_abi = abi);
    report.note(Part::Landlock, landlock);
    report.note(Part::NoCapabilities, privileges::drop_all());
    report.note(Part::NotDumpable, privileges::not_dumpable());
    #[cfg(debug_assertions)]
    drill::run(profile);
    report.note(Part::Seccomp, seccomp::install(profile));
    Ok(Entered { report, places })
}
