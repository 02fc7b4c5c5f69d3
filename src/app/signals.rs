//! Signals: SIGTERM and SIGINT stop, SIGHUP reloads. A second stop does not wait any longer.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

use super::reload::Reloader;

/// The signals of this process.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Takes the signals over from the system's defaults.
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Returns when the process is to stop; reloads meanwhile.
    pub(super) async fn until_stop(&mut self, reloader: &Arc<Reloader>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {
                    let reloader = Arc::clone(reloader);
                    // Reads the disk; what is wrong has been logged.
                    drop(actix_web::web::block(move || drop(reloader.reload("signal"))).await);
                }
            }
        }
    }

    /// Waits this long, or until somebody asks a second time.
    pub(super) async fn wait_or_second(&mut self, delay: Duration) {
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            _ = self.terminate.recv() => info!("asked to stop again: not waiting any longer"),
            _ = self.interrupt.recv() => info!("asked to stop again: not waiting any longer"),
        }
    }
}
