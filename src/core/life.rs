//! Stopped by an admin and begun again: links and apps are let go, the queues stay, admins are answered all the while.
//!
//! ```text
//! Serving ─ stop, restart ─▶ Draining ─ all is out, or the time for it is over ─▶ Resting
//!         ─ the same, hard ─────────────────────────────────────────────────────▶ Resting
//! Resting ─ start ─────────────────────▶ Open, if the shell can open the doors ─▶ Serving
//!         ─ restart, after its pause ──▶ the owner looks at the config ─▶ Open, or another life
//!         ─ stop with shutdown ────────▶ the owner ends the connector, once the admins have their answers
//! ```
//!
//! `stopping` is all but Serving, `stopped` is Resting. The end of the process makes the end of a rest, too (`stop`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::conn::{Conn, Kind};
use super::connector::Connector;
use super::event::{Cause, Event, Output};
use super::settings::{HANDSHAKE_TIMEOUT, LINGER};
use super::slots::Id;
use super::timers::Timer;
use crate::wire::admin::Request;
use crate::wire::names::Role;

/// Most admins that are connected at a time.
pub const ADMINS_MAX: usize = 64;

/// Longest pause of a restart, `sleep_between`.
pub const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// Time between two lines that say that there are too many admins.
const FULL_TOLD: Duration = Duration::from_secs(1);

/// What the Python connector says that has done something and has nothing to say of it.
const DONE: &str = "{}";

/// What the shell is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LifeWork {
    /// Close the doors for apps and links, take what apps have sent unless this is a hard stop, and call `rest`.
    Rest {
        /// It is one.
        hard: bool,
    },
    /// Open the doors again; report `begin_again` or `not_begun`.
    Open,
    /// Nothing: the rest is reached. The queues are kept, admins are answered.
    Rests,
    /// Something for the owner of the loop, who knows the config.
    Owner(OwnerWork),
}

/// What only the owner of the loop can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnerWork {
    /// Find out, for this admin, whether the connector could begin with its config as it is now; report
    /// `restart_prepared`.
    Prepare(Id, Restart),
    /// Begin again with the config as it is now: have the doors opened, or, for another life, call `end_when_answered`.
    BeginAnew,
    /// End the connector: call `end_when_answered`.
    End,
    /// Read the config again, for this admin; report `owner_answers`. So with those below.
    Reload(Id),
    /// How important a line must be to be logged.
    ShowLogLevel(Id),
    /// How important it must be from now on.
    SetLogLevel(Id, String),
}

/// How a connector is to be stopped and begun again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// What is queued is not sent first.
    pub hard: bool,
    /// How long it rests.
    pub pause: Duration,
}

/// What comes after the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Then {
    /// Nothing, until an admin says something.
    #[default]
    Rest,
    /// It begins again after this time; by way of the owner if it is to look at the config.
    Begin { pause: Duration, anew: bool },
    /// The connector ends.
    End,
}

/// What admins want.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// All that are connected, in the order in which they came.
    pub admins: Vec<Id>,
    /// What of the config an admin may see.
    pub attributes: BTreeMap<&'static str, Value>,
    /// It was told that there are too many of them.
    full_told: Option<Instant>,
    /// The stop that was ordered, is under way or is over leads to a rest, not to the end.
    rests: bool,
    /// It ends as soon as the admins have their answers.
    ends: bool,
    then: Then,
    /// Those who are answered when it rests.
    stoppers: Vec<Id>,
    /// Those who are answered when it serves again.
    starters: Vec<Id>,
}

impl Connector {
    /// What of the config `show_attribute` shows: keys and values, no secrets.
    pub fn set_attributes(&mut self, attributes: BTreeMap<&'static str, Value>) {
        self.life.attributes = attributes;
    }

    /// Whether one more admin may come. If there are too many, the one that has been silent for the longest gives way.
    #[must_use]
    pub fn has_room_for_admin(&mut self, now: Instant) -> bool {
        if self.life.admins.len() < ADMINS_MAX {
            return true;
        }
        if self.life.full_told.is_none_or(|told| now >= told + FULL_TOLD) {
            self.life.full_told = Some(now);
            self.tell(Event::AdminRefused { cause: Cause::BadInput(format!("there are {ADMINS_MAX} already")) });
        }
        let is_silent = |id: &&Id| {
            let conn = self.conns.get(**id).filter(|conn| conn.closing.is_none());
            conn.is_some_and(|conn| matches!(conn.kind, Kind::Admin(Some(_))))
        };
        let Some(silent) = self.life.admins.iter().find(is_silent).copied() else { return false };
        self.close(silent, Cause::GaveWay, now);
        true
    }

    /// An admin's connection was accepted. It is for one request, which must come in time.
    pub fn accept_admin(&mut self, now: Instant) -> Id {
        let id = self.conns.insert(Conn::new(Kind::Admin(Some(Vec::new())), 0));
        self.life.admins.push(id);
        self.timers.arm(Timer::Handshake(id), now + HANDSHAKE_TIMEOUT);
        id
    }

