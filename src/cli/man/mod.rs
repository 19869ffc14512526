//! The manual pages.

pub mod config_page;
mod ctl_page;
mod daemon_page;
pub mod roff;

use super::command::Command;
use super::help::{option_synopsis, paragraphs};
use roff::Page;

/// When the text of a page was changed last.
pub const DATE: &str = "2026-11-23";

/// All pages.
pub const NAMES: [&str; 4] = ["aioconnectorsctl", "aioconnectorsd", "aioconnectors.json", "aioconnectors"];

/// The page `name`, with or without its section behind it, as in `aioconnectorsctl.1`. `None` if there is none.
#[must_use]
pub fn page(name: &str) -> Option<String> {
    match name {
        "aioconnectorsctl" | "aioconnectorsctl.1" => Some(ctl_page::page()),
        "aioconnectorsd" | "aioconnectorsd.8" => Some(daemon_page::page()),
        "aioconnectors.json" | "aioconnectors.json.5" => Some(config_page::page()),
        "aioconnectors" | "aioconnectors.7" => Some(include_str!("../../../man/aioconnectors.7").to_owned()),
        _ => None,
    }
}

/// A text of the tables of commands, as a text with markup: it has none, but for what is between single quotes.
fn of_table(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\'') {
        let inside = &rest[at + 1..];
        let starts = at == 0 || rest[..at].ends_with([' ', '(']);
        let Some(end) = inside.find('\'').filter(|_| starts) else {
            out += &rest[..=at];
            rest = inside;
            continue;
        };
        out += &format!("{}`{}`", &rest[..at], &inside[..end]);
        rest = &inside[end + 1..];
    }
    out + rest
}

/// A sentence of a text that is none yet.
fn sentence(text: &str) -> String {
    let mut chars = of_table(text).chars().collect::<Vec<_>>();
    if let Some(first) = chars.first_mut() {
        *first = first.to_ascii_uppercase();
    }
    if !chars.last().is_some_and(|c| matches!(c, '.' | ':')) {
        chars.push('.');
    }
    chars.into_iter().collect()
}

/// What an operand or the value of an option is called, in italics.
fn place(name: &str) -> String {
    match name.strip_suffix('…') {
        Some(name) => format!("‹{name}›…"),
        None => format!("‹{name}›"),
    }
}

/// An option as it is typed, with markup.
fn option_tag(long: &str, value: Option<&str>) -> String {
    match value.map(|value| (value, value.strip_prefix("[=").and_then(|value| value.strip_suffix(']')))) {
        None => format!("`{}`", option_synopsis(long, None)),
        Some((_, Some(value))) => format!("`--{long}`[`=`{}]", place(value)),
        Some((value, None)) => format!("`--{long}` {}", place(value)),
    }
}

/// The arguments of a command, with markup; without its options `but`.
fn arguments(command: &Command, but: &[&str]) -> String {
    let options = command.options.iter().filter(|option| !but.contains(&option.long));
    let options = options.map(|option| format!("[{}]", option_tag(option.long, option.value)));
    let operands = command.operands.iter().map(|operand| match operand.required {
        true => place(operand.name),
        false => format!("[{}]", place(operand.name)),
    });
    options.chain(operands).collect::<Vec<_>>().join(" ")
}

/// What a command's operands and options are, without those of `but`.
fn write_arguments(page: &mut Page, command: &Command, but: &[&str]) {
    for operand in command.operands.iter().filter(|operand| !but.contains(&operand.name)) {
        page.item(&place(operand.name), &sentence(operand.help));
    }
    for option in command.options.iter().filter(|option| !but.contains(&option.long)) {
        page.item(&option_tag(option.long, option.value), &sentence(option.help));
    }
}

/// The texts of a command.
fn write_details(page: &mut Page, command: &Command) {
    paragraphs(command.details).iter().for_each(|text| page.more(&of_table(text)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_become_bold_and_apostrophes_stay() {
        assert_eq!(of_table("a server's 'spool list', ('x')"), "a server's `spool list`, (`x`)");
        assert_eq!(sentence("the clients' names"), "The clients' names.");
        assert_eq!(option_tag("await", Some("[=SECONDS]")), "`--await`[`=`‹SECONDS›]");
    }
}
