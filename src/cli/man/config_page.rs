//! aioconnectors.json(5), made from the table of keys.

use super::DATE;
use super::roff::Page;
use crate::config::keys::{Effect, Key, OLD_KEYS};
use crate::config::reference::{Entry, Origin, TOPICS};

/// The page.
#[must_use]
pub fn page() -> String {
    let mut page = Page::new("aioconnectors.json", 5, DATE, "config file of a connector");
    page.section("DESCRIPTION");
    page.paragraph(
        "A connector reads one config file, which `aioconnectorsd` is given: a JSON object in UTF-8, with the keys that are \
         listed here. What the file does not give has its default. Programs that send and receive, and \
         `aioconnectorsctl`, read the same file for the connector's name and the paths of its sockets.",
    );
    page.paragraph(
        "All that is wrong with a file is said at once, with the key, what was found and what would be right, and the \
         connector does not start; `aioconnectorsctl check-config` ‹FILE› says it without starting one. A key that is not \
         known is passed over, with a warning that names the nearest one that is. Of a key that stands there twice, the last \
         one counts.",
    );
    page.paragraph(
        "In paths, a leading `~` is a home folder, `$NAME` an environment variable, and a relative path begins at the \
         folder in which the connector was started. Times are in seconds, and may have fractions.",
    );
    page.paragraph(
        "A connector that runs is told by SIGHUP to read the file again. It takes over those keys of which that is said here, \
         and its certificates; all else needs a restart. If there is a mistake in the file, all stays as it was, and the log \
         says why.",
    );
    page.section("EXAMPLES");
    page.paragraph("A server, and one of its clients. More are in `/usr/share/doc/aioconnectors/examples`.");
    page.example(include_str!("../../../config/server.json"));
    page.example(include_str!("../../../config/client.json"));
    page.section("KEYS");
    for topic in TOPICS {
        page.subsection(topic.title);
        if !topic.text.is_empty() {
            topic.text.split("\n\n").for_each(|text| page.paragraph(text));
        }
        for entry in topic.entries {
            write_entry(&mut page, entry);
        }
    }
    page.subsection("Names of older releases");
    page.paragraph("These are understood as well. If the file gives the present name too, that counts.");
    for old in &OLD_KEYS {
        page.item(&format!("`{}`", old.name), &format!("Stands for `{}`.", old.stands_for.join("` and `")));
    }
    page.section("SEE ALSO");
    page.paragraph("aioconnectorsctl(1), aioconnectors(7), aioconnectorsd(8)");
    page.into_text()
}

fn write_entry(page: &mut Page, entry: &Entry) {
    // A test of the config sees to it that each entry has its key.
    let Some(key) = Key::find(entry.name) else { return };
    page.item(&format!("`{}`", key.name), key.help);
    let mut facts = format!("Value: {}. Default: `{}`. Since {}", key.expected(), key.default, entry.since);
    match entry.origin {
        Origin::Python => facts.push_str(", and in the Python package."),
        Origin::Own => facts.push('.'),
    }
    if entry.reloaded {
        facts.push_str(" A reload takes it over.");
    }
    match key.effect {
        Effect::Now => {}
        Effect::NotYet => facts.push_str(" Without effect in this version, which a warning says."),
        Effect::Apps => facts.push_str(" Programs read it, the connector does not."),
    }
    page.more(&facts);
    page.more(&format!("Example: `\"{}\": {}`", key.name, entry.example));
}
