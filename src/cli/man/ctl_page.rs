//! aioconnectorsctl(1), made from the table of commands.

use super::super::command::{CONFIG, Command};
use super::super::known::{FILES_VARIABLE, INSTANCES, INSTANCES_VARIABLE};
use super::super::target::{CONFIG_OPTION, NAME};
use super::super::{COMMANDS, HEADINGS, exit};
use super::roff::Page;
use super::{DATE, arguments, of_table, write_arguments, write_details};
use crate::api::FILES_DIR;
use crate::core::ledger::Reason;

/// What is said once for all commands.
const COMMON: [&str; 2] = [CONFIG_OPTION.long, NAME.long];

/// The page.
#[must_use]
pub fn page() -> String {
    let mut page = Page::new("aioconnectorsctl", 1, DATE, "set up, test and control aioconnectors");
    page.section("SYNOPSIS");
    page.synopsis("aioconnectorsctl", "‹COMMAND› [‹ARGUMENTS›]");
    page.synopsis("aioconnectorsctl", "[‹COMMAND›] `--help`");
    page.synopsis("aioconnectorsctl", "`--version`");
    page.section("DESCRIPTION");
    page.paragraph(
        "A connector, aioconnectorsd(8), is a daemon that brings messages of local programs to the connectors of other \
         machines. `aioconnectorsctl` makes its config and certificates, shows what it is doing, changes it while it \
         runs, and sends and receives messages for scripts and for trying out.",
    );
    page.paragraph(
        "Options may stand before, between and behind other arguments; behind `--` nothing is an option. The commands' \
         names in the Python package, as `create_certificates`, work as well.",
    );
    which_connector(&mut page);
    output(&mut page);
    page.section("COMMANDS");
    page.paragraph(&format!(
        "Where [‹{0}›] stands, `--{1}` and `--{2}` can be given as well; see `Which connector`. All commands have \
         `--help`.",
        CONFIG.name, CONFIG_OPTION.long, NAME.long
    ));
    for command in COMMANDS {
        if let Some((_, heading)) = HEADINGS.iter().find(|(first, _)| *first == command.name) {
            page.subsection(heading);
        }
        write_command(&mut page, command);
    }
    page.section("REASONS");
    page.paragraph("Why messages are not delivered, as the ledger, the log and metrics have it:");
    for reason in Reason::ALL {
        page.item(&format!("`{reason}`"), reason.meaning());
    }
    page.section("EXIT STATUS");
    for (code, text) in exit::CODES {
        page.item(&format!("`{code}`"), text);
    }
    surroundings(&mut page);
    examples(&mut page);
    page.section("SEE ALSO");
    page.paragraph("aioconnectors.json(5), aioconnectors(7), aioconnectorsd(8)");
    page.into_text()
}

fn write_command(page: &mut Page, command: &Command) {
    let rest = arguments(command, &COMMON);
    page.item(format!("`{}` {rest}", command.name).trim_end(), &of_table(command.summary));
    // What commands of a family have in common is said once.
    let same = COMMANDS.iter().take_while(|earlier| earlier.name != command.name);
    match same.filter(|earlier| !earlier.details.is_empty()).find(|earlier| earlier.details == command.details) {
        Some(earlier) => page.more(&format!("See `{}`.", earlier.name)),
        None => write_details(page, command),
    }
    let but: &[&str] = if command.finds_connector() { &["config", "name", CONFIG.name] } else { &COMMON };
    let is_said = |name: &str| but.contains(&name);
    let has_more = command.operands.iter().any(|operand| !is_said(operand.name))
        || command.options.iter().any(|option| !is_said(option.long));
    if has_more {
        page.begin_inner();
        write_arguments(page, command, but);
        page.end_inner();
    }
}

