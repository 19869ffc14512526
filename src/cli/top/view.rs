//! The screen as lines of text, none wider than the terminal.

use super::sample::{Entry, Flow, Inbox, Peer, Shown};
use crate::cli::human::{period, size};

/// What the peers are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Their names.
    #[default]
    Name,
    /// What comes from them.
    In,
    /// What goes to them.
    Out,
    /// What waits for them.
    Queued,
    /// How long it has waited.
    Age,
}

impl Sort {
    /// All, with the key and the word for each.
    pub const ALL: [(char, &'static str, Sort); 5] = [
        ('n', "name", Sort::Name),
        ('i', "in", Sort::In),
        ('o', "out", Sort::Out),
        ('u', "queued", Sort::Queued),
        ('a', "age", Sort::Age),
    ];

    fn sort(self, peers: &mut [Peer]) {
        let by = |of: fn(&Peer) -> f64| move |a: &Peer, b: &Peer| of(b).total_cmp(&of(a));
        // Equal ones stay in the order of their names.
        match self {
            Sort::Name => peers.sort_by(|a, b| a.name.cmp(&b.name)),
            Sort::In => peers.sort_by(by(|p| p.input.messages)),
            Sort::Out => peers.sort_by(by(|p| p.output.messages)),
            Sort::Queued => peers.sort_by(by(|p| p.queued.messages)),
            Sort::Age => peers.sort_by(by(|p| p.oldest)),
        }
    }
}

/// A column: its title, its width, and how early it is left out where there is no room.
struct Column<T> {
    title: &'static str,
    width: usize,
    rank: u8,
    text: fn(&T) -> String,
}

/// The first column has at least so much.
const NAME_MIN: usize = 8;

/// And at most so much.
const NAME_MAX: usize = 40;

/// A number of messages, in at most six characters.
fn short(number: f64) -> String {
    const UNITS: [&str; 4] = ["", "k", "M", "G"];
    if number < 9.95 && number > 0.0 && number.fract() != 0.0 {
        return format!("{number:.1}");
    }
    let (mut value, mut unit) = (number, 0);
    while value >= 9999.5 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1000.0, unit + 1);
    }
    format!("{value:.0}{}", UNITS[unit])
}

fn waited(seconds: f64) -> String {
    if seconds > 0.0 { period(seconds) } else { "-".to_owned() }
}

fn bytes(flow: Flow) -> String {
    size(flow.bytes as u64)
}

fn peer_columns() -> [Column<Peer>; 8] {
    let link = |p: &Peer| format!("{} {}", if p.connected { "up" } else { "away" }, period(p.since));
    [
        Column { title: "LINK", width: 12, rank: 5, text: link },
        Column { title: "IN/s", width: 6, rank: 0, text: |p| short(p.input.messages) },
        Column { title: "OUT/s", width: 6, rank: 0, text: |p| short(p.output.messages) },
        Column { title: "B IN/s", width: 8, rank: 3, text: |p| bytes(p.input) },
        Column { title: "B OUT/s", width: 8, rank: 3, text: |p| bytes(p.output) },
        Column { title: "QUEUED", width: 6, rank: 0, text: |p| short(p.queued.messages) },
        Column { title: "OLDEST", width: 7, rank: 1, text: |p| waited(p.oldest) },
        Column { title: "RTT", width: 6, rank: 4, text: |p| p.round_trip.map_or("-".to_owned(), period) },
    ]
}

fn inbox_columns() -> [Column<Inbox>; 5] {
    [
        Column { title: "APP", width: 4, rank: 0, text: |i| if i.connected { "up" } else { "away" }.to_owned() },
        Column { title: "OUT/s", width: 6, rank: 0, text: |i| short(i.delivered.messages) },
        Column { title: "B OUT/s", width: 8, rank: 3, text: |i| bytes(i.delivered) },
        Column { title: "QUEUED", width: 6, rank: 0, text: |i| short(i.queued.messages) },
        Column { title: "OLDEST", width: 7, rank: 1, text: |i| waited(i.oldest) },
    ]
}

fn ledger_columns() -> [Column<Entry>; 4] {
    [
        Column { title: "TYPE", width: 12, rank: 2, text: |e| e.what[1].clone() },
        Column { title: "REASON", width: 16, rank: 0, text: |e| e.what[2].clone() },
        Column { title: "LOST", width: 6, rank: 1, text: |e| short(e.messages) },
        Column { title: "NEW", width: 5, rank: 3, text: |e| short(e.new) },
    ]
}

