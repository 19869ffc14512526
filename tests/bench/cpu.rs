//! CPU time that threads and processes have used, from `/proc`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::time::TimeValLike;

/// A clock tick in `/proc/PID/stat`: `USER_HZ`, which Linux keeps at 100 for programs.
const TICK: Duration = Duration::from_millis(10);

/// Of the calling thread.
pub fn thread() -> Duration {
    of_task(Path::new("/proc/thread-self"))
}

/// Of all threads of this process, also those that have ended.
pub fn this_process() -> Duration {
    use nix::sys::resource::{UsageWho, getrusage};
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return Duration::ZERO };
    let of = |time: nix::sys::time::TimeVal| Duration::from_micros(u64::try_from(time.num_microseconds()).unwrap_or(0));
    of(usage.user_time()) + of(usage.system_time())
}

/// Of all living threads of a process.
pub fn process(pid: u32) -> Duration {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Duration::ZERO };
    tasks.flatten().map(|task| of_task(&task.path())).sum()
}

/// How long all threads of a process were ready to run while others had the cores, in seconds; nothing where the
/// scheduler does not count that.
pub fn waited(pid: u32) -> f64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0.0 };
    let of_task = |task: &Path| {
        let text = fs::read_to_string(task.join("schedstat")).ok()?;
        text.split(' ').nth(1)?.parse::<f64>().ok()
    };
    tasks.flatten().filter_map(|task| of_task(&task.path())).sum::<f64>() / 1e9
}

/// The scheduler's count if there is one, in nanoseconds; else ticks.
fn of_task(task: &Path) -> Duration {
    let read = |name: &str| fs::read_to_string(task.join(name)).ok();
    let exact = read("schedstat").and_then(|text| text.split(' ').next()?.parse().ok());
    match exact {
        Some(0) | None => read("stat").and_then(|text| ticks(&text)).unwrap_or_default(),
        Some(nanoseconds) => Duration::from_nanos(nanoseconds),
    }
}

/// User and system time: fields 14 and 15, of which the second is in parentheses and may have spaces.
fn ticks(stat: &str) -> Option<Duration> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u32>().ok();
    Some(TICK * (field(14)? + field(15)?))
}
