//! `enroll` and what belongs to it: tokens with which new clients get a certificate or a token from a server.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::command::{Args, Command, Failure, Operand, Opt};
use super::exit;
use super::human::printable;
use super::table::JSON;
use super::target::{CONFIG_OPTION, CONNECTOR, NAME, Target};

const CLIENT: Operand = Operand { name: "CLIENT", required: true, help: "the client's name" };

const TTL: Opt =
    Opt { long: "ttl", value: Some("SECONDS"), help: "how long the token is good; without it a day, at most 30 days" };

/// `enroll`.
pub const ENROLL: Command = Command {
    name: "enroll",
    aliases: &[],
    summary: "Have a server make a token with which a new client can enrol once, and print it.",
    details: "The server's config must have \"enrollment\": \"token\". The client's has in enrollment_token_path the path of \
              a file with the token, which is of no use any more once the client has enrolled. A second token for a name \
              takes the place of the first.",
    operands: &[CONNECTOR, CLIENT],
    options: &[TTL, CONFIG_OPTION, NAME],
    run: enroll,
};

/// `enrollments`.
pub const LIST: Command = Command {
    name: "enrollments",
    aliases: &[],
    summary: "Print the names of clients that may enrol at a server, and until when, as Unix time.",
    details: "",
    operands: &[CONNECTOR],
    options: &[JSON, CONFIG_OPTION, NAME],
    run: list,
};

/// `withdraw-enrollment`.
pub const WITHDRAW: Command = Command {
    name: "withdraw-enrollment",
    aliases: &[],
    summary: "Have a server take back the token for the enrolment of a client.",
    details: "",
    operands: &[CONNECTOR, CLIENT],
    options: &[CONFIG_OPTION, NAME],
    run: withdraw,
};

fn name(args: &Args) -> String {
    args.operand(CLIENT.name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn enroll(args: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let ttl: Option<Duration> = args.seconds(TTL.long)?;
    let token = Target::new(args)?.remote().enroll(&name(args), ttl).map_err(exit::refusal)?;
    writeln!(out, "{token}")?;
    Ok(ExitCode::SUCCESS)
}

fn list(args: &Args, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let enrollments = Target::new(args)?.remote().enrollments().map_err(exit::refusal)?;
    if args.has(JSON.long) {
        let all: Value = enrollments.iter().map(|(client, at)| json!({"client": client, "expires": at})).collect();
        writeln!(out, "{all}")?;
        return Ok(ExitCode::SUCCESS);
    }
    for (client, expires) in enrollments {
        writeln!(out, "{} {expires}", printable(&client))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn withdraw(args: &Args, _: &mut dyn Write) -> Result<ExitCode, Failure> {
    Target::new(args)?.remote().withdraw_enrollment(&name(args)).map_err(exit::refusal)?;
    Ok(ExitCode::SUCCESS)
}