/// A text in so many characters: cut, with a mark where it was.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(width.saturating_sub(1)).collect();
    out.push('…');
    out
}

/// A table whose first column takes what the others leave, at most `most` rows of it.
fn table<T>(
    lines: &mut Vec<String>,
    (title, name): (&str, fn(&T) -> &str),
    columns: &[Column<T>],
    rows: &[T],
    (width, most): (usize, usize),
) {
    let used = |least: u8| columns.iter().filter(|c| c.rank <= least).map(|c| c.width + 1).sum::<usize>() + NAME_MIN;
    let rank = (0..=u8::MAX).take_while(|rank| *rank <= 9 && used(*rank) <= width).last().unwrap_or_default();
    let columns: Vec<&Column<T>> = columns.iter().filter(|column| column.rank <= rank).collect();
    let others: usize = columns.iter().map(|column| column.width + 1).sum();
    let first = width.saturating_sub(others).clamp(1, NAME_MAX);
    let line = |name: &str, text: &dyn Fn(&Column<T>) -> String| {
        let mut line = format!("{:first$}", cut(name, first));
        for column in &columns {
            line += &format!(" {:>1$}", cut(&text(column), column.width), column.width);
        }
        cut(line.trim_end(), width)
    };
    lines.push(line(title, &|column| column.title.to_owned()));
    // A line says how many are not shown, which would else be one of them.
    let shown = if rows.len() > most { most.saturating_sub(1) } else { rows.len() };
    lines.extend(rows[..shown].iter().map(|row| line(name(row), &|column| (column.text)(row))));
    if shown < rows.len() {
        lines.push(cut(&format!("… {} more", rows.len() - shown), width));
    }
}

/// The texts that fit into lines of this width, parted by two spaces.
fn flowing(lines: &mut Vec<String>, texts: &[String], width: usize) {
    let mut line = String::new();
    for text in texts.iter().filter(|text| !text.is_empty()) {
        if !line.is_empty() && line.chars().count() + 2 + text.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line += "  ";
        }
        line += text;
    }
    lines.push(line);
    lines.iter_mut().for_each(|line| *line = cut(line, width));
}

fn head(shown: &Shown, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let state = if shown.state == "running" { String::new() } else { shown.state.to_uppercase() };
    let name = [format!("{} {}", shown.role, shown.name), state, format!("up {}", period(shown.uptime))];
    let busy = shown.busy.map_or(String::new(), |busy| format!("busy {:.0} %", busy * 100.0));
    flowing(&mut lines, &[&name[..], &[busy, shown.version.clone()]].concat(), width);
    let flow = |name: &str, flow: Flow| format!("{name} {}/s {}/s", short(flow.messages), bytes(flow));
    let mut texts = vec![
        flow("in", shown.input),
        flow("out", shown.output),
        format!("queued {} {}", short(shown.queued.messages), bytes(shown.queued)),
    ];
    if shown.oldest > 0.0 {
        texts.push(format!("oldest {}", period(shown.oldest)));
    }
    if shown.requests > 0.0 {
        texts.push(format!("requests {}", short(shown.requests)));
    }
    flowing(&mut lines, &texts, width);
    let mut texts = Vec::new();
    if let Some((stored, free, lasts)) = shown.store {
        texts.push(format!("on disk {}", size(stored as u64)));
        texts.extend(free.map(|free| format!("free {}", size(free as u64))));
        texts.extend(lasts.map(|lasts| format!("full in {}", period(lasts))));
    }
    let ends =
        |left: f64| if left < 0.0 { "certificate EXPIRED".to_owned() } else { format!("certificate {}", period(left)) };
    texts.extend(shown.certificate.map(ends));
    if !texts.is_empty() {
        flowing(&mut lines, &texts, width);
    }
    lines
}

