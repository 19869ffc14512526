//! What carries messages from apps to apps, running, and one measurement of it.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aioconnectors::cli::demo::pair::Pair;

use crate::broker::Broker;
use crate::client::{Connection, Counted, Expected, Number, Sink, Source};
use crate::jetstream::Stream;
use crate::pump::Pump;
use crate::report::Repeat;
use crate::{Failure, cpu, process};

/// Time until the first message must have come through.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Between two probes at first, and at most; in between a twentieth of the time so far. To some a probe is much work.
const PROBE: Duration = Duration::from_millis(5);
const PROBE_MAX: Duration = Duration::from_millis(250);

/// Messages come in at all sources and out of the sink.
pub struct Flow {
    pub sources: Vec<Source>,
    pub sink: End,
}

/// Where messages end.
pub enum End {
    App(Sink),
    /// A stream that keeps them.
    Stream(Stream),
}

impl End {
    pub fn count(&mut self, expected: &Expected) -> Result<Counted, Failure> {
        match self {
            End::App(sink) => sink.count_all(expected),
            End::Stream(stream) => stream.count(expected),
        }
    }

    pub fn wait_probe(&mut self, time: Duration) -> Result<bool, Failure> {
        match self {
            End::App(sink) => sink.wait_probe(time),
            End::Stream(stream) => stream.wait_probe(time),
        }
    }
}

/// The processes between the apps.
pub enum Brokers {
    /// One for each direction, in threads of this process.
    Pump(Box<[Pump; 2]>),
    /// Two connectors, and more clients.
    Pair(Box<Pair>, Vec<Broker>),
    /// Near ends, and the one that they connect to.
    Others { near: Vec<Broker>, far: Option<Broker> },
}

/// One of what is compared, running. Its flows are there and back; some have no way back.
pub struct System {
    pub name: &'static str,
    pub brokers: Brokers,
    pub flows: Vec<Flow>,
}

impl Brokers {
    /// Of the near ends, and of the far end.
    fn pids(&self) -> [Vec<u32>; 2] {
        match self {
            Brokers::Pump(_) => [vec![], vec![]],
            Brokers::Pair(pair, more) => {
                let near = [pair.client().pid()].into_iter().chain(more.iter().map(Broker::pid));
                [near.collect(), vec![pair.server().pid()]]
            }
            Brokers::Others { near, far } => {
                [near.iter().map(Broker::pid).collect(), far.iter().map(Broker::pid).collect()]
            }
        }
    }

    /// CPU time of the near ends, and of the far end.
    pub fn cpu(&self) -> [Duration; 2] {
        self.pids().map(|pids| pids.into_iter().map(cpu::process).sum())
    }

    /// MB resident, of the first near end and of the far end.
    pub fn memory(&self) -> [Option<f64>; 2] {
        self.pids().map(|pids| process::megabytes(*pids.first()?, "VmRSS"))
    }

    /// An error if a process has ended.
    pub fn check(&mut self) -> Result<(), Failure> {
        match self {
            Brokers::Pump(_) => Ok(()),
            Brokers::Pair(pair, more) => {
                pair.check()?;
                more.iter_mut().try_for_each(Broker::check)
            }
            Brokers::Others { near, far } => near.iter_mut().chain(far).try_for_each(Broker::check),
        }
    }

    /// Ends the far end, or the first near end, as `kill -9` does.
    pub fn kill(&mut self, far_end: bool) {
        match self {
            Brokers::Pump(_) => {}
            Brokers::Pair(pair, _) if far_end => pair.server_mut().kill(),
            Brokers::Pair(pair, _) => pair.client_mut().kill(),
            Brokers::Others { far, .. } if far_end => far.iter_mut().for_each(Broker::kill),
            Brokers::Others { near, .. } => near.iter_mut().take(1).for_each(Broker::kill),
        }
    }

    pub fn start_again(&mut self, far_end: bool) -> Result<(), Failure> {
        if let Brokers::Pair(pair, _) = self {
            let connector = if far_end { pair.server() } else { pair.client() };
            remove_sockets(&connector.config().with_extension(""))?;
        }
        match self {
            Brokers::Pump(_) => Ok(()),
            Brokers::Pair(pair, _) if far_end => Ok(pair.server_mut().start_again()?),
            Brokers::Pair(pair, _) => Ok(pair.client_mut().start_again()?),
            Brokers::Others { far, .. } if far_end => far.iter_mut().try_for_each(Broker::start_again),
            Brokers::Others { near, .. } => near.iter_mut().take(1).try_for_each(Broker::start_again),
        }
    }
}

