//! Tells a service manager such as systemd how the master is, over the socket that `NOTIFY_SOCKET` names
//! (sd_notify(3)). `serve` calls it. Without that variable nobody wants to know.

use std::{env, io, thread, time::Duration};

use sd_notify::NotifyState;
use tokio::{sync::oneshot, time::timeout};

/// The longest that it is waited for: a full socket blocks.
const TIMEOUT: Duration = Duration::from_secs(1);

/// What it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// What was deployed is back, or has failed; or a reload has ended.
    Ready,
    /// A reload begins.
    Reloading,
    /// The end begins.
    Stopping,
}

impl News {
    fn tell(self) -> io::Result<()> {
        match self {
            Self::Ready => sd_notify::notify(&[NotifyState::Ready]),
            // By the time systemd tells this reload from one before it.
            Self::Reloading => {
                sd_notify::notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?])
            }
            Self::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
        }
    }
}

/// Tells it. That it can't be told stops nothing.
pub(super) async fn tell(news: News) {
    if env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let (done, told) = oneshot::channel();
    // Not one of the runtime's threads: their end is waited for at the end, without a limit.
    let thread = thread::Builder::new().name("notify".to_owned()).spawn(move || {
        let _ = done.send(news.tell());
    });
    let failure = match (thread, timeout(TIMEOUT, told).await) {
        (Ok(_), Ok(Ok(Ok(())))) => return,
        (Err(error), _) | (Ok(_), Ok(Ok(Err(error)))) => error.to_string(),
        (Ok(_), Ok(Err(_)) | Err(_)) => format!("it took more than {}", humantime::format_duration(TIMEOUT)),
    };
    tracing::warn!(?news, "cannot tell the service manager ($NOTIFY_SOCKET): {failure}");
}
