//! A message whose header is that of the one before passes through the core without an allocation, on both sides.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Instant;

use aioconnectors::core::settings::HELLO_WAIT;
use aioconnectors::core::{Connector, Id, Output, Reading, Secured};
use aioconnectors::wire::control::{HANDSHAKE_NO_SSL, HELLO, own_frame};
use aioconnectors::wire::names::Role;

use crate::pair::{Pair, SERVER, frames, settings};

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

/// Messages that are fed at a time, as one read brings them.
const BATCH: usize = 500;

fn server() -> Connector {
    let mut connector = Connector::new(settings(Role::Server));
    connector.start(Instant::now());
    connector
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
    let (now, bytes, mut target) = (Instant::now(), frames(header, 100, BATCH), None);
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
    let (mut connector, now) = (server(), Instant::now());
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

#[test]
fn on_a_link_of_the_second_kind_memory_is_needed_for_acknowledgements_only() {
    let mut pair = Pair::new(|_| {});
    let bytes = frames(r#"{"message_type": "any", "destination_id": "c1"}"#, 100, BATCH);
    (0..3).for_each(|_| pair.send(&bytes));
    pair.pass_hello();
    (0..3).for_each(|_| pair.send(&bytes));
    assert!(pair.receiver.is_some(), "the messages arrive");
    let before = ALLOCATIONS.get();
    (0..20).for_each(|_| pair.send(&bytes));
    let each = (ALLOCATIONS.get() - before) / 20;
    assert!(each < BATCH / 4, "{each} allocations for {BATCH} messages");
}
