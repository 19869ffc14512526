//! Several addresses of a server: which is dialled, and how the link goes back to the first.

use std::time::Duration;

use aioconnectors::core::{Cause, Concern, DialStep, Event, Id, Output, Secured, Settings};
use aioconnectors::wire::control::{CloseReason, close};
use aioconnectors::wire::names::Role;

use crate::pair::told;
use crate::rig::{Rig, SERVER, any_to, ping_answer, settings, typed_from};

const MINUTE: Duration = Duration::from_secs(60);

fn client_with(change: impl FnOnce(&mut Settings)) -> Rig {
    let mut rig = Rig::client_with(change);
    let names = ["first", "second", "third"].map(str::to_owned).to_vec();
    rig.core.set_servers(names, Some(MINUTE));
    rig
}

fn refused() -> Cause {
    Cause::Failed("refused".to_owned())
}

/// The attempt that is under way fails; to which address it was.
fn fail(rig: &mut Rig) -> usize {
    let id = rig.dialled().expect("it dials");
    let server = rig.core.server_of(id);
    rig.closed(id, refused());
    server
}

/// What was told of the last failure: the address, the wait.
fn last_failure(rig: &Rig) -> (String, Duration) {
    let told = rig.events().into_iter().rev().find_map(|event| match event {
        Event::DialAgain { server, after, .. } | Event::StaysAway { server, after, .. } => {
            Some((server.clone(), *after))
        }
        _ => None,
    });
    told.expect("a failure was told")
}

/// Lets time pass until it dials another time.
#[track_caller]
fn pass_until_dialled(rig: &mut Rig) -> Id {
    let before = rig.dialled();
    for _ in 0..60_000 {
        if rig.dialled() != before {
            return rig.dialled().expect("just seen");
        }
        rig.pass(Duration::from_millis(20));
    }
    panic!("it does not dial any more");
}

#[test]
fn addresses_are_tried_in_their_order_with_a_wait_after_the_last() {
    let mut rig = client_with(|_| {});
    let mut tried = Vec::new();
    for _ in 0..9 {
        tried.push((fail(&mut rig), last_failure(&rig)));
        pass_until_dialled(&mut rig);
    }
    assert_eq!(tried.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2, 0, 1, 2]);
    let names: Vec<&str> = tried.iter().map(|(_, (name, _))| name.as_str()).take(3).collect();
    assert_eq!(names, ["first", "second", "third"]);
    for (at, (_, after)) in &tried {
        assert!(*at == 2 || *after <= Duration::from_millis(100), "between two addresses: {tried:?}");
    }
    assert!(tried[8].1.1 >= Duration::from_millis(100), "rounds are farther and farther apart: {tried:?}");
}

#[test]
fn an_address_that_does_not_answer_costs_its_connect_timeout() {
    let mut rig = client_with(|_| {});
    let first = rig.dialled();
    rig.pass(Duration::from_millis(9_900));
    assert_eq!(rig.dialled(), first);
    rig.pass(Duration::from_millis(300));
    assert_eq!(rig.core.server_of(rig.dialled().unwrap()), 1);
    assert_ne!(rig.dialled(), first);
}

#[test]
fn failures_are_told_anew_for_each_address_and_then_are_details() {
    let mut rig = client_with(|_| {});
    for _ in 0..6 {
        fail(&mut rig);
        pass_until_dialled(&mut rig);
    }
    let repeated: Vec<bool> = rig
        .events()
        .iter()
        .filter_map(|e| if let Event::DialAgain { repeated, .. } = e { Some(*repeated) } else { None })
        .collect();
    assert_eq!(repeated, [false, false, false, true, true, true]);
}

