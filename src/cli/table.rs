//! Tables, as a terminal of whatever width shows them, as scripts read them, and as JSON.

use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use super::command::{Args, Failure, Opt};
use super::human;
use crate::sys::terminal;

/// `--json`.
pub const JSON: Opt = Opt { long: "json", value: None, help: "print it in JSON" };

/// Columns of a terminal that does not say how many it has.
const COLUMNS_DEFAULT: usize = 80;

/// Narrower terminals are written to as if they had so many columns.
const COLUMNS_MIN: usize = 20;

/// Between two columns.
const GAP: usize = 2;

/// A value beside its name has at least so much room, whatever the terminal has.
const ROOM_MIN: usize = 8;

/// Shown for what is not known, or not there.
const NOTHING: &str = "-";

/// How something is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// For a person, on a terminal of so many columns.
    Screen(usize),
    /// For scripts: a line each, columns parted by tabs, numbers as they are.
    Plain,
    /// For scripts: one line of JSON.
    Json,
}

impl View {
    /// What `args` and stdout ask for.
    #[must_use]
    pub fn new(args: &Args) -> Self {
        let stdout = io::stdout();
        match args.has(JSON.long) {
            true => View::Json,
            false if stdout.is_terminal() => {
                let columns = terminal::size(&stdout).map_or(COLUMNS_DEFAULT, |(columns, _)| columns);
                View::Screen(columns.max(COLUMNS_MIN))
            }
            false => View::Plain,
        }
    }

    /// Writes a line for people, and on a terminal only.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn say(self, text: &str, out: &mut dyn Write) -> io::Result<()> {
        let View::Screen(width) = self else { return Ok(()) };
        wrap(text, width).iter().try_for_each(|line| writeln!(out, "{line}"))
    }
}

/// What stands in one place.
#[derive(Clone, Debug)]
pub struct Cell {
    shown: String,
    plain: String,
    is_number: bool,
}

impl Cell {
    /// A text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        let text = if text.is_empty() { NOTHING.to_owned() } else { human::printable(text) };
        Self { shown: text.clone(), plain: text, is_number: false }
    }

    /// What is not known, or not there.
    #[must_use]
    pub fn nothing() -> Self {
        Self { is_number: true, ..Self::text("") }
    }

    fn number(plain: String, shown: String) -> Self {
        Self { shown, plain, is_number: true }
    }

    /// How many.
    #[must_use]
    pub fn count(value: &Value) -> Self {
        value.as_u64().map_or(Self::nothing(), |n| Self::number(n.to_string(), n.to_string()))
    }

    /// How many bytes.
    #[must_use]
    pub fn bytes(value: &Value) -> Self {
        value.as_u64().map_or(Self::nothing(), |n| Self::number(n.to_string(), human::size(n)))
    }

    /// How many seconds.
    #[must_use]
    pub fn seconds(value: &Value) -> Self {
        value.as_f64().map_or(Self::nothing(), |s| Self::number(s.to_string(), human::period(s)))
    }

    /// A text of JSON.
    #[must_use]
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::text(""),
            Value::String(text) => Self::text(text),
            other => Self::text(&other.to_string()),
        }
    }

    fn is_nothing(&self) -> bool {
        self.plain == NOTHING
    }
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its title, in capitals.
    pub title: &'static str,
    /// Whether a terminal without room for all columns shows this one.
    pub is_main: bool,
}

/// A column that is always shown.
#[must_use]
pub const fn main(title: &'static str) -> Column {
    Column { title, is_main: true }
}

/// A column that is shown where there is room.
#[must_use]
pub const fn more(title: &'static str) -> Column {
    Column { title, is_main: false }
}

/// Rows, all with the same columns.
#[derive(Clone, Debug)]
pub struct Table {
    columns: &'static [Column],
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// One without rows.
    #[must_use]
    pub fn new(columns: &'static [Column]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// A row more, with a cell for each column.
    pub fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        debug_assert_eq!(N, self.columns.len(), "a cell for each column");
        self.rows.push(cells.into());
    }