/// Removes the sockets that a connector in this folder listened on: the Python package does not start while they are there.
fn remove_sockets(folder: &Path) -> Result<(), Failure> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("uds_path_commander") || name.starts_with("uds_path_send") {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// What is sent.
#[derive(Clone, Copy)]
pub struct Work {
    /// Bytes of data in a message.
    pub size: usize,
    /// Messages of each sender.
    pub messages: u64,
    /// Also from the far end to the near end, as many.
    pub both_ways: bool,
}

impl System {
    /// Waits until each source's messages come out.
    pub fn wait_ready(&mut self) -> Result<(), Failure> {
        for at in 0..self.flows.len() {
            for source in 0..self.flows[at].sources.len() {
                self.wait_through(at, source)?;
            }
        }
        Ok(())
    }

    /// Waits until a message of this source comes out; when it did.
    pub fn wait_through(&mut self, flow: usize, source: usize) -> Result<Instant, Failure> {
        if matches!(self.brokers, Brokers::Pump(_)) {
            return Ok(Instant::now());
        }
        let start = Instant::now();
        loop {
            let Flow { sources, sink } = &mut self.flows[flow];
            // While it starts, it may close the connection.
            _ = sources[source].probe();
            if sink.wait_probe((start.elapsed() / 20).clamp(PROBE, PROBE_MAX))? {
                return Ok(Instant::now());
            }
            self.brokers.check()?;
            if start.elapsed() > START_TIMEOUT {
                return Err(format!("{}: no message came through in {START_TIMEOUT:?}", self.name).into());
            }
        }
    }

    /// Senders of a measurement.
    pub fn senders(&self, work: &Work) -> u64 {
        self.flows.iter().take(1 + usize::from(work.both_ways)).map(|flow| flow.sources.len() as u64).sum()
    }

    pub fn measure(&mut self, work: &Work) -> Result<Repeat, Failure> {
        let before = self.brokers.cpu();
        let flows = self.flows.iter_mut().take(1 + usize::from(work.both_ways));
        let (all, mut between) = match &self.brokers {
            Brokers::Pump(pumps) if work.both_ways => {
                let ((all, back), there) = pumps[0].run(|| pumps[1].run(|| drive(flows, work)))?;
                (all, [there[0] + back[1], there[1] + back[0]])
            }
            Brokers::Pump(pumps) => pumps[0].run(|| drive(flows, work))?,
            _ => (drive(flows, work)?, [Duration::ZERO; 2]),
        };
        self.brokers.check()?;
        let after = self.brokers.cpu();
        for side in 0..2 {
            between[side] += after[side].saturating_sub(before[side]);
        }
        let expected = work.messages * self.senders(work);
        let received: u64 = all.counted.iter().map(|counted| counted.received).sum();
        let end = all.counted.iter().map(|counted| counted.end).fold(all.start, Instant::max);
        let counters = all.counted.iter().map(|counted| counted.cpu).sum();
        Ok(Repeat {
            seconds: (end - all.start).as_secs_f64(),
            messages: expected,
            lost: expected.saturating_sub(received),
            out_of_order: all.counted.iter().map(|counted| counted.out_of_order).sum(),
            cpu: [all.senders, between[0], between[1], counters].map(|time: Duration| time.as_secs_f64()),
        })
    }
}

/// What the apps have to say.
struct Driven {
    start: Instant,
    senders: Duration,
    counted: Vec<Counted>,
}

/// All senders blast, a thread each, while the sinks count. Time begins when all are connected.
fn drive<'a>(flows: impl Iterator<Item = &'a mut Flow>, work: &Work) -> Result<Driven, Failure> {
    static ROUND: AtomicU16 = AtomicU16::new(1);
    let round = ROUND.fetch_add(1, Ordering::Relaxed);
    let (mut ready, mut sinks) = (Vec::new(), Vec::new());
    for Flow { sources, sink } in flows {
        for (lane, source) in sources.iter().enumerate() {
            let first = Number { lane: u8::try_from(lane)?, round, at: 0 };
            ready.push((source, source.connect()?, first));
        }
        if let End::Stream(stream) = sink {
            stream.empty()?;
        }
        sinks.push((sink, Expected { lanes: sources.len(), round, count: work.messages }));
    }
    let Work { size, messages, .. } = *work;
    let start = Instant::now();
    thread::scope(|scope| {
        let counting: Vec<_> =
            sinks.into_iter().map(|(sink, expected)| scope.spawn(move || sink.count(&expected))).collect();
        let blast = |(source, to, first): (&'a Source, Connection, Number)| source.blast(to, first, size, messages);
        let sending: Vec<_> = ready.into_iter().map(|one| scope.spawn(move || blast(one))).collect();
        let counted = counting.into_iter().map(join).collect::<Result<Vec<_>, _>>()?;
        let senders = sending.into_iter().map(join).sum::<Result<Duration, _>>()?;
        Ok(Driven { start, senders, counted })
    })
}

/// What an app's thread has to say.
pub fn join<T>(thread: thread::ScopedJoinHandle<'_, Result<T, Failure>>) -> Result<T, Failure> {
    thread.join().unwrap_or_else(|_| Err("an app has panicked".into()))
}