/// All lines, for a terminal of so many columns, and of so many rows if it has an end.
pub fn lines(mut shown: Shown, sort: Sort, width: usize, rows: Option<usize>) -> Vec<String> {
    let mut lines = head(&shown, width);
    sort.sort(&mut shown.peers);
    // What is left, parted: titles and empty lines are six.
    let left = rows.map_or(usize::MAX / 4, |rows| rows.saturating_sub(lines.len() + 6)).max(3);
    let ledger = shown.ledger.len().min((left / 4).max(1));
    let inboxes = shown.inboxes.len().min(((left - ledger.min(left)) / 3).max(1));
    let peers = left.saturating_sub(ledger + inboxes).max(1);
    lines.push(String::new());
    table(&mut lines, ("PEER", |p: &Peer| &p.name), &peer_columns(), &shown.peers, (width, peers));
    if !shown.inboxes.is_empty() {
        lines.push(String::new());
        table(&mut lines, ("TYPE", |i: &Inbox| &i.message_type), &inbox_columns(), &shown.inboxes, (width, inboxes));
    }
    if !shown.ledger.is_empty() {
        lines.push(String::new());
        table(&mut lines, ("NOT DELIVERED", |e: &Entry| &e.what[0]), &ledger_columns(), &shown.ledger, (width, ledger));
    }
    lines
}

/// The keys, in a line.
pub fn keys(sort: Sort, width: usize) -> String {
    let words = Sort::ALL.map(|(key, word, of)| {
        let mark = if of == sort { "*" } else { "" };
        format!("{key} {word}{mark}")
    });
    cut(&format!("q quit  sort: {}", words.join("  ")), width)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(peers: usize) -> Shown {
        let flow = |messages: f64| Flow { messages, bytes: messages * 100.0 };
        let peer = |n: usize| Peer {
            name: format!("a-client-with-a-long-name-{n:03}"),
            connected: n % 2 == 0,
            since: 1e6,
            input: flow(n as f64 * 12_345.0),
            output: flow(1.5),
            queued: flow(1e9),
            oldest: n as f64,
            round_trip: Some(0.001),
        };
        let entry = Entry { what: ["c1", "any", "type_not_allowed"].map(str::to_owned), messages: 12.0, new: 3.0 };
        Shown {
            name: "('127.0.0.1', 10673)".into(),
            role: "server".into(),
            state: "running".into(),
            version: "0.1.0".into(),
            uptime: 1e5,
            input: flow(5e7),
            oldest: 5.0,
            peers: (0..peers).map(peer).collect(),
            inboxes: vec![Inbox { message_type: "any".into(), connected: true, ..Inbox::default() }; 3],
            ledger: vec![entry; 5],
            store: Some((1e9, Some(1e10), Some(7200.0))),
            busy: Some(0.12),
            certificate: Some(-5.0),
            ..Shown::default()
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in [20, 30, 40, 41, 60, 80, 100, 200] {
            for line in lines(shown(5), Sort::Name, width, Some(24)).iter().chain([&keys(Sort::In, width)]) {
                assert!(line.chars().count() <= width, "{width}: {line:?}");
            }
        }
    }

    #[test]
    fn a_terminal_of_forty_columns_shows_what_counts() {
        let lines = lines(shown(2), Sort::Name, 40, None);
        let title = lines.iter().find(|line| line.starts_with("PEER")).unwrap();
        assert!(title.contains("IN/s") && title.contains("OUT/s") && title.contains("QUEUED"), "{title}");
        assert!(!title.contains("RTT"), "{title}");
        assert!(lines.iter().any(|line| line.contains("type_not_allowed")), "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains("EXPIRED")), "{lines:#?}");
    }

    #[test]
    fn it_is_no_longer_than_the_terminal_and_says_what_is_left_out() {
        for rows in [16, 24, 50] {
            let lines = lines(shown(100), Sort::Name, 80, Some(rows));
            assert!(lines.len() <= rows, "{} of {rows}", lines.len());
            assert!(lines.iter().any(|line| line.starts_with("… ") && line.ends_with(" more")), "{lines:#?}");
        }
        assert!(!lines(shown(100), Sort::Name, 80, None).iter().any(|line| line.ends_with(" more")));
    }

    #[test]
    fn peers_come_in_the_order_that_is_wanted() {
        let first = |sort| {
            let lines = lines(shown(3), sort, 100, None);
            let title = lines.iter().position(|line| line.starts_with("PEER")).unwrap();
            lines[title + 1][..29].trim().to_owned()
        };
        assert!(first(Sort::Name).ends_with("000") && first(Sort::In).ends_with("002"));
        assert!(first(Sort::Age).ends_with("002") && first(Sort::Out).ends_with("000"));
    }

    #[test]
    fn numbers_are_short() {
        let numbers = [0.0, 0.4, 3.0, 9.96, 1234.0, 9999.0, 12_345.0, 2e7, 5e12].map(short);
        assert_eq!(numbers, ["0", "0.4", "3", "10", "1234", "9999", "12k", "20M", "5000G"].map(str::to_owned));
    }
}
