//! A child that does what no child of ours does, in builds for tests only: sends raw bytes, and fds, on its
//! control socket, takes memory, or writes to its log past the host's own lines, when a file says so.
//!
//! `sandbox` has it kept while files can be opened, and `child` and `broker` begin it; the tests write the file.
//! Its line is one of these, after the child's OS pid:
//!
//! ```text
//!   FDS TIMES HEX    so many fds with each write of these bytes
//!   log TIMES HEX    these bytes so many times, on its standard error
//!   grow MIB         memory that is kept
//! ```
//!
//! Another file has what a storekeeper is to say in place of the truth (`storekeeper::liar`).

/// The variable that names the file.
pub const VARIABLE: &str = "HATCHERY_TEST_MISBEHAVE";

/// The variable that names the file with a lie.
pub const LIE: &str = "HATCHERY_TEST_LIE";

#[cfg(debug_assertions)]
mod tests_only {
    use std::{
        fs::{self, File},
        io::{self, IoSlice, Write as _},
        os::{
            fd::{AsFd, AsRawFd as _, OwnedFd},
            unix::fs::FileExt as _,
        },
        sync::OnceLock,
        thread,
        time::Duration,
    };

    use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

    /// How often the file is looked at.
    const LOOK: Duration = Duration::from_millis(20);

    /// The file, and this process as the host knows it.
    static KEPT: OnceLock<Option<(File, u32)>> = OnceLock::new();

    /// What a storekeeper is to say.
    static LIE: OnceLock<Option<String>> = OnceLock::new();

    /// What this process is to say in place of the truth, if it is to.
    pub fn lie() -> Option<&'static str> {
        LIE.get()?.as_deref()
    }

    /// To be called in a child, as long as it can open files.
    pub fn keep() {
        LIE.get_or_init(|| {
            let text = fs::read_to_string(std::env::var_os(super::LIE)?).ok()?;
            Some(text.trim().to_owned())
        });
        KEPT.get_or_init(|| {
            let file = File::open(std::env::var_os(super::VARIABLE)?).ok()?;
            // In a pid namespace of its own it has another number.
            let own = fs::read_link("/proc/self").ok()?.to_str()?.parse().ok()?;
            Some((file, own))
        });
    }

    /// Waits on a thread of its own for what the file says to this process, and does it once.
    pub fn watch(control: OwnedFd) {
        keep();
        let Some(Some((file, own))) = KEPT.get() else { return };
        thread::spawn(move || {
            loop {
                thread::sleep(LOOK);
                if let Some(order) = wanted(file, *own) {
                    return order.carry_out(&control);
                }
            }
        });
    }

    /// What is to be done.
    enum Order {
        Send { fds: usize, times: usize, bytes: Vec<u8> },
        Log { times: usize, bytes: Vec<u8> },
        Grow { mib: usize },
    }

    impl Order {
        fn carry_out(self, control: &OwnedFd) {
            match self {
                // The master may have had enough.
                Self::Send { fds, times, bytes } => {
                    let _ = (0..times).try_for_each(|_| send(control, &bytes, fds));
                }
                Self::Log { times, bytes } => {
                    let _ = (0..times).try_for_each(|_| io::stderr().write_all(&bytes));
                }
                Self::Grow { mib } => std::mem::forget(vec![1u8; mib << 20]),
            }
        }
    }

    fn wanted(file: &File, own: u32) -> Option<Order> {
        let mut buf = vec![0; usize::try_from(file.metadata().ok()?.len()).ok()?];
        file.read_exact_at(&mut buf, 0).ok()?;
        let text = std::str::from_utf8(&buf).ok()?;
        // A line that is not whole yet is none.
        let (line, _) = text.split_once('\n')?;
        let mut words = line.split(' ');
        if words.next()?.parse() != Ok(own) {
            return None;
        }
        let (first, second) = (words.next()?, words.next()?.parse().ok()?);
        if first == "grow" {
            return Some(Order::Grow { mib: second });
        }
        let hex = words.next()?;
        let bytes = (0..hex.len() / 2).map(|at| u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok());
        let bytes: Vec<u8> = bytes.collect::<Option<_>>()?;
        Some(match first {
            "log" => Order::Log { times: second, bytes },
            fds => Order::Send { fds: fds.parse().ok()?, times: second, bytes },
        })
    }

    /// Writes all of these bytes, and with the first of them so many copies of the socket itself.
    ///
    /// # Errors
    /// The system's own.
    pub fn send(socket: impl AsFd, bytes: &[u8], fds: usize) -> io::Result<()> {
        let raw = socket.as_fd().as_raw_fd();
        let all = vec![raw; fds];
        let rights = [ControlMessage::ScmRights(&all)];
        let mut control = if fds == 0 { &[][..] } else { &rights[..] };
        let mut rest = bytes;
        while !rest.is_empty() {
            match sendmsg::<()>(raw, &[IoSlice::new(rest)], control, MsgFlags::MSG_NOSIGNAL, None) {
                Ok(sent) => {
                    rest = &rest[sent..];
                    control = &[];
                }
                Err(nix::errno::Errno::EAGAIN) => thread::sleep(Duration::from_millis(1)),
                Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

#[cfg(debug_assertions)]
pub use tests_only::{keep, lie, send, watch};

/// Nothing, in a build in which nothing is to happen.
#[cfg(not(debug_assertions))]
pub fn keep() {}

/// Nothing, in such a build.
#[cfg(not(debug_assertions))]
pub fn watch(_control: std::os::fd::OwnedFd) {}
