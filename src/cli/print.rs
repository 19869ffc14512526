//! `aioconnectorsctl print-completions SHELL`, `aioconnectorsctl print-man-page PAGE`.

use std::process::ExitCode;

use super::command::{Args, Command, Failure, Operand};
use super::completions::SHELLS;
use super::man;
use crate::config::nearest;

const SHELL: Operand = Operand { name: "SHELL", required: true, help: "bash, zsh or fish" };

const PAGE: Operand = Operand {
    name: "PAGE",
    required: true,
    help: "aioconnectorsctl, aioconnectorsd, aioconnectors or aioconnectors.json",
};

/// See `summary`.
pub const COMPLETIONS: Command = Command {
    name: "print-completions",
    aliases: &["print_completions"],
    summary: "Print the script with which a shell completes commands, options and names.",
    details: "Packages install it. Else: 'source <(aioconnectorsctl print-completions bash)'; for zsh as the file \
              _aioconnectorsctl in a folder of fpath; for fish as \
              ~/.config/fish/completions/aioconnectorsctl.fish.",
    operands: &[SHELL],
    options: &[],
    run: |args, out| {
        let name = word(args, &SHELL);
        let shell = SHELLS.iter().find(|shell| shell.name == name);
        let shell = shell.ok_or_else(|| unknown("shell", &name, SHELLS.iter().map(|shell| shell.name).collect()))?;
        out.write_all((shell.make)().as_bytes())?;
        Ok(ExitCode::SUCCESS)
    },
};

/// See `summary`.
pub const MAN_PAGE: Command = Command {
    name: "print-man-page",
    aliases: &["print_man_page"],
    summary: "Print a page of the manual, as man(1) reads it.",
    details: "To read it: 'aioconnectorsctl print-man-page aioconnectorsctl | man -l -'.",
    operands: &[PAGE],
    options: &[],
    run: |args, out| {
        let name = word(args, &PAGE);
        let page = man::page(&name).ok_or_else(|| unknown("page", &name, man::NAMES.to_vec()))?;
        out.write_all(page.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    },
};

fn word(args: &Args, operand: &Operand) -> String {
    args.operand(operand.name).map(|word| word.to_string_lossy().into_owned()).unwrap_or_default()
}

fn unknown(what: &str, name: &str, known: Vec<&str>) -> Failure {
    let meant = nearest(name, known.iter().copied()).map(|meant| format!("; did you mean {meant}?"));
    Failure::usage(format!("unknown {what} {name:?}: it is one of {}{}", known.join(", "), meant.unwrap_or_default()))
}
