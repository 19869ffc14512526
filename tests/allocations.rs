//! A message whose header is that of the one before passes through the core without an allocation, on both sides.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aioconnectors::core::settings::HELLO_WAIT;
use aioconnectors::core::{Connector, Covered, Id, Mode, Output, Reading, Secured, Settings, Sync};
use aioconnectors::wire::control::{HANDSHAKE_NO_SSL, HELLO, own_frame};
use aioconnectors::wire::frame;
use aioconnectors::wire::names::Role;

thread_local! {
    /// Those of this thread: the ones that run tests allocate when they like.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    // A thread that ends may have none any more.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

struct Counting;

// SAFETY: all is left to the system's allocator; counting touches no memory of its callers.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const SERVER: &str = "('10.0.0.1', 10673)";

/// Messages that are fed at a time, as one read brings them.
const BATCH: usize = 500;

fn connector(role: Role) -> Connector {
    let mut connector = Connector::new(Settings {
        id: if role == Role::Server { SERVER.into() } else { "c1".into() },
        role,
        server_id: SERVER.into(),
        mode: Mode::Plain,
        send_types: ["any".to_owned()].into(),
        recv_types: vec!["any".to_owned()],
        pubsub_broker: false,
        subscribe: Vec::new(),
        preserve_send_socket: true,
        preserve_receive_socket: true,
        connect_timeout: Duration::from_secs(10),
        send_timeout: Duration::from_secs(50),
        keep_alive: None,
        reconnect: true,
        max_message_size: 1 << 20,
        queue_max_bytes: 64 << 20,
        link2: true,
        chunk_max: 200 << 20,
        persist_send: Covered::None,
        persist_recv: Covered::None,
        max_ring_bytes: 1 << 30,
        sync: Sync::Os,
        on_full: BTreeMap::new(),
        priorities: BTreeMap::new(),
        session_ttl: Duration::from_secs(86_400),
        started_at: 1_800_000_000,
        start_sequence: 1_800_000_000_000_000,
        shutdown_timeout: Duration::from_secs(10),
        seed: 1,
    });
    connector.start(Instant::now());
    connector
}

fn batch(header: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..BATCH {
        frame::encode(header.as_bytes(), &[7; 100], None, &mut out).unwrap();
    }
    out
}

/// The app that is dialled last, opened.
fn take_outputs(connector: &mut Connector, now: Instant) -> Option<Id> {
    let mut dialled = None;
    while let Some(output) = connector.poll_output() {
        if let Output::DialApp(id, _) = output {
            connector.opened(id, None, now);
            dialled = Some(id);
        }
    }
    dialled
}

/// Feeds a batch to one connection, has another send it; how many allocations that took after a first time.
fn allocations(connector: &mut Connector, from: Id, header: &str, to: impl Fn(Option<Id>) -> Id) -> usize {
    let (now, bytes, mut target) = (Instant::now(), batch(header), None);
    let mut turn = |connector: &mut Connector| {
        assert_eq!(connector.input(from, &bytes, now), Reading::Open);
        target = take_outputs(connector, now).or(target);
        let mut sent = 0;
        while connector.transmit(to(target), 1 << 20, now, &mut |piece| {
            sent += piece.len();
            piece.len()
        }) {}
        connector.confirmed(to(target), u64::MAX, now);
        take_outputs(connector, now);
        assert!(sent >= bytes.len(), "all has gone out");
    };
    // The ring grows, tables and lists get their room; an app that receives has not said that it acknowledges.
    turn(connector);
    connector.timeout(now + HELLO_WAIT);
    take_outputs(connector, now);
    turn(connector);
    let before = ALLOCATIONS.get();
    (0..20).for_each(|_| turn(connector));
    ALLOCATIONS.get() - before
}

#[test]
fn messages_that_are_like_the_one_before_need_no_memory() {
    let (mut connector, now) = (connector(Role::Server), Instant::now());
    let link = connector.accept_link(([10, 0, 0, 2], 4000).into(), now);
    connector.secured(link, Secured::Anonymous, false, now);
    connector.input(link, &own_frame(HANDSHAKE_NO_SSL, "c1", HELLO), now);
    take_outputs(&mut connector, now);

    let app = connector.accept_app();
    let complete = format!(r#"{{"message_type": "any", "source_id": "{SERVER}", "destination_id": "c1"}}"#);
    assert_eq!(allocations(&mut connector, app, &complete, |_| link), 0, "an app's messages to a peer");
    let incomplete = r#"{"message_type": "any", "destination_id": "c1"}"#;
    assert_eq!(allocations(&mut connector, app, incomplete, |_| link), 0, "the same with a header that is rewritten");
    let theirs = r#"{"message_type": "any", "source_id": "c1"}"#;
    assert_eq!(allocations(&mut connector, link, theirs, |app| app.unwrap()), 0, "a peer's messages to an app");
}

/// Two connectors, joined by a link of the second kind, with an app that sends at one and one that receives at the other.
struct Pair {
    ends: [Connector; 2],
    links: [Id; 2],
    app: Id,
    receiver: Option<Id>,
    now: Instant,
    /// What is on its way, used again.
    wire: Vec<u8>,
}

impl Pair {
    fn new() -> Self {
        let now = Instant::now();
        let mut ends = [connector(Role::Server), connector(Role::Client)];
        let mut dialled = None;
        while let Some(output) = ends[1].poll_output() {
            if let Output::Dial(id) = output {
                dialled = Some(id);
            }
        }
        let links = [ends[0].accept_link(([10, 0, 0, 2], 4000).into(), now), dialled.unwrap()];
        ends[1].opened(links[1], Some(([10, 0, 0, 1], 4000).into()), now);
        ends[0].secured(links[0], Secured::Anonymous, false, now);
        ends[1].secured(links[1], Secured::Anonymous, false, now);
        let app = ends[0].accept_app();
        Self { ends, links, app, receiver: None, now, wire: Vec::with_capacity(1 << 20) }
    }

    /// Moves all that waits on the link from one end to the other.
    fn pass(&mut self, from: usize) {
        self.wire.clear();
        let wire = &mut self.wire;
        while self.ends[from].transmit(self.links[from], 1 << 20, self.now, &mut |piece| {
            wire.extend_from_slice(piece);
            piece.len()
        }) {}
        self.ends[1 - from].input(self.links[1 - from], &self.wire, self.now);
    }

    fn turn(&mut self, bytes: &[u8]) {
        self.ends[0].input(self.app, bytes, self.now);
        for from in [0, 1, 0, 1] {
            self.pass(from);
            self.receiver = take_outputs(&mut self.ends[1], self.now).or(self.receiver);
            if let Some(receiver) = self.receiver {
                self.ends[1].transmit(receiver, 1 << 20, self.now, &mut |piece| piece.len());
            }
            for end in &mut self.ends {
                end.settle(self.now);
                take_outputs(end, self.now);
            }
        }
    }
}

#[test]
fn on_a_link_of_the_second_kind_memory_is_needed_for_acknowledgements_only() {
    let mut pair = Pair::new();
    let bytes = batch(r#"{"message_type": "any", "destination_id": "c1"}"#);
    for from in [1, 0, 1, 0] {
        pair.pass(from);
    }
    (0..3).for_each(|_| pair.turn(&bytes));
    pair.ends[1].timeout(pair.now + HELLO_WAIT);
    (0..3).for_each(|_| pair.turn(&bytes));
    assert!(pair.receiver.is_some(), "the messages arrive");
    let before = ALLOCATIONS.get();
    (0..20).for_each(|_| pair.turn(&bytes));
    let each = (ALLOCATIONS.get() - before) / 20;
    assert!(each < BATCH / 4, "{each} allocations for {BATCH} messages");
}
