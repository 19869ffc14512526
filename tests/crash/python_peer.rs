//! Our connector, its queues on disk, towards a peer of the Python package.
//!
//! It knows what TCP has confirmed, and no more. So what is cut off comes again and nothing is lost while the peer lives;
//! what a peer had received and not handed on when it was killed is gone.

use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use serde_json::json;

use crate::common::{Admin, Place, Process, Setup, certificates, free_port, wait};
use crate::cutter::Cutter;
use crate::message::Route;
use crate::pair::{Daemon, Security, durable};
use crate::python;
use crate::receiver::{Manner, Receiver};
use crate::seed::{Seed, gaps, messages};
use crate::sender::{Sender, assert_lost_in_sockets_only};

/// Messages of every day. The Python connector hands on some thousands a second.
const MESSAGES: u64 = 6_000;

/// How often a connector is killed, or the link is cut.
const TIMES: usize = 3;

/// More bytes than a client sends before its first message: a peer that is cut off before that waits for long.
const HANDSHAKE: u64 = 8 * 1024;

/// How far a sender is ahead of what has arrived at a peer that is killed.
const AHEAD: u64 = 500;

/// Messages of such a sender at once.
const STEP: usize = 100;

/// Time after which messages that have not come are taken for lost.
const PATIENCE: Duration = Duration::from_secs(3);

/// A server of the Python package that is started again and again.
struct PythonServer {
    setup: Setup,
    port: u16,
    process: Process,
    past: Vec<Process>,
}

impl PythonServer {
    #[track_caller]
    fn start(setup: Setup, port: u16) -> PythonServer {
        // One that was killed leaves its sockets behind, and asks to be told that it may replace them.
        let setup = setup
            .with("reuse_server_sockaddr", true)
            .with("reuse_uds_path_commander_server", true)
            .with("reuse_uds_path_send_to_connector", true);
        let process = PythonServer::run(&setup, port);
        PythonServer { setup, port, process, past: Vec::new() }
    }

    #[track_caller]
    fn run(setup: &Setup, port: u16) -> Process {
        let mut process = python::spawn("peer.py", setup, &[]);
        setup.wait_ready(&mut process);
        wait::until("a server that listens", || {
            assert!(process.is_running(), "the server ended at its start");
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        process
    }

    #[track_caller]
    fn kill_and_start_again(&mut self) {
        self.process.kill();
        let fresh = PythonServer::run(&self.setup, self.port);
        self.past.push(std::mem::replace(&mut self.process, fresh));
    }
}

/// Whether a Python server is done with its last client, or is not there.
///
/// When a connection has ended it waits until its apps have taken all that came, and then cancels the tasks of that
/// client by name. If the client is there again by then, those are the tasks of its new connection: what comes on it is
/// confirmed by TCP and never read. So who is to lose nothing comes later. The task that sends is the last that it
/// cancels, and it is in the table until then.
fn has_let_go(server: &Admin) -> bool {
    let Some(peers) = server.connected_peers() else { return true };
    let tasks = || server.ask("show_attribute__sync", json!({"attribute": "tasks"}));
    peers.is_empty() && tasks().is_ok_and(|tasks| !tasks.contains("_outgoing'"))
}

/// What is done to the two while messages flow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deed {
    KillPeer,
    KillOwn,
    Cut,
}

/// Messages from our client to a Python server.
struct Run {
    test: &'static str,
    random: Rng,
    count: u64,
    client: Daemon,
    server: PythonServer,
    cutter: Cutter,
    receiver: Receiver,
    route: Route,
    _seed: Seed,
    _place: Place,
}

impl Run {
    #[track_caller]
    fn start(test: &'static str, security: Security) -> Run {
        let seed = Seed::new(test);
        let (place, port) = (Place::new(), free_port());
        let server = durable(Setup::server(&place, port), security);
        let admin = server.admin();
        let cutter = Cutter::start(port, move || has_let_go(&admin));
        let client = durable(Setup::client(&place, "client1", cutter.port), security);
        if security == Security::Certificates {
            certificates::make(&place.file("made"));
            certificates::hand_out(&place.file("made"), &server);
            certificates::hand_out(&place.file("made"), &client);
        }
        let server = PythonServer::start(server, port);
        let client = Daemon::start(client);
        wait::until("the client at the server", || {
            server.setup.admin().connected_peers()?.contains_key(&client.setup.id).then_some(())
        });
        wait::until("the server at the client", || client.setup.admin().connected_peers().filter(|p| !p.is_empty()));
        let receiver = Receiver::listen(server.setup.receive_socket("any"), Manner::Plain);
        let route = Route::new("any", &client.setup, &server.setup);
        let (random, count) = (seed.random(), messages(MESSAGES));
        Run { test, random, count, client, server, cutter, receiver, route, _seed: seed, _place: place }
    }