    /// Whether it has no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes it. In [`View::Json`] it is `json` that is written.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, view: View, json: &Value, out: &mut dyn Write) -> Result<(), Failure> {
        match view {
            View::Json => writeln!(out, "{json}")?,
            View::Plain => self.write_plain(out)?,
            View::Screen(width) => self.write_screen(width, out)?,
        }
        Ok(())
    }

    fn write_plain(&self, out: &mut dyn Write) -> io::Result<()> {
        let titles: Vec<&str> = self.columns.iter().map(|column| column.title).collect();
        writeln!(out, "{}", titles.join("\t"))?;
        for row in &self.rows {
            let cells: Vec<&str> = row.iter().map(|cell| cell.plain.as_str()).collect();
            writeln!(out, "{}", cells.join("\t"))?;
        }
        Ok(())
    }

    /// All columns that say something if there is room, else the main ones, else each row as lines of its own.
    fn write_screen(&self, width: usize, out: &mut dyn Write) -> io::Result<()> {
        let says = |index: &usize| *index == 0 || self.rows.iter().any(|row| !row[*index].is_nothing());
        let all: Vec<usize> = (0..self.columns.len()).filter(says).collect();
        let main: Vec<usize> = all.iter().copied().filter(|index| self.columns[*index].is_main).collect();
        match [&all, &main].into_iter().find(|shown| self.width(shown) <= width) {
            Some(shown) => self.write_columns(shown, out),
            None => self.write_blocks(&all, width, out),
        }
    }

    fn column_width(&self, index: usize) -> usize {
        let cells = self.rows.iter().map(|row| row[index].shown.chars().count());
        cells.max().unwrap_or(0).max(self.columns[index].title.len())
    }

    fn width(&self, shown: &[usize]) -> usize {
        let widths: usize = shown.iter().map(|index| self.column_width(*index)).sum();
        widths + GAP * shown.len().saturating_sub(1)
    }

    fn write_columns(&self, shown: &[usize], out: &mut dyn Write) -> io::Result<()> {
        let is_number = |index: usize| self.rows.iter().all(|row| row[index].is_number) && !self.rows.is_empty();
        let mut write = |cell: &dyn Fn(usize) -> String| {
            let mut line = String::new();
            for &index in shown {
                let (width, text) = (self.column_width(index), cell(index));
                line += &if is_number(index) { format!("{text:>width$}") } else { format!("{text:width$}") };
                line += &" ".repeat(GAP);
            }
            writeln!(out, "{}", line.trim_end())
        };
        write(&|index| self.columns[index].title.to_owned())?;
        self.rows.iter().try_for_each(|row| write(&|index| row[index].shown.clone()))
    }

    fn write_blocks(&self, shown: &[usize], width: usize, out: &mut dyn Write) -> io::Result<()> {
        let left = shown.iter().map(|index| self.columns[*index].title.len()).max().unwrap_or(0) + GAP;
        for (number, row) in self.rows.iter().enumerate() {
            if number > 0 {
                writeln!(out)?;
            }
            for index in shown.iter().filter(|index| !row[**index].is_nothing()) {
                let title = self.columns[*index].title.to_lowercase();
                write_pair(&title, &row[*index].shown, left, width, out)?;
            }
        }
        Ok(())
    }
}

/// Names and their values, a line each; what is too long goes on below.
///
/// # Errors
/// Those of `out`.
pub fn write_pairs(pairs: &[(String, String)], width: usize, out: &mut dyn Write) -> io::Result<()> {
    let left = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0) + GAP;
    pairs.iter().try_for_each(|(name, value)| write_pair(name, value, left, width, out))
}

fn write_pair(name: &str, value: &str, left: usize, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let room = width.saturating_sub(left).max(ROOM_MIN);
    for (number, line) in wrap(value, room).iter().enumerate() {
        let name = if number == 0 { name } else { "" };
        writeln!(out, "{name:left$}{line}")?;
    }
    Ok(())
}

/// Cuts a text into lines of at most `width` characters: at blanks if it can be, else within words.
#[must_use]
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        let used = line.chars().count();
        if used > 0 && used.saturating_add(1 + word.len()) > width {
            lines.push(std::mem::take(&mut line));
        } else if used > 0 {
            line.push(' ');
        }
        while word.len() > width.max(1) {
            let rest = word.split_off(width.max(1));
            lines.push(word.into_iter().collect());
            word = rest;
        }
        line.extend(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn table() -> Table {
        const COLUMNS: &[Column] = &[main("PEER"), more("TLS"), main("QUEUED"), main("SIZE"), main("AGE")];
        let mut table = Table::new(COLUMNS);
        for (name, queued, size) in [("client1", json!(12), json!(1234)), ("c\x1b[2J", json!(null), json!(5))] {
            let cells = [Cell::text(name), Cell::text("TLSv1.3"), Cell::count(&queued), Cell::bytes(&size)];
            let [name, tls, queued, size] = cells;
            table.row([name, tls, queued, size, Cell::seconds(&Value::Null)]);
        }
        table
    }

    fn written(table: &Table, view: View) -> String {
        let mut out = Vec::new();
        table.write(view, &json!([1]), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_terminal_shows_as_many_columns_as_it_has_room_for() {
        let wide = "PEER        TLS      QUEUED    SIZE\nclient1     TLSv1.3      12  1.2 kB\n\
            c\\u{1b}[2J  TLSv1.3       -     5 B\n";
        assert_eq!(written(&table(), View::Screen(35)), wide);
        let narrow = "PEER        QUEUED    SIZE\nclient1         12  1.2 kB\nc\\u{1b}[2J       -     5 B\n";
        assert_eq!(written(&table(), View::Screen(34)), narrow);
        let lines = "peer    client1\ntls     TLSv1.3\nqueued  12\nsize    1.2 kB\n\n\
            peer    c\\u{1b}[2J\ntls     TLSv1.3\nsize    5 B\n";
        assert_eq!(written(&table(), View::Screen(20)), lines);
    }

    #[test]
    fn scripts_get_every_column_and_numbers_as_they_are() {
        let plain = "PEER\tTLS\tQUEUED\tSIZE\tAGE\nclient1\tTLSv1.3\t12\t1234\t-\nc\\u{1b}[2J\tTLSv1.3\t-\t5\t-\n";
        assert_eq!(written(&table(), View::Plain), plain);
        assert_eq!(written(&table(), View::Json), "[1]\n");
    }

    #[test]
    fn long_values_go_on_below() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij k", 4), ["abcd", "efgh", "ij k"]);
        assert_eq!(wrap("a abcdefgh", 4), ["a", "abcd", "efgh"]);
        assert_eq!(wrap("", 4), [""]);
    }
}