fn which_connector(page: &mut Page) {
    page.subsection("Which connector");
    page.paragraph("Commands that speak to a connector find it in the same way:");
    page.item(
        &format!("`--{}` ‹FILE›", CONFIG_OPTION.long),
        "It is the one whose config file this is. The file may stand as first argument ‹CONFIG› as well: an argument that \
         ends in `.json`, or that is one more than the command takes otherwise, is the config.",
    );
    page.item(
        &format!("`--{}` ‹NAME›", NAME.long),
        &format!(
            "It is the one whose config is `{INSTANCES}/`‹NAME›`.json`, as systemd's unit aioconnectorsd@‹NAME› has it; else \
             the one of this name in the list of those that run, `{FILES_DIR}/active_connectors.json`: a client by its name, a \
             server by its address as in `127.0.0.1:10673`. `aioconnectorsctl connectors` prints all names."
        ),
    );
    page.item(
        "neither",
        "It is the only one that runs, of those that have a name. If several run, or none, the error says which are known. \
         Entries of the list whose connector does not run are passed over.",
    );
    page.paragraph(
        "Commands that work on files, as `check-config` and `spool`, must be told which config is meant. The connector's \
         sockets are for its own user, and for its group if the config says so: else `sudo -u aioconnectors` goes before.",
    );
}

fn output(page: &mut Page) {
    page.subsection("Output");
    page.paragraph(
        "On a terminal, tables are as wide as it is: columns that have no room are left out, and where not even the most \
         important ones have room, each row is shown as lines. Sizes and times have units there. Elsewhere every column \
         is there, parted by tabs, below a line with their names; sizes are in bytes, times in seconds, and `-` is what is \
         not known. With `--json` it is one line of JSON. Columns and members may become more in later versions, so scripts \
         go by their names.",
    );
    page.paragraph("If the reader of the output goes away, as `head` does, the command ends quietly, with 0.");
}

fn surroundings(page: &mut Page) {
    page.section("ENVIRONMENT");
    page.item(
        &format!("`{INSTANCES_VARIABLE}`"),
        &format!("The folder in which `--name` looks for configs, in place of `{INSTANCES}`."),
    );
    page.item(
        &format!("`{FILES_VARIABLE}`"),
        &format!("The folder whose list of running connectors is looked at, in place of `{FILES_DIR}`."),
    );
    page.item("`TERM`", "With `dumb`, nothing changes in place on a terminal.");
    page.section("FILES");
    page.item(
        &format!("`{INSTANCES}/`‹NAME›`.json`"),
        "The config of the connector ‹NAME›, see aioconnectors.json(5).",
    );
    page.item(
        &format!("`{FILES_DIR}/active_connectors.json`"),
        "The list of running connectors whose config names no other connector_files_dirpath.",
    );
    page.item(
        "`connector_files_dirpath/uds_path_commander_`‹UID›",
        "The socket on which a connector takes commands. One that is stopped takes them as well.",
    );
}

fn examples(page: &mut Page) {
    page.section("EXAMPLES");
    page.paragraph("A server's certificates, a look at its config, and how it is doing:");
    page.example(
        "aioconnectorsctl create-certificates /var/lib/aioconnectors/server\naioconnectorsctl check-config \
         /etc/aioconnectors/server.json\naioconnectorsctl status --name server",
    );
    page.paragraph("The peers that are away, in a script:");
    page.example("aioconnectorsctl peers --name server --json |\n    jq -r '.[] | select(.connected | not) | .name'");
    page.paragraph("A message to a client, and its answer:");
    page.example("aioconnectorsctl send server.json any \"how are you?\" --to client1 --await");
    page.paragraph("A client is kept out, and its link ends:");
    page.example("aioconnectorsctl blacklist add 'client1$' --name server");
    page.paragraph("A pause for maintenance, in which what is queued is kept:");
    page.example("aioconnectorsctl stop --name server\naioconnectorsctl start --name server");
    page.paragraph("Why messages were lost, the most frequent reason first:");
    page.example("aioconnectorsctl ledger --name server | tail -n +2 | sort -t \"$(printf '\\t')\" -k 4 -n -r");
}
