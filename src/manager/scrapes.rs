//! Where programs connect that read the metrics.

use crate::config::{Config, MetricsListen};
use crate::net::listener::{self, ListenError};
use crate::net::scrapes::ScrapeListener;

/// What may use the socket: as the admin socket.
const MODE: u32 = 0o660;

/// What the config says.
pub(super) fn scrapes(config: &Config) -> Result<Option<ScrapeListener>, ListenError> {
    Ok(match &config.metrics_listen {
        None => None,
        Some(MetricsListen::Unix(path)) => Some(ScrapeListener::Unix(listener::unix(path, MODE, false)?)),
        Some(MetricsListen::Tcp(address)) => Some(ScrapeListener::Tcp(listener::tcp_for_metrics(*address)?)),
    })
}