#[test]
fn each_step_on_the_way_through_a_proxy_has_its_time_and_its_word() {
    let mut rig = client_with(|_| {});
    for (step, limit, words) in [
        (DialStep::Hook(MINUTE), 70, "hook_proxy_authorization"),
        (DialStep::Connect, 10, "connect_timeout"),
        (DialStep::Proxy("p:3128".to_owned()), 10, "proxy p:3128"),
    ] {
        let id = rig.dialled().unwrap();
        rig.core.dial_step(id, step, rig.now);
        rig.pass(Duration::from_secs(limit - 1));
        assert!(!rig.is_closed(id), "{words}");
        rig.pass(Duration::from_secs(1));
        assert!(rig.is_closed(id), "{words}");
        assert!(told(&rig, |e| matches!(e, Event::DialAgain { cause, .. } if cause.to_string().contains(words))));
        if rig.dialled() == Some(id) {
            pass_until_dialled(&mut rig);
        }
    }
}

/// A client with several addresses, its server, and the lines between them: the client's end, the server's.
struct Lines {
    client: Rig,
    server: Rig,
    lines: Vec<(Id, Id)>,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
}

impl Lines {
    /// The link is up by the second address.
    fn new() -> Self {
        let mut client = client_with(|_| {});
        fail(&mut client);
        pass_until_dialled(&mut client);
        let server = Rig::new(settings(Role::Server));
        let mut lines = Self { client, server, lines: Vec::new(), to_server: Vec::new(), to_client: Vec::new() };
        assert_eq!(lines.join(), 1);
        lines.run();
        lines
    }

    /// What the client has dialled last is open; to which address it is.
    fn join(&mut self) -> usize {
        let ours = self.client.open_dialled(Secured::Anonymous);
        let theirs = self.server.accept_link();
        self.server.secured(theirs, Secured::Anonymous);
        self.lines.push((ours, theirs));
        self.client.core.server_of(ours)
    }

    /// Up to so many bytes go each way on one line; whether there were any. Ends are seen by the other side.
    fn pump(&mut self, line: usize, most: usize) -> bool {
        let (ours, theirs) = self.lines[line];
        let up = self.client.sent_up_to(ours, most);
        self.server.input(theirs, &up);
        let down = self.server.sent_up_to(theirs, most);
        self.client.input(ours, &down);
        if self.server.is_closed(theirs) && !self.client.is_closed(ours) {
            self.client.closed(ours, Cause::ClosedByPeer);
        }
        if self.client.is_closed(ours) && !self.server.is_closed(theirs) {
            self.server.closed(theirs, Cause::ClosedByPeer);
        }
        !up.is_empty() || !down.is_empty()
    }

    fn read(&mut self) {
        self.to_server.extend(self.server.read_apps().into_iter().flat_map(|(_, data)| data));
        self.to_client.extend(self.client.read_apps().into_iter().flat_map(|(_, data)| data));
    }

    fn run(&mut self) {
        loop {
            let goes_on = (0..self.lines.len()).fold(false, |goes_on, line| self.pump(line, usize::MAX) | goes_on);
            self.read();
            if !goes_on {
                return;
            }
        }
    }

    /// Time passes until the client dials the first address beside the link that it has.
    fn pass_until_it_returns(&mut self) {
        let begin = self.client.now;
        let id = pass_until_dialled(&mut self.client);
        self.server.pass(self.client.now - begin);
        assert!(self.client.core.is_returning(id) && self.client.core.server_of(id) == 0);
    }
}

#[test]
fn the_link_goes_back_to_the_first_address_beside_the_one_that_there_is() {
    let mut lines = Lines::new();
    let (old, _) = lines.lines[0];
    let dialled = lines.client.dialled();
    lines.client.pass(MINUTE / 2 - Duration::from_secs(1));
    assert_eq!(lines.client.dialled(), dialled, "not before half of the time");
    lines.client.pass(MINUTE / 2 + Duration::from_secs(1));
    assert_ne!(lines.client.dialled(), dialled, "not after all of it");
    assert!(!lines.client.is_closed(old));
    assert_eq!(lines.join(), 0);
    lines.run();
    assert!(lines.client.is_closed(old), "the old link is given up");
    let peers: Vec<String> = lines.client.core.connected_peers().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(peers, [SERVER]);
    let downs = lines.client.events().iter().filter(|e| matches!(e, Event::PeerDown { .. })).count();
    assert_eq!(downs, 1);
    for rig in [&lines.client, &lines.server] {
        let is_it = |cause: &Cause| matches!(cause, Cause::Moved | Cause::Announced(CloseReason::Moved));
        let ended = rig.events().into_iter().find(|e| matches!(e, Event::PeerDown { cause, .. } if is_it(cause)));
        assert_eq!(ended.map(Event::concern), Some(Concern::Routine), "{:?}", rig.events());
    }
    let dialled = lines.client.dialled();
    lines.client.pass(10 * MINUTE);
    assert_eq!(lines.client.dialled(), dialled, "there it stays");
}

