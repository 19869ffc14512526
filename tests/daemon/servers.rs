//! A server that its client reaches by several addresses: what it takes when one is gone, and the way back to the first.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::common::http_proxy::{HttpProxy, Manner};
use crate::common::traffic::{Account, END, messages};
use crate::common::{Frame, Place, Process, RawReceiver, RawSender, Setup, certificates, free_port, wait};
use crate::proxy::Proxy;

/// Longer than any of these tests.
const LONG: Duration = Duration::from_secs(3600);

/// Two ways to one server: what becomes of each is the test's choice.
struct Ways {
    client_process: Option<Process>,
    server_process: Process,
    server: Setup,
    client: Setup,
    /// The server's name at the client.
    id: String,
    ways: [Proxy; 2],
    _place: Place,
}

impl Ways {
    /// With TLS and certificates, or without; both configs changed like this. The client does not run yet.
    fn new(ssl: bool, change: impl Fn(Setup) -> Setup) -> Ways {
        let (place, port) = (Place::new(), free_port());
        let ways = [1, 2].map(|seed| Proxy::start(port, seed));
        let server = change(Setup::server(&place, port).with("use_ssl", ssl));
        let addresses = json!([["127.0.0.1", ways[0].port], ["127.0.0.1", ways[1].port]]);
        let client = Setup::client(&place, "client1", port).with("use_ssl", ssl);
        let client = change(client.with("server_sockaddr", addresses).with("server_return_after", 0.5));
        if ssl {
            certificates::make(&place.file("made"));
            [&server, &client].into_iter().for_each(|setup| certificates::hand_out(&place.file("made"), setup));
        }
        let id = format!("('127.0.0.1', {})", ways[0].port);
        let server_process = server.start();
        Ways { client_process: None, server_process, server, client, id, ways, _place: place }
    }

    fn start_client(&mut self) {
        self.client_process = Some(self.client.start());
    }

    fn client_process(&self) -> &Process {
        self.client_process.as_ref().expect("it was started")
    }

    /// From now on nobody listens there.
    fn close(&self, way: usize) {
        self.ways[way].refuse(LONG);
        wait::until("an address where nobody listens", || {
            TcpStream::connect(("127.0.0.1", self.ways[way].port)).err().map(drop)
        });
    }

    fn open(&self, way: usize) {
        self.ways[way].refuse(Duration::ZERO);
    }

    /// Waits until the link is up, and is the one by this way.
    #[track_caller]
    fn wait_by(&self, way: usize) {
        wait::until(&format!("a link by way {way}"), || {
            let at_server = self.server.admin().connected_peers()?;
            let at_client = self.client.admin().connected_peers()?;
            let from = self.ways[way].seen_by_server()?.port();
            let is_it = at_server.get("client1").is_some_and(|peer| peer.to_string().contains(&from.to_string()));
            (at_client.contains_key(&self.id) && is_it).then_some(())
        });
    }

    /// Has messages flow both ways while `act` acts, and counts them.
    #[track_caller]
    fn check_while(&self, act: impl FnOnce()) {
        let over = AtomicBool::new(false);
        let ends = [(&self.client, &self.server, &*self.id), (&self.server, &self.client, "client1")];
        let receivers = ends.map(|(_, to, _)| RawReceiver::listen(to.receive_socket("any")));
        let sent = thread::scope(|scope| {
            let senders = ends.map(|(from, _, to)| scope.spawn(|| blast(from, to, &over)));
            act();
            over.store(true, SeqCst);
            senders.map(|sender| sender.join().expect("a sender"))
        });
        for (sent, receiver) in sent.iter().zip(&receivers) {
            assert!(receiver.wait_tag(END), "the last message did not come: {} of {}", receiver.count(), sent.len());
            Account::of(sent, &receiver.frames()).assert_exact("both ways");
        }
    }
}

/// Sends messages until it is over, and then the one that ends them.
fn blast(from: &Setup, to: &str, over: &AtomicBool) -> Vec<Frame> {
    let mut all = messages("any", &from.id, to, 60_000);
    let last = all.pop().expect("the one that ends them");
    let (mut app, mut sent) = (RawSender::connect(&from.send_socket()), 0);
    while !over.load(SeqCst) && sent < all.len() {
        let few = &all[sent..(sent + 20).min(all.len())];
        app.send_all(few);
        sent += few.len();
        thread::sleep(Duration::from_millis(5));
    }
    all.truncate(sent);
    app.send_all([&last]);
    all.push(last);
    all
}

