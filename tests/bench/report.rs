//! What was measured, as tables and as JSON.

use serde_json::{Value, json};

use crate::growth;

/// Whose CPU time is shown, in the order of [`Repeat::cpu`].
const PARTS: [&str; 4] = ["senders", "near", "far", "counters"];

/// One measurement.
pub struct Repeat {
    pub seconds: f64,
    /// That were sent.
    pub messages: u64,
    pub lost: u64,
    pub out_of_order: u64,
    /// CPU seconds of the sending apps, the near ends and the far end (the pump's threads), the counting apps.
    pub cpu: [f64; 4],
}

impl Repeat {
    pub fn is_whole(&self) -> bool {
        self.lost == 0 && self.out_of_order == 0
    }

    /// Messages that arrived, a second.
    pub fn rate(&self) -> f64 {
        self.messages.saturating_sub(self.lost) as f64 / self.seconds
    }
}

/// All measurements of one kind of work by one of what is compared.
pub struct Row {
    pub case: &'static str,
    pub system: &'static str,
    /// Whether it is one of ours, which must lose nothing.
    pub is_ours: bool,
    /// Bytes of data in a message.
    pub size: usize,
    pub repeats: Vec<Repeat>,
}

/// The middle, the least and the most.
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let median = *sorted.get(sorted.len() / 2)?;
        Some(Self { median, least: *sorted.first()?, most: *sorted.last()? })
    }
}

impl Row {
    pub fn rate(&self) -> Option<Spread> {
        Spread::of(self.repeats.iter().map(Repeat::rate))
    }

    pub fn lost(&self) -> u64 {
        self.repeats.iter().map(|repeat| repeat.lost).sum()
    }

    fn out_of_order(&self) -> u64 {
        self.repeats.iter().map(|repeat| repeat.out_of_order).sum()
    }

    /// The CPU time of each part, microseconds a message, medians.
    fn cpu(&self) -> [f64; 4] {
        [0, 1, 2, 3].map(|part| {
            let each = self.repeats.iter().map(|repeat| repeat.cpu[part] * 1e6 / repeat.messages as f64);
            Spread::of(each).map_or(0.0, |spread| spread.median)
        })
    }

    /// The medians, with how they compare to the pump's and to those of NATS.
    fn line(&self, [pump, nats]: [Option<f64>; 2]) -> Option<String> {
        let rate = self.rate()?;
        let cpu = self.cpu();
        let share = pump.map_or(String::new(), |pump| format!("{:.0} %", rate.median / pump * 100.0));
        let times = nats.map_or(String::new(), |nats| format!("{:.2} x", rate.median / nats));
        Some(format!(
            "{:<24} {:>10.0} {:>9.0}-{:<9.0} {:>7.1}  {}{:>8.2} {share:>6} {times:>7} {:>9}{}",
            self.system,
            rate.median,
            rate.least,
            rate.most,
            rate.median * self.size as f64 / 1e6,
            cpu.map(|time| format!("{time:>8.2} ")).concat(),
            cpu.iter().sum::<f64>(),
            self.lost(),
            match self.out_of_order() {
                0 => String::new(),
                some => format!("  {some} OUT OF ORDER"),
            },
        ))
    }
}

/// One figure that is no rate of messages, with all its repeats.
pub struct Fact {
    pub case: String,
    pub system: String,
    pub what: String,
    pub unit: &'static str,
    pub values: Vec<f64>,
    pub lost: Option<u64>,
}

impl Fact {
    pub fn median(&self) -> Option<f64> {
        Spread::of(self.values.iter().copied()).map(|spread| spread.median)
    }
}

/// Figures of growth stand in tables of their own.
pub fn is_in_table(fact: &Fact) -> bool {
    fact.case.starts_with(growth::NAME)
}

/// All that a run has found out.
#[derive(Default)]
pub struct Book {
    /// What is compared: name, version, settings.
    pub about: Vec<[String; 3]>,
    /// What could not be measured, and why.
    pub absent: Vec<[String; 2]>,
    pub rows: Vec<Row>,
    pub facts: Vec<Fact>,
    /// The figure that the last value was put to.
    latest: usize,
}

impl Book {
    /// Puts one repeat of a figure to the others.
    pub fn add(&mut self, case: &str, system: &str, what: &str, unit: &'static str, value: f64) {
        let is_it = |fact: &Fact| fact.case == case && fact.system == system && fact.what == what;
        if let Some(at) = self.facts.iter().position(is_it) {
            self.latest = at;
            return self.facts[at].values.push(value);
        }
        self.latest = self.facts.len();
        let [case, system, what] = [case, system, what].map(str::to_owned);
        self.facts.push(Fact { case, system, what, unit, values: vec![value], lost: None });
    }

    /// Says of the last figure how many messages were lost meanwhile.
    pub fn add_lost(&mut self, lost: u64) {
        if let Some(fact) = self.facts.get_mut(self.latest) {
            *fact.lost.get_or_insert(0) += lost;
        }
    }

    pub fn print_about(&self) {
        for [name, version, settings] in &self.about {
            println!("{name:<24} {version}; {settings}");
        }
        println!(
            "{:<24} as many client connectors, leaf nodes or bridges, each a process with a sender, and one counter; the \
             Python package and what stores only with one",
            "10 and 100 clients"
        );
        self.print_absent();
    }

    pub fn print_absent(&self) {
        for [name, why] in &self.absent {
            println!("{name:<24} ABSENT: {why}");
        }
    }