    /// Sends while `deed` is done some times, then a last message, which must arrive.
    #[track_caller]
    fn send(&mut self, deed: Deed) -> Sender {
        let gaps = gaps(&mut self.random, TIMES, self.count * 4 / 5);
        let mut sender = Sender::new(self.client.setup.send_socket(), self.route.clone());
        let (written, reached, count) = (sender.written.clone(), self.receiver.reached(), self.count);
        let (client, server, cutter) = (&mut self.client, &mut self.server, &self.cutter);
        if deed == Deed::Cut {
            // Whenever it cuts more is to come than the network's buffer holds.
            let most = self.route.encode(0..count).bytes.len() as u64 / (2 * TIMES as u64);
            cutter.cut_after((0..TIMES).map(|_| self.random.u64(HANDSHAKE..most)));
        }
        thread::scope(|scope| {
            scope.spawn(|| match deed {
                // It would receive all before it is killed, and lose it.
                Deed::KillPeer => (0..count).step_by(STEP).for_each(|end| {
                    reached.reach(end.saturating_sub(AHEAD), PATIENCE);
                    sender.send_to((end + STEP as u64).min(count));
                }),
                _ => sender.send_to(count),
            });
            match deed {
                Deed::KillOwn => client.kill_after_each(&gaps, &written, count),
                Deed::KillPeer => gaps.iter().for_each(|gap| {
                    // Some may have been lost at the end.
                    reached.reach(reached.get() + gap, PATIENCE);
                    server.kill_and_start_again();
                }),
                Deed::Cut => {
                    eprintln!("{}: bytes confirmed and not taken when it was cut: {:?}", self.test, cutter.wait_cuts())
                }
            }
        });
        sender.send_to(count + 1);
        self.receiver.wait_number(count);
        self.client.assert_sound();
        let tally = self.receiver.tally();
        eprintln!("{}: after {gaps:?}\n  {}", self.test, tally.describe(count + 1));
        tally.assert_order(count + 1);
        if deed != Deed::KillPeer {
            self.cutter.assert_all_read();
        }
        sender
    }

    #[track_caller]
    fn assert_nothing_lost(&self) {
        let tally = self.receiver.tally();
        assert_eq!(tally.lost(self.count + 1), [], "{}", tally.describe(self.count + 1));
    }
}

#[track_caller]
fn cut_links_lose_nothing(test: &'static str, security: Security) {
    if python::interpreter().is_some() {
        let mut run = Run::start(test, security);
        run.send(Deed::Cut);
        run.assert_nothing_lost();
    }
}

#[test]
fn a_plain_link_to_a_python_peer_that_is_cut_loses_nothing() {
    cut_links_lose_nothing("a_plain_link_to_a_python_peer_that_is_cut_loses_nothing", Security::Plain);
}

#[test]
fn a_tls_link_to_a_python_peer_that_is_cut_loses_nothing() {
    cut_links_lose_nothing("a_tls_link_to_a_python_peer_that_is_cut_loses_nothing", Security::Certificates);
}

#[test]
fn a_python_peer_that_is_killed_costs_only_what_it_had_received() {
    if python::interpreter().is_some() {
        let mut run = Run::start("a_python_peer_that_is_killed_costs_only_what_it_had_received", Security::Plain);
        run.send(Deed::KillPeer);
        let lost = run.receiver.tally().lost(run.count + 1);
        assert!(lost.len() <= TIMES, "more than what was on its way at {TIMES} kills: {lost:?}");
    }
}

#[test]
fn a_connector_that_is_killed_costs_a_python_peer_only_what_was_in_the_sockets_of_apps() {
    if python::interpreter().is_some() {
        let test = "a_connector_that_is_killed_costs_a_python_peer_only_what_was_in_the_sockets_of_apps";
        let mut run = Run::start(test, Security::Certificates);
        let sender = run.send(Deed::KillOwn);
        assert_lost_in_sockets_only(&run.receiver.tally(), run.count + 1, &sender);
    }
}

#[test]
fn what_waits_for_acks_of_a_python_peer_survives_even_a_network_that_confirmed_it() {
    if python::interpreter().is_some() {
        let test = "what_waits_for_acks_of_a_python_peer_survives_even_a_network_that_confirmed_it";
        let mut run = Run::start(test, Security::Plain);
        run.route = run.route.clone().waiting_for_acks();
        run.cutter.swallow();
        run.send(Deed::Cut);
        run.assert_nothing_lost();
    }
}