#[test]
fn an_attempt_to_go_back_that_fails_harms_nothing_and_is_made_again() {
    let mut lines = Lines::new();
    let (old, _) = lines.lines[0];
    for _ in 0..3 {
        lines.pass_until_it_returns();
        assert_eq!(fail(&mut lines.client), 0);
        assert!(!lines.client.is_closed(old));
        let (name, after) = last_failure(&lines.client);
        assert!(name == "first" && after >= MINUTE / 2 && after <= MINUTE, "{after:?}");
    }
    let repeated: Vec<bool> = lines
        .client
        .events()
        .iter()
        .filter_map(|e| if let Event::StaysAway { repeated, .. } = e { Some(*repeated) } else { None })
        .collect();
    assert_eq!(repeated, [true, true, true], "it had failed for the same cause before");
    let app = lines.client.app();
    lines.client.input(app, &any_to(SERVER, b"x"));
    lines.run();
    assert_eq!(lines.to_server, b"x");
}

#[test]
fn nothing_is_lost_or_comes_twice_wherever_the_old_link_is_when_it_moves() {
    let mut ended_first = false;
    for most in (0..3_000).step_by(97) {
        for new_first in [false, true] {
            let mut lines = Lines::new();
            let (ours, theirs) = (lines.client.app(), lines.server.app());
            for number in 0..10 {
                lines.client.input(ours, &any_to(SERVER, &[number]));
                lines.server.input(theirs, &any_to("c1", &[number]));
            }
            lines.pass_until_it_returns();
            lines.join();
            for number in 10..30 {
                lines.client.input(ours, &any_to(SERVER, &[number]));
                lines.server.input(theirs, &any_to("c1", &[number]));
            }
            // Some of it goes out by the old link, with or without a word of the new one in between.
            lines.pump(0, most);
            if new_first {
                lines.pump(1, usize::MAX);
                lines.pump(1, usize::MAX);
            } else {
                let (ours, theirs) = lines.lines[1];
                let said = lines.client.sent(ours);
                lines.server.input(theirs, &said);
                let answer = lines.server.sent(theirs);
                lines.client.input(ours, &answer);
                let said = lines.client.sent(ours);
                lines.server.input(theirs, &said);
                // The server has ended the old one; the client sees that before it sees the new one come up.
                lines.pump(0, usize::MAX);
                ended_first |= lines.client.is_closed(lines.lines[0].0);
            }
            lines.client.input(ours, &any_to(SERVER, &[30]));
            lines.server.input(theirs, &any_to("c1", &[30]));
            lines.run();
            let all: Vec<u8> = (0..=30).collect();
            assert_eq!(lines.to_server, all, "to the server, {most} bytes, {new_first}: {:?}", lines.client.ledger());
            assert_eq!(lines.to_client, all, "to the client, {most} bytes, {new_first}: {:?}", lines.server.ledger());
        }
    }
    assert!(ended_first, "the old link was never ended first");
}

/// The server has ended the old link for the new one, which is not up yet.
fn between() -> (Lines, Id) {
    let mut lines = Lines::new();
    lines.pass_until_it_returns();
    lines.join();
    let (old, _) = lines.lines[0];
    lines.client.input(old, &crate::link2::control_record(&close(SERVER, CloseReason::Replaced)));
    lines.client.closed(old, Cause::ClosedByPeer);
    assert_eq!(lines.client.core.connected_peers().count(), 0);
    (lines, old)
}