    /// The medians. MB are 10^6 bytes of data; headers and lengths are not counted. The CPU time of all parts together, a
    /// message, is what to compare between machines that are not idle.
    pub fn print_rows(&self) {
        let parts = PARTS.map(|part| format!("{part:>8} ")).concat();
        let mut case = None;
        for row in &self.rows {
            let Some(first) = row.repeats.first() else { continue };
            if case != Some((row.case, row.size)) {
                case = Some((row.case, row.size));
                println!(
                    "\n{}, {} bytes: medians of {} repeats of about {:.1} s; CPU in us a message, {} cores",
                    row.case,
                    row.size,
                    row.repeats.len(),
                    first.seconds,
                    cores()
                );
                println!(
                    "{:<24} {:>10} {:>19} {:>7}  {parts}{:>8} {:>6} {:>7} {:>9}",
                    "", "msg/s", "least-most", "MB/s", "all", "pump", "NATS", "lost"
                );
            }
            let rate_of = |names: &[&str]| {
                let is_it =
                    |other: &&Row| (other.case, other.size) == (row.case, row.size) && names.contains(&other.system);
                self.rows.iter().find(is_it).and_then(Row::rate).map(|rate| rate.median)
            };
            let others = [rate_of(&[PUMP]), rate_of(&[LEAF, JETSTREAM])];
            if let Some(line) = row.line(others) {
                println!("{line}");
            }
        }
    }

    pub fn print_facts(&self) {
        let mut case = "";
        for fact in self.facts.iter().filter(|fact| !is_in_table(fact)) {
            let Some(Spread { median, least, most }) = Spread::of(fact.values.iter().copied()) else { continue };
            if fact.case != case {
                case = &fact.case;
                println!("\n{case}: medians, least and most");
            }
            let lost = fact.lost.map_or(String::new(), |lost| format!("{lost:>9} lost"));
            let unit = fact.unit;
            let [median, least, most] = [median, least, most].map(figure);
            println!("{:<24} {:<34} {median:>10} {unit:<8} {least:>10}-{most:<10}{lost}", fact.system, fact.what);
        }
    }

    /// Figures of growth: a table for each case, a line for each step.
    pub fn print_growth(&self) {
        let mut cases: Vec<&str> = Vec::new();
        for fact in self.facts.iter().filter(|fact| is_in_table(fact)) {
            if !cases.contains(&&*fact.case) {
                cases.push(&fact.case);
            }
        }
        for case in cases {
            let facts: Vec<&Fact> = self.facts.iter().filter(|fact| fact.case == case).collect();
            let mut steps: Vec<&str> = facts.iter().map(|fact| &*fact.system).collect();
            steps.dedup();
            let columns: Vec<&&Fact> = facts.iter().filter(|fact| fact.system == steps[0]).collect();
            println!("\n{case}: medians");
            let names = columns.iter().map(|fact| format!("{:>17}", fact.what)).collect::<String>();
            let units = columns.iter().map(|fact| format!("{:>17}", fact.unit)).collect::<String>();
            println!("{:<24}{names}{:>9}\n{:<24}{units}", "", "lost", "");
            for step in steps {
                let of_step = || facts.iter().filter(|fact| fact.system == step);
                let medians = columns.iter().map(|column| {
                    let median = of_step().find(|fact| fact.what == column.what).and_then(|fact| fact.median());
                    format!("{:>17}", median.map_or(String::new(), figure))
                });
                let lost: u64 = of_step().filter_map(|fact| fact.lost).sum();
                println!("{step:<24}{}{lost:>9}", medians.collect::<String>());
            }
        }
    }

    /// Everything, for machines.
    pub fn json(&self) -> String {
        let about = self
            .about
            .iter()
            .map(|[name, version, settings]| json!({"name": name, "version": version, "settings": settings}));
        let absent = self.absent.iter().map(|[name, why]| json!({"name": name, "why": why}));
        let facts = self.facts.iter().map(|fact| {
            json!({"case": fact.case, "system": fact.system, "what": fact.what, "unit": fact.unit, "median": fact.median(),
                "repeats": fact.values, "lost": fact.lost})
        });
        let all = json!({"cores": cores(), "load": load(), "systems": about.collect::<Value>(),
            "absent": absent.collect::<Value>(), "rows": self.rows.iter().map(row_json).collect::<Value>(),
            "figures": facts.collect::<Value>()});
        format!("{all:#}\n")
    }
}

/// The name of the bare pump, which the others are compared with.
pub const PUMP: &str = "TLS pump";

/// The same with the cipher of the connectors.
pub const PUMP_AS_OURS: &str = "TLS pump, our cipher";

/// The names of the rival that the aims of the project speak of.
pub const LEAF: &str = "NATS leaf";
pub const JETSTREAM: &str = "JetStream, ingest";

fn cores() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}

/// What else runs on the machine runs in the figures.
pub fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}

fn row_json(row: &Row) -> Value {
    let repeat = |repeat: &Repeat| {
        let cpu: serde_json::Map<_, _> =
            PARTS.iter().zip(repeat.cpu).map(|(part, cpu)| ((*part).to_owned(), json!(cpu))).collect();
        json!({"messages_per_second": repeat.rate(), "seconds": repeat.seconds, "messages": repeat.messages,
            "lost": repeat.lost, "out_of_order": repeat.out_of_order, "cpu_seconds": cpu})
    };
    json!({"case": row.case, "system": row.system, "data_bytes": row.size,
        "median_messages_per_second": row.rate().map(|rate| rate.median), "lost": row.lost(),
        "repeats": row.repeats.iter().map(repeat).collect::<Value>()})
}

/// A repeat in which nothing came back has no figure, and counts as the most.
fn figure(value: f64) -> String {
    if value.is_nan() { "none".to_owned() } else { format!("{value:.2}") }
}