    /// Whether an admin has stopped the connector, and it has come to rest.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        self.life.rests && self.stopped
    }

    /// Whether it is about to end, or has.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        (self.stopping && !self.life.rests) || self.life.ends
    }

    /// Whether it ends as soon as the admins who are connected have their answers.
    #[must_use]
    pub fn ends_when_answered(&self) -> bool {
        self.life.ends
    }

    /// Carries out a command about the connector as a whole, if it is one; else false.
    pub(super) fn life_command(&mut self, id: Id, request: &Request, now: Instant) -> bool {
        let text = |name: &str| request.arguments.get(name).and_then(Value::as_str);
        let work = match request.command.as_str() {
            "start" => return self.start_asked(id, now),
            "stop" => return self.stop_asked(id, request, now),
            "restart" => match asked_restart(request) {
                Ok(restart) => OwnerWork::Prepare(id, restart),
                Err(why) => return self.refuse_admin(id, why, now),
            },
            "reload" => OwnerWork::Reload(id),
            "show_log_level" => OwnerWork::ShowLogLevel(id),
            "set_log_level" => match text("level") {
                Some(level) => OwnerWork::SetLogLevel(id, level.to_owned()),
                None => return self.refuse_admin(id, "the argument level, as in INFO, is expected".to_owned(), now),
            },
            _ => return false,
        };
        self.outputs.push_back(Output::Life(LifeWork::Owner(work)));
        true
    }

    /// The owner has done what an admin wanted, or has not.
    pub fn owner_answers(&mut self, id: Id, result: Result<String, String>, now: Instant) {
        match result {
            Ok(answer) => self.answer_admin(id, &answer, now),
            Err(why) => _ = self.refuse_admin(id, why, now),
        }
    }

    fn stop_asked(&mut self, id: Id, request: &Request, now: Instant) -> bool {
        let flag = |name: &str| request.arguments.get(name) == Some(&Value::Bool(true));
        let ends = flag("shutdown");
        if flag("client_wait_for_reconnect") && !ends && self.settings.role == Role::Client {
            return self.drop_link(id, now);
        }
        if self.is_ending() {
            return self.refuse_admin(id, "the connector is about to end".to_owned(), now);
        }
        self.refuse_starters("another admin has stopped the connector", now);
        self.timers.disarm(Timer::Begin);
        let ends = ends || self.life.then == Then::End;
        self.life.then = if ends { Then::End } else { Then::Rest };
        self.life.stoppers.push(id);
        self.order_rest(flag("hard"), now);
        true
    }

    /// On a client: its link ends and is dialled again. Apps notice nothing.
    fn drop_link(&mut self, id: Id, now: Instant) -> bool {
        let links: Vec<Id> = self.conns.iter().filter(|(_, conn)| conn.link().is_some()).map(|(id, _)| id).collect();
        links.into_iter().for_each(|link| self.close(link, Cause::Disconnected, now));
        self.answer_admin(id, DONE, now);
        true
    }

    fn start_asked(&mut self, id: Id, now: Instant) -> bool {
        if self.is_ending() || self.life.then == Then::End {
            return self.refuse_admin(id, "the connector is about to end".to_owned(), now);
        }
        if !self.life.rests {
            self.answer_admin(id, DONE, now);
            return true;
        }
        self.life.starters.push(id);
        if self.stopped {
            self.timers.disarm(Timer::Begin);
            // A restart whose pause this ends still reads the config.
            self.begin_due();
        } else if self.life.then == Then::Rest {
            self.life.then = Then::Begin { pause: Duration::ZERO, anew: false };
        }
        true
    }

    /// The owner has looked whether this admin's restart would do.
    pub fn restart_prepared(&mut self, id: Id, restart: Restart, result: Result<(), String>, now: Instant) {
        let ends = self.is_ending() || self.life.then == Then::End;
        let result = if ends { Err("the connector is about to end".to_owned()) } else { result };
        if let Err(why) = result {
            self.refuse_admin(id, why, now);
            return;
        }
        self.timers.disarm(Timer::Begin);
        self.life.then = Then::Begin { pause: restart.pause, anew: true };
        self.life.starters.push(id);
        self.order_rest(restart.hard, now);
    }

    /// Whatever the connector does now, it comes to rest.
    fn order_rest(&mut self, hard: bool, now: Instant) {
        if self.is_resting() {
            return self.go_on_from_rest(now);
        }
        if !std::mem::replace(&mut self.life.rests, true) || hard {
            self.outputs.push_back(Output::Life(LifeWork::Rest { hard }));
        }
    }

    /// The shell has closed its doors: what is queued still goes out, unless this is a hard stop.
    pub fn rest(&mut self, hard: bool, now: Instant) {
        if !self.life.rests || self.stopped {
            return;
        }
        if hard {
            self.stopping = true;
            self.end(now);
        } else if !self.stopping {
            self.drain(now);
        }
    }

    /// Whether the end that is reached is a rest: then all connections but those of admins are closed, and all that is
    /// queued stays.
    pub(super) fn settles_down(&mut self, now: Instant) -> bool {
        if !self.life.rests {
            return false;
        }
        self.stopped = true;
        self.timers.disarm(Timer::Shutdown);
        self.timers.disarm(Timer::Redial);
        let is_admin = |conn: &Conn| matches!(conn.kind, Kind::Admin(_));
        let others: Vec<Id> = self.conns.iter().filter(|(_, conn)| !is_admin(conn)).map(|(id, _)| id).collect();
        others.into_iter().for_each(|id| self.close(id, Cause::Stopping, now));
        self.settle(now);
        self.close_files();
        self.sync_now(now);
        self.report();
        self.outputs.push_back(Output::Life(LifeWork::Rests));
        self.go_on_from_rest(now);
        true
    }

    fn go_on_from_rest(&mut self, now: Instant) {
        for id in std::mem::take(&mut self.life.stoppers) {
            self.answer_admin(id, DONE, now);
        }
        match self.life.then {
            Then::Rest => {}
            Then::Begin { pause, .. } => self.timers.arm(Timer::Begin, now + pause),
            Then::End => self.outputs.push_back(Output::Life(LifeWork::Owner(OwnerWork::End))),
        }
    }

    pub(super) fn begin_due(&mut self) {
        let anew = matches!(self.life.then, Then::Begin { anew: true, .. });
        self.outputs.push_back(if anew {
            Output::Life(LifeWork::Owner(OwnerWork::BeginAnew))
        } else {
            Output::Life(LifeWork::Open)
        });
    }

    /// The doors are open: the connector serves again.
    pub fn begin_again(&mut self, now: Instant) {
        if !self.is_resting() {
            return;
        }
        (self.stopping, self.stopped, self.life.rests, self.life.then) = (false, false, false, Then::Rest);
        self.backoff.reset();
        self.servers.begin_anew();
        if self.settings.role == Role::Client {
            self.dial(now);
        }
        for inbox in 0..self.inboxes.len() {
            self.inboxes[inbox].away = false;
            self.dial_app(inbox);
            if !self.inboxes[inbox].ring.is_empty() {
                self.timers.arm(Timer::Unread(inbox), now + self.settings.send_timeout);
            }
        }
        for id in std::mem::take(&mut self.life.starters) {
            self.answer_admin(id, DONE, now);
        }
    }

    /// The doors cannot be opened: the connector goes on resting.
    pub fn not_begun(&mut self, why: &str, now: Instant) {
        self.life.then = Then::Rest;
        self.refuse_starters(&format!("it stays stopped: {why}"), now);
    }

    fn refuse_starters(&mut self, why: &str, now: Instant) {
        for id in std::mem::take(&mut self.life.starters) {
            self.refuse_admin(id, why.to_owned(), now);
        }
    }

    /// The connector that rests ends as soon as its admins have their answers; those who await that it serves again get
    /// this one.
    pub fn end_when_answered(&mut self, starters: Result<(), &str>, now: Instant) {
        if !self.is_resting() {
            return;
        }
        self.life.ends = true;
        match starters {
            Ok(()) => {
                for id in std::mem::take(&mut self.life.starters) {
                    self.answer_admin(id, DONE, now);
                }
            }
            Err(why) => self.refuse_starters(why, now),
        }
        self.timers.arm(Timer::Shutdown, now + LINGER);
        self.check_drained(now);
    }

    /// Whether a connector that waits for that has answered all admins, those too whose request has not come yet. It does
    /// not rest any more then.
    pub(super) fn has_answered(&mut self) -> bool {
        let waits = |id: &Id| self.conns.get(*id).is_some();
        let has_answered = self.life.ends && !self.life.admins.iter().any(waits);
        if has_answered {
            self.forget_rest();
        }
        has_answered
    }

    /// A connector that was to end as soon as all admins were answered does so.
    pub(super) fn wait_for_no_answers(&mut self) {
        if self.life.ends {
            self.forget_rest();
        }
    }

    /// The process is told to end. Whether the connector rests, or was about to: then that is all there is to do.
    pub(super) fn ends_rest(&mut self, now: Instant) -> bool {
        let (rested, drains) = (self.is_resting(), self.life.rests && self.stopping);
        self.forget_rest();
        if rested {
            self.end(now);
        }
        rested || drains
    }

    /// What comes is the end.
    pub(super) fn forget_rest(&mut self) {
        if self.life.rests {
            (self.life.rests, self.life.ends, self.stopped) = (false, false, false);
        }
    }
}

fn asked_restart(request: &Request) -> Result<Restart, String> {
    let pause = match request.arguments.get("sleep_between") {
        None | Some(Value::Null) => Some(Duration::ZERO),
        Some(seconds) => seconds.as_f64().and_then(|s| Duration::try_from_secs_f64(s).ok()),
    };
    let pause = pause.filter(|pause| *pause <= PAUSE_MAX);
    let most = PAUSE_MAX.as_secs();
    let pause = pause.ok_or_else(|| format!("the argument sleep_between must be a number of seconds up to {most}"))?;
    Ok(Restart { hard: request.arguments.get("hard") == Some(&json!(true)), pause })
}