#[test]
fn what_is_sent_between_the_old_link_and_the_new_waits_for_that() {
    let (mut lines, _) = between();
    let app = lines.client.app();
    lines.client.input(app, &any_to(SERVER, b"x"));
    let dialled = lines.client.dialled();
    lines.client.pass(Duration::from_secs(1));
    assert_eq!(lines.client.dialled(), dialled, "it dials no third one");
    lines.run();
    assert_eq!((lines.to_server.as_slice(), lines.client.ledger()), (&b"x"[..], Vec::<String>::new()));
}

#[test]
fn if_the_new_link_does_not_come_up_either_it_dials_again() {
    let (mut lines, _) = between();
    let (new, _) = lines.lines[1];
    lines.client.closed(new, refused());
    let app = lines.client.app();
    lines.client.input(app, &any_to(SERVER, b"x"));
    assert_eq!(lines.client.ledger(), [format!("{SERVER} any peer_away 1")]);
    let next = pass_until_dialled(&mut lines.client);
    assert!(!lines.client.core.is_returning(next));
    lines.lines.clear();
    lines.join();
    lines.run();
    assert_eq!(lines.client.core.connected_peers().count(), 1);
}

#[test]
fn a_link_that_is_lost_while_the_first_is_tried_leaves_that_attempt_to_go_on() {
    let mut lines = Lines::new();
    lines.pass_until_it_returns();
    let (old, _) = lines.lines[0];
    lines.client.closed(old, refused());
    let app = lines.client.app();
    lines.client.input(app, &any_to(SERVER, b"x"));
    assert_eq!(lines.client.ledger(), [format!("{SERVER} any peer_away 1")], "nothing is on its way to be up");
    assert_eq!(lines.join(), 0);
    lines.run();
    assert_eq!(lines.client.core.connected_peers().count(), 1);
}

#[test]
fn a_first_address_whose_links_end_early_is_left_and_gone_back_to_later_each_time() {
    let mut lines = Lines::new();
    let mut waits = Vec::new();
    for _ in 0..4 {
        let begin = lines.client.now;
        let id = pass_until_dialled(&mut lines.client);
        assert!(lines.client.core.is_returning(id));
        waits.push(lines.client.now - begin);
        lines.join();
        lines.run();
        let (new, _) = *lines.lines.last().unwrap();
        lines.client.closed(new, refused());
        lines.server.closed(lines.lines.last().unwrap().1, refused());
        // The next is the second address.
        lines.lines.clear();
        pass_until_dialled(&mut lines.client);
        assert_eq!(lines.join(), 1);
        lines.run();
    }
    assert!(waits.windows(2).all(|two| two[1] > two[0].mul_f64(0.9)), "{waits:?}");
    assert!(waits[3] >= 4 * MINUTE, "{waits:?}");
}

#[test]
fn a_link_of_the_first_kind_stays_where_it_is() {
    let mut rig = client_with(|settings| settings.link2 = false);
    fail(&mut rig);
    pass_until_dialled(&mut rig);
    let link = rig.open_dialled(Secured::Anonymous);
    rig.sent(link);
    rig.input(link, &ping_answer("link_check"));
    rig.input(link, &typed_from("any", SERVER, b"x"));
    let dialled = rig.dialled();
    rig.pass(10 * MINUTE);
    assert_eq!(rig.dialled(), dialled);
    rig.closed(link, refused());
    pass_until_dialled(&mut rig);
    assert_eq!(rig.core.server_of(rig.dialled().unwrap()), 0);
}

#[test]
fn a_connector_that_stops_gives_up_the_way_back() {
    let mut lines = Lines::new();
    lines.pass_until_it_returns();
    let id = lines.client.dialled().unwrap();
    lines.client.stop();
    assert!(lines.client.is_closed(id));
    lines.run();
    assert!(lines.client.outputs.contains(&Output::Stopped));
}
