//! What clients, and apps on this machine, may send and receive, and how much.

use std::time::{Duration, Instant};

use super::access::NamePattern;
use crate::wire::topics::Pattern;

/// What may come at once after a pause: as much as in this time.
pub const BURST: Duration = Duration::from_secs(1);

/// Message types.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Types {
    /// All.
    #[default]
    All,
    /// Those that one of these stands for.
    Some(Vec<Pattern>),
}

impl Types {
    /// Whether the type is among them.
    #[must_use]
    pub fn has(&self, message_type: &str) -> bool {
        match self {
            Types::All => true,
            Types::Some(patterns) => patterns.iter().any(|pattern| pattern.matches(message_type)),
        }
    }
}

/// What the clients of some names may do.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientRule {
    /// Whom it is for.
    pub id: NamePattern,
    /// What they may send, published types included.
    pub send: Types,
    /// What they may be sent.
    pub recv: Types,
    /// Most messages that are read of one in a second.
    pub messages_per_second: Option<f64>,
    /// Most bytes that are read of one in a second.
    pub bytes_per_second: Option<f64>,
}

/// Who is at the other end of a Unix socket, as the system says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its other groups.
    pub groups: Vec<u32>,
    /// Its process; 0 if that is of another namespace.
    pub pid: i32,
}

impl std::fmt::Display for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "uid {} gid {} pid {}", self.uid, self.gid, self.pid)
    }
}

/// What some apps on this machine may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalRule {
    /// Only those of this user.
    pub uid: Option<u32>,
    /// Only those of this group, as their own or one of their others.
    pub gid: Option<u32>,
    /// What they may send, published types included.
    pub send: Types,
    /// What they may receive.
    pub recv: Types,
}

impl LocalRule {
    /// Whether it is for this app.
    #[must_use]
    pub fn names(&self, caller: &Caller) -> bool {
        let has_group = |gid| caller.gid == gid || caller.groups.contains(&gid);
        self.uid.is_none_or(|uid| uid == caller.uid) && self.gid.is_none_or(has_group)
    }
}

/// What an app may do: that of the first rule that names it; without rules all, else nothing.
fn of_app<'a>(rules: &'a [LocalRule], caller: Option<&Caller>, what: fn(&'a LocalRule) -> &'a Types) -> Allowed<'a> {
    if rules.is_empty() {
        return Allowed(Some(&Types::All));
    }
    Allowed(caller.and_then(|caller| rules.iter().find(|rule| rule.names(caller))).map(what))
}

/// The types that are allowed, if any.
struct Allowed<'a>(Option<&'a Types>);

/// Whether an app may send messages of a type.
#[must_use]
pub fn app_may_send(rules: &[LocalRule], caller: Option<&Caller>, message_type: &str) -> bool {
    of_app(rules, caller, |rule| &rule.send).0.is_some_and(|types| types.has(message_type))
}

/// Whether an app may receive messages of a type.
#[must_use]
pub fn app_may_receive(rules: &[LocalRule], caller: Option<&Caller>, message_type: &str) -> bool {
    of_app(rules, caller, |rule| &rule.recv).0.is_some_and(|types| types.has(message_type))
}

/// How much of something may come in a second. What comes is counted when it is there; with more than there may be, a
/// debt is left, and until that is over nothing more is to come.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    per_second: f64,
    /// What came so far is paid for at this time.
    paid_at: Option<Instant>,
}

impl Bucket {
    /// A bucket for so many a second, which is more than 0.
    #[must_use]
    pub fn new(per_second: f64) -> Self {
        Self { per_second, paid_at: None }
    }

    /// So many have come.
    pub fn charge(&mut self, count: usize, now: Instant) {
        let rested = now.checked_sub(BURST).unwrap_or(now);
        let from = self.paid_at.map_or(rested, |at| at.max(rested));
        // No debt is longer than a year, whatever the numbers.
        let seconds = (count as f64 / self.per_second).min(31_536_000.0);
        self.paid_at = Some(from + Duration::from_secs_f64(seconds));
    }

    /// Until when nothing more is to come.
    #[must_use]
    pub fn wait_until(&self, now: Instant) -> Option<Instant> {
        self.paid_at.filter(|at| *at > now)
    }

    /// Whether it is as if it were new.
    #[must_use]
    pub fn is_rested(&self, now: Instant) -> bool {
        self.paid_at.is_none_or(|at| at + BURST <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(patterns: &[&str]) -> Types {
        Types::Some(patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect())
    }

    fn caller(uid: u32, gid: u32, groups: &[u32]) -> Caller {
        Caller { uid, gid, groups: groups.to_vec(), pid: 1 }
    }

    #[test]
    fn types_have_the_wildcards_of_subscriptions() {
        assert!(Types::All.has("anything") && !types(&[]).has("anything"));
        let some = types(&["a", "sensors.>", "x.*.z"]);
        for (message_type, has) in [("a", true), ("b", false), ("sensors.1.2", true), ("x.y.z", true), ("x.y", false)] {
            assert_eq!(some.has(message_type), has, "{message_type}");
        }
    }

    #[test]
    fn without_local_rules_everybody_may_all_and_else_who_is_named_by_one() {
        assert!(app_may_send(&[], None, "a") && app_may_receive(&[], None, "a"));
        let rules = [
            LocalRule { uid: Some(1), send: types(&["a"]), ..LocalRule::default() },
            LocalRule { gid: Some(7), recv: types(&["b"]), ..LocalRule::default() },
        ];
        let send = |who: &Caller, message_type| app_may_send(&rules, Some(who), message_type);
        let receive = |who: &Caller, message_type| app_may_receive(&rules, Some(who), message_type);
        let (first, member, other) = (caller(1, 7, &[]), caller(2, 3, &[5, 7]), caller(3, 3, &[]));
        assert!(send(&first, "a") && !send(&first, "b") && receive(&first, "z"), "the first rule holds");
        assert!(send(&member, "z") && receive(&member, "b") && !receive(&member, "a"));
        assert!(!send(&other, "a") && !receive(&other, "b"), "no rule names it");
        assert!(!app_may_send(&rules, None, "a"), "who is not known is named by none");
        let last = [LocalRule { uid: Some(1), gid: Some(8), ..LocalRule::default() }];
        assert!(!app_may_send(&last, Some(&first), "a"), "both must hold");
    }

    #[test]
    fn a_bucket_lets_its_rate_through_and_a_second_of_it_at_once() {
        let (mut bucket, start) = (Bucket::new(10.0), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let mut taken = 0;
        for ms in 0..10_000 {
            while bucket.wait_until(at(ms)).is_none() {
                bucket.charge(1, at(ms));
                taken += 1;
            }
        }
        assert!((110..=112).contains(&taken), "{taken}");
        assert!(!bucket.is_rested(at(10_500)) && bucket.is_rested(at(12_000)));
    }

    #[test]
    fn what_is_more_than_there_may_be_is_a_debt() {
        let (mut bucket, now) = (Bucket::new(1000.0), Instant::now());
        bucket.charge(11_000, now);
        assert_eq!(bucket.wait_until(now), Some(now + Duration::from_secs(10)));
        assert_eq!(bucket.wait_until(now + Duration::from_secs(10)), None);
        bucket.charge(usize::MAX, now);
        assert!(bucket.wait_until(now).is_some(), "and no number is too large");
    }
}
