//! The process's own logger, which can be started only once: hence one test in a process of its own.
#![cfg(feature = "daemon")]

use std::fs;
use std::path::Path;

use aioconnectors::config::{Config, LogLevel};
use aioconnectors::logger::{self, LogError, LogTarget};

#[test]
fn a_daemon_logs_to_its_folder_at_a_level_that_can_change() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("logs");
    let text = format!(r#"{{"default_logger_dirpath": {folder:?}, "default_logger_log_level": "WARNING"}}"#);
    let config = Config::parse(&text, Path::new("c.json")).unwrap().config;
    logger::init(&config, LogTarget::Daemon, None).unwrap();
    assert_eq!(logger::level(), LogLevel::Warning);

    log::info!(target: "aioconnectors::core", "below the level");
    log::warn!(target: "aioconnectors::core", "above the level");
    logger::set_level(LogLevel::Debug);
    log::debug!(target: "aioconnectors::core", "now above the level");
    log::info!(target: "rustls::conn", "of no interest");
    log::info!(target: logger::AUDIT, "who came in");

    let log = fs::read_to_string(logger::log_file(&config, LogTarget::Daemon).unwrap()).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 3, "{log}");
    assert!(lines[0].ends_with(" WARN ] above the level"), "{log}");
    assert!(lines[1].ends_with(" DEBUG] now above the level"), "{log}");
    assert!(lines[2].ends_with(" INFO ] audit: who came in"), "{log}");
    assert!(lines[0].starts_with("[20") && lines[0].split(' ').next().unwrap().ends_with('Z'), "{log}");

    assert!(matches!(logger::init(&config, LogTarget::Stderr, None), Err(LogError::AlreadyStarted)));
}
