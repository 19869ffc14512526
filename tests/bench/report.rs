//! What was measured, as a table and as JSON.

use serde_json::json;

/// Whose CPU time is shown, in the order of [`Repeat::cpu`].
const PARTS: [&str; 4] = ["sender", "client", "server", "counter"];

/// One measurement.
pub struct Repeat {
    pub seconds: f64,
    pub lost: u64,
    pub out_of_order: u64,
    /// CPU seconds of the sending app, the two connectors (the pump's two threads), the counting app.
    pub cpu: [f64; 4],
}

impl Repeat {
    pub fn is_whole(&self) -> bool {
        self.lost == 0 && self.out_of_order == 0
    }
}

/// All measurements of one kind of work.
pub struct Row {
    pub name: &'static str,
    /// Bytes of data in a message.
    pub size: usize,
    pub messages: u64,
    pub repeats: Vec<Repeat>,
}

impl Row {
    pub fn new(name: &'static str, size: usize, messages: u64) -> Self {
        Self { name, size, messages, repeats: Vec::new() }
    }

    fn rate(&self, repeat: &Repeat) -> f64 {
        (self.messages - repeat.lost) as f64 / repeat.seconds
    }

    /// The repeat in the middle, by rate.
    fn median(&self) -> Option<&Repeat> {
        let mut sorted: Vec<&Repeat> = self.repeats.iter().collect();
        sorted.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        sorted.get(sorted.len() / 2).copied()
    }

    fn lost(&self) -> u64 {
        self.repeats.iter().map(|r| r.lost).sum()
    }

    fn out_of_order(&self) -> u64 {
        self.repeats.iter().map(|r| r.out_of_order).sum()
    }

    /// One repeat in a line.
    pub fn describe(&self, repeat: &Repeat) -> String {
        let rate = self.rate(repeat);
        let megabytes = rate * self.size as f64 / 1e6;
        let cpu: Vec<String> = repeat.cpu.iter().map(|c| format!("{c:>8.2}")).collect();
        let each = repeat.cpu.iter().sum::<f64>() * 1e6 / self.messages as f64;
        format!("{:<18} {:>5} B {:>11.0} {megabytes:>8.1}  {} {each:>8.2}", self.name, self.size, rate, cpu.join(" "))
    }
}

/// The medians. MB are 10^6 bytes of data; headers and lengths, 80 to 100 bytes a message, are not counted. The CPU time
/// of all parts together, a message, is what to compare between machines that are not idle.
pub fn print(rows: &[Row]) {
    let parts: Vec<String> = PARTS.iter().map(|part| format!("{part:>8}")).collect();
    println!(
        "\nmedians of {} repeats; CPU in seconds of {} cores",
        rows.first().map_or(0, |r| r.repeats.len()),
        cores()
    );
    println!(
        "{:<18} {:>7} {:>11} {:>8}  {} {:>8} {:>9} {:>8}",
        "",
        "data",
        "msg/s",
        "MB/s",
        parts.join(" "),
        "us/msg",
        "of pump",
        "lost"
    );
    for row in rows {
        let Some(median) = row.median() else { continue };
        let pump = rows.iter().find(|r| r.size == row.size && r.name.contains("pump"));
        let pump = pump.and_then(|p| Some(row.rate(median) / p.rate(p.median()?)));
        let share = pump.map_or(String::new(), |share| format!("{:.0} %", share * 100.0));
        println!("{} {share:>9} {:>8}", row.describe(median), row.lost());
        if row.out_of_order() > 0 {
            println!("{:<18} {} messages out of order", "", row.out_of_order());
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}

/// Everything, for machines.
pub fn json(rows: &[Row]) -> String {
    let rows: Vec<_> = rows.iter().map(row_json).collect();
    format!("{:#}\n", json!({"cores": cores(), "rows": rows}))
}

fn row_json(row: &Row) -> serde_json::Value {
    let repeat = |r: &Repeat| {
        json!({"messages_per_second": row.rate(r), "seconds": r.seconds, "lost": r.lost,
            "out_of_order": r.out_of_order,
            "cpu_seconds": PARTS.iter().zip(r.cpu).map(|(p, c)| (*p, c)).collect::<std::collections::BTreeMap<_, _>>()})
    };
    json!({"name": row.name, "data_bytes": row.size, "messages": row.messages,
        "median_messages_per_second": row.median().map(|m| row.rate(m)),
        "repeats": row.repeats.iter().map(repeat).collect::<Vec<_>>()})
}
