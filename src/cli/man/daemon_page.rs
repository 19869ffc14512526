//! aioconnectorsd(8), made from the daemon's table entry.

use super::super::daemon;
use super::super::known::INSTANCES;
use super::roff::Page;
use super::{DATE, arguments, write_arguments};
use crate::api::FILES_DIR;

/// The page.
#[must_use]
pub fn page() -> String {
    let mut page = Page::new("aioconnectorsd", 8, DATE, "a connector of aioconnectors, a message broker");
    page.section("SYNOPSIS");
    page.synopsis("aioconnectorsd", &arguments(&daemon::COMMAND, &[]));
    page.synopsis("aioconnectorsd", "`--help` | `--version`");
    page.section("DESCRIPTION");
    page.paragraph(
        "`aioconnectorsd` runs one connector, a server or a client, in the foreground, as its config file ‹CONFIG› says; see \
         aioconnectors.json(5). It takes messages from local programs over Unix sockets and brings them over one TLS \
         connection to its peer, which hands them to the programs there; aioconnectors(7) says how, and what is guaranteed.",
    );
    page.paragraph(
        "If the config has a mistake, all of them are said on stderr and it does not start. While it runs, \
         aioconnectorsctl(1) shows what it does and controls it.",
    );
    page.section("OPTIONS");
    write_arguments(&mut page, &daemon::COMMAND, &[]);
    page.item("`-h`, `--help`", "Say how it is used.");
    page.item("`-V`, `--version`", "Say which version it is.");
    page.section("SIGNALS");
    page.item(
        "SIGTERM, SIGINT",
        "It stops: nothing is accepted any more, and what is queued is sent, for `shutdown_timeout` at most. What is stored \
         stays for the next start; what is left in memory is counted as dropped, and logged. A second signal ends it at once.",
    );
    page.item(
        "SIGHUP",
        "It reads its config and its certificates again, and takes over what can change while it runs, as `aioconnectorsctl \
         reload` does. If there is a mistake, all stays as it was, and the log says why.",
    );
    page.item("SIGXFSZ, SIGPIPE", "Ignored: what cannot be written is handled where it is written.");
    page.section("EXIT STATUS");
    page.item("`0`", "It was stopped.");
    page.item("`1`", "It could not start, or had to end; the last lines on stderr or in the log say why.");
    page.item("`2`", "Wrong arguments.");
    page.section("ENVIRONMENT");
    page.item(
        "`NOTIFY_SOCKET`, `WATCHDOG_USEC`",
        "Set by systemd: it is told when the connector serves, how its links are, that it reloads or stops, and that its loop \
         turns.",
    );
    page.item("`JOURNAL_STREAM`", "Set by systemd: if stderr leads to the journal, lines have a priority and no time.");
    page.item("`NAME`", "Any other variable that the config's paths name, as `$NAME`.");
    page.section("FILES");
    page.item(&format!("`{INSTANCES}/`‹NAME›`.json`"), "The config of the unit `aioconnectorsd@`‹NAME›.");
    page.item(
        &format!("`{FILES_DIR}`"),
        "The default connector_files_dirpath, with the sockets, the queues on disk and the list of running connectors. The \
         unit's connectors have `/var/lib/aioconnectors/`‹NAME› instead.",
    );
    page.section("SYSTEMD");
    page.paragraph(
        "The package has the unit `aioconnectorsd@.service`: the connector ‹NAME› runs as the user aioconnectors, confined to \
         `/var/lib/aioconnectors/`‹NAME›, where its config must have its folders. Its start is done when it serves; a loop \
         that does not turn for the unit's WatchdogSec is killed and started again.",
    );
    page.section("EXAMPLES");
    page.paragraph("In the foreground, with a log for people on stderr:");
    page.example("aioconnectorsd --log-format text server.json");
    page.paragraph("As a service:");
    page.example(
        "systemctl enable --now aioconnectorsd@server\nsystemctl reload aioconnectorsd@server\njournalctl -u \
         aioconnectorsd@server",
    );
    page.section("SEE ALSO");
    page.paragraph("aioconnectorsctl(1), aioconnectors.json(5), aioconnectors(7), systemd.service(5)");
    page.into_text()
}