#[test]
fn the_link_moves_to_the_first_address_and_nothing_is_lost_or_comes_twice_though_nothing_is_stored() {
    for ssl in [false, true] {
        let mut ways = Ways::new(ssl, |setup| setup);
        ways.close(0);
        ways.start_client();
        ways.wait_by(1);
        for _ in 0..3 {
            ways.check_while(|| {
                ways.open(0);
                ways.wait_by(0);
            });
            ways.client_process().wait_said("a link by another address of the server takes its place");
            ways.close(0);
            ways.ways[0].cut(false);
            ways.wait_by(1);
        }
    }
}

#[test]
fn when_an_address_fails_under_load_the_other_goes_on_with_what_is_stored() {
    let stored = |setup: Setup| setup.with("disk_persistence_send", true).with("disk_persistence_recv", true);
    for ssl in [false, true] {
        let mut ways = Ways::new(ssl, stored);
        ways.start_client();
        ways.wait_by(0);
        ways.check_while(|| {
            for _ in 0..3 {
                ways.close(0);
                ways.ways[0].cut(true);
                ways.wait_by(1);
                ways.open(0);
                ways.wait_by(0);
            }
        });
    }
}

#[test]
fn a_first_address_that_flaps_costs_no_message() {
    let mut ways = Ways::new(false, |setup| setup.with("disk_persistence_send", true));
    ways.start_client();
    ways.wait_by(0);
    ways.check_while(|| {
        for _ in 0..30 {
            ways.ways[0].cut(true);
            thread::sleep(Duration::from_millis(100));
        }
    });
}

#[test]
fn a_failed_address_is_told_by_its_own_name_once() {
    let mut ways = Ways::new(false, |setup| setup);
    ways.close(0);
    ways.start_client();
    ways.wait_by(1);
    let line = ways.client_process().wait_error(&["no link to"]);
    assert!(line.contains(&format!("no link to {} at 127.0.0.1:{}: ", ways.id, ways.ways[0].port)), "{line}");
    // It is tried again and again, at every half second.
    thread::sleep(Duration::from_secs(3));
    assert_eq!(ways.client_process().complaints().len(), 1, "{:?}", ways.client_process().complaints());
    assert!(ways.server_process.complaints().is_empty(), "{:?}", ways.server_process.complaints());
}

#[test]
fn names_of_sockets_and_queues_stay_those_of_the_first_address() {
    let stored = |setup: Setup| setup.with("disk_persistence_send", true);
    let mut ways = Ways::new(false, stored);
    ways.close(0);
    ways.close(1);
    ways.start_client();
    let sent = messages("any", "client1", &ways.id, 50);
    RawSender::connect(&ways.client.send_socket()).send_all(&sent);
    let queued = || ways.client.admin().ask("peek_queues", json!({})).ok();
    let all = sent.len().to_string();
    wait::until("messages that are stored", || {
        queued().filter(|queued| queued.contains(&format!(": {all}")) || queued.contains(&format!(":{all}")))
    });
    ways.client_process = None;
    let receiver = RawReceiver::listen(ways.server.receive_socket("any"));
    ways.open(1);
    ways.start_client();
    ways.wait_by(1);
    assert!(receiver.wait_tag(END));
    Account::of(&sent, &receiver.frames()).assert_exact("by the second address");
}

#[test]
fn of_two_addresses_behind_a_proxy_the_one_that_it_reaches_is_taken() {
    let (place, port) = (Place::new(), free_port());
    let server = Setup::server(&place, port);
    let proxy = HttpProxy::start(Manner::OpensIf(port, "CONNECT second.invalid:2 HTTP/1.1".to_owned()));
    let client = Setup::client(&place, "client1", port)
        .with("server_sockaddr", json!([["first.invalid", 1], ["second.invalid", 2]]))
        .with("proxy", json!({"enabled": true, "address": "127.0.0.1", "port": proxy.port}));
    let (_server, process) = (server.start(), client.start());
    wait::until("the link", || server.admin().connected_peers().filter(|peers| peers.contains_key("client1")));
    let line = process.wait_error(&["407"]);
    assert!(line.contains("first.invalid:1"), "{line}");
    let asked: Vec<String> = proxy.heard().iter().filter_map(|head| head.lines().next().map(str::to_owned)).collect();
    assert_eq!(asked, ["CONNECT first.invalid:1 HTTP/1.1", "CONNECT second.invalid:2 HTTP/1.1"]);
}
