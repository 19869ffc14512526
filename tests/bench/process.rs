//! What the system says of processes and their connections.

use std::fs;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Failure;

/// A line of `/proc/PID/status` that counts memory, in MB.
pub fn megabytes(pid: u32, field: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kibibytes: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024.0 / 1e6)
}

/// The same as text.
pub fn memory(pid: u32, field: &str) -> String {
    megabytes(pid, field).map_or("?".to_owned(), |megabytes| format!("{megabytes:.1}"))
}

/// Stops a process, or lets it go on.
pub fn signal(pid: u32, signal: Signal) -> Result<(), Failure> {
    Ok(kill(Pid::from_raw(i32::try_from(pid)?), signal)?)
}

/// Bytes that TCP has sent on the connections of this machine to a local port, as `ss` has it; sent again by TCP counts
/// again.
pub fn bytes_sent_to(port: u16) -> Result<u64, Failure> {
    let filter = format!("( dport = :{port} )");
    let output = Command::new("ss").args(["-tinH", "state", "established", &filter]).output();
    let output = output.map_err(|e| format!("ss, which counts bytes, cannot be run: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let counts = text.split_whitespace().filter_map(|word| word.strip_prefix("bytes_sent:"));
    Ok(counts.filter_map(|count| count.parse::<u64>().ok()).sum())
}
